"""Reads one JSON object of a request field by field: strict types, ranges, and an allow-list that nothing slips past.

- `null` means "not given" for every field, as in OpenAI's clients.
- No coercion: `1.0` is not an integer, `"1"` is not a number, `true` is not 1.
- A sentence names the field from our own list, never what the client wrote: a field's name in no list of ours is
  the client's text as much as a value is.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tenzij.gateway.refusals import InvalidValue, MissingParameter, UnknownParameter, UnsupportedParameter


class Fields:
    """The fields of one object. `path` stands before each field's name in messages: "", "messages[0].", …"""

    def __init__(self, tree: object, path: str = "", *, known: Collection[str], unsupported: Collection[str]) -> None:
        if not isinstance(tree, dict):
            raise InvalidValue(f"{_whole(path)} must be an object.", param=path.rstrip(".") or None)
        self.path = path
        self._tree: Mapping[str, Any] = tree
        for name, value in tree.items():
            if name not in known and value is not None:
                self._refuse(name, known, unsupported)

    def _refuse(self, name: str, known: Collection[str], unsupported: Collection[str]) -> None:
        if name in unsupported:
            param = self.path + name
            raise UnsupportedParameter(f"{param} is not supported here. Leave it out.", param=param)
        likely = difflib.get_close_matches(name[:64], sorted(known), n=1)
        hint = f" Did you mean {likely[0]}?" if likely else f" It may have: {', '.join(sorted(known))}."
        raise UnknownParameter(f"{_whole(self.path)} has a field that does not exist.{hint}")

    def has(self, name: str) -> bool:
        """Whether the field is given and not null."""
        return self._tree.get(name) is not None

    def value(self, name: str) -> Any:
        """The field as it is; None when not given."""
        return self._tree.get(name)

    def required(self, name: str) -> Any:
        """The field as it is. Raises MissingParameter."""
        value = self._tree.get(name)
        if value is None:
            raise MissingParameter(f"{self.path}{name} is missing.", param=self.path + name)
        return value

    def integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number in the range, or None when not given."""
        value = self._tree.get(name)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            raise self.fault(name, f"must be an integer from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number in the range, or None when not given."""
        value = self._tree.get(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.fault(name, f"must be a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, name: str) -> bool | None:
        """true or false, or None when not given."""
        value = self._tree.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.fault(name, "must be true or false")

    def text(self, name: str, least: int, most: int) -> str | None:
        """Text of so many characters, or None when not given."""
        value = self._tree.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise self.fault(name, f"must be a string of {least} to {most} characters")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of `choices`, or None when not given."""
        value = self._tree.get(name)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        raise self.fault(name, f"must be {_either(choices)}")

    def fault(self, name: str, rule: str) -> InvalidValue:
        """The error that says that this field breaks `rule`."""
        return InvalidValue(f"{self.path}{name} {rule}.", param=self.path + name)


def _whole(path: str) -> str:
    return path.rstrip(".") or "The request body"


def _either(choices: Sequence[str]) -> str:
    quoted = [f'"{choice}"' for choice in choices]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
