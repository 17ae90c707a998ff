"""Reads a tree of plain values (from TOML or JSON) field by field, strictly, and collects every fault.

Rules
- A field that is missing, of the wrong type or outside its bounds is a fault; so is a field that nobody read.
- After a fault the reader gives a harmless stand-in and goes on, so that one look lists everything. Whoever builds from
  it must throw the result away when there are faults.
- A fault is "field: rule". The value is not quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Built = TypeVar("Built")

TEXT_CHARS = 200
LIST_ITEMS = 200


class Fields:
    """The fields of one table in the tree, to be read once each. `path` is the table's name, "" at the top."""

    def __init__(self, table: object, path: str, faults: list[str]) -> None:
        self._faults = faults
        self._path = path
        self._is_table = isinstance(table, Mapping)
        self._table: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
        self._read: set[str] = set()
        if not self._is_table:
            faults.append(f"{path or 'the whole'}: must be a table")

    def has(self, field: str) -> bool:
        """Whether an optional field is there."""
        return field in self._table

    def text(
        self, field: str, *, pattern: re.Pattern[str] | None = None, rule: str = "text", chars: int = TEXT_CHARS
    ) -> str:
        """Printable text of 1 to `chars` characters that `pattern` matches whole; `rule` says so to a person."""
        value = self._value(field)
        if value is None or self._is_good_text(field, value, pattern, rule, chars):
            return value or ""
        return ""

    def texts(
        self, field: str, *, pattern: re.Pattern[str] | None = None, rule: str = "texts", least: int = 0
    ) -> tuple[str, ...]:
        """A list of different texts, at least `least`."""
        items = self._items(field, least)
        good = [item for item in items if self._is_good_text(field, item, pattern, rule, TEXT_CHARS)]
        return self._different(field, good)

    def choice(self, field: str, choices: Sequence[str]) -> str:
        """One of `choices`."""
        value = self._value(field)
        if value is None or (isinstance(value, str) and value in choices):
            return value or choices[0]
        self._fault(field, f"must be one of {', '.join(choices)}")
        return choices[0]

    def choices(self, field: str, choices: Sequence[str], least: int = 0) -> tuple[str, ...]:
        """A list of different members of `choices`, at least `least`."""
        items = self._items(field, least)
        if all(isinstance(item, str) and item in choices for item in items):
            return self._different(field, items)
        self._fault(field, f"each must be one of {', '.join(choices)}")
        return ()

    def number(self, field: str, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._value(field)
        if value is None:
            return least
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._fault(field, f"must be a whole number from {least} to {most}")
            return least
        return value

    def table(self, field: str) -> Fields:
        """A table below this one."""
        value = self._value(field)
        return Fields({} if value is None else value, self._name(field), [] if value is None else self._faults)

    def tables(self, field: str, most: int = LIST_ITEMS) -> list[Fields]:
        """A list of tables, none when the field is not there."""
        if not self.has(field):
            return []
        items = self._items(field, 0, most)
        return [Fields(item, f"{self._name(field)}[{index}]", self._faults) for index, item in enumerate(items)]

    def finish(self) -> None:
        """Every field that nobody read is a fault."""
        for field in self._table:
            if field not in self._read:
                name = ascii(field)[1:-1][:TEXT_CHARS]
                self._faults.append(f"{self._name(name)}: is not a field that is known here")

    def finished(self, built: Built) -> Built:
        """`built`, after `finish`."""
        self.finish()
        return built

    def _value(self, field: str) -> Any:
        """The field's value; None, which no field may be, when it is missing."""
        self._read.add(field)
        value = self._table.get(field)
        if value is None and self._is_table:
            self._fault(field, "is missing")
        return value

    def _items(self, field: str, least: int, most: int = LIST_ITEMS) -> list[Any]:
        value = self._value(field)
        if value is None:
            return []
        if not isinstance(value, list) or not least <= len(value) <= most:
            self._fault(field, f"must be a list of {least} to {most} items")
            return []
        return value

    def _is_good_text(self, field: str, value: object, pattern: re.Pattern[str] | None, rule: str, chars: int) -> bool:
        if not isinstance(value, str):
            self._fault(field, f"must be {rule}")
        elif not 0 < len(value) <= chars or not value.isprintable() or value.isspace():
            self._fault(field, f"must be 1 to {chars} printable characters")
        elif pattern and not pattern.fullmatch(value):
            self._fault(field, f"must be {rule}")
        else:
            return True
        return False

    def _different(self, field: str, items: Sequence[str]) -> tuple[str, ...]:
        if len(set(items)) != len(items):
            self._fault(field, "must not hold the same twice")
        return tuple(items)

    def _name(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field

    def _fault(self, field: str, rule: str) -> None:
        self._faults.append(f"{self._name(field)}: {rule}")
