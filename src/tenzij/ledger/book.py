"""Which requests have a decision, which an outcome: what the rule "exactly one of each" is held by. Pure.

Rules
- A request is decided once. An allowed decision gets exactly one outcome; a refused one none.
- A second outcome, whatever it says, is answered with the index of the first.
- The book holds what is durable and nothing else: it is told after the write, or from the log at the start.
- Unfinished requests are all known. Of settled ones the last `SETTLED_KEPT`: request ids are fresh, so a repeat comes
  soon after, from a connection that was lost, or from a defect. What lies further back, the log's verification finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tenzij.ledger.decision_entry import REFUSED
from tenzij.ledger.segment import Unfinished

SETTLED_KEPT: Final = 100_000


class Glance(msgspec.Struct, frozen=True, rename={"kind": "soort", "request": "verzoek", "target": "object"}):
    """As much of any entry, of any version, as the book needs."""

    kind: str
    request: str = ""
    target: str = ""
    result: str = msgspec.field(default="", name="resultaat")


@dataclass(frozen=True, slots=True)
class Write:
    """Not in the log yet, and may be."""


@dataclass(frozen=True, slots=True)
class Known:
    """In the log already."""

    index: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Can never be in this log."""

    code: str


_glance_decoder: msgspec.json.Decoder[Glance] = msgspec.json.Decoder(Glance)


class Book:
    """One log's requests. Implements `wal.Memory`."""

    def __init__(self, settled_kept: int = SETTLED_KEPT) -> None:
        self.unfinished: dict[str, Unfinished] = {}
        self._settled: dict[str, int | None] = {}  # index of the outcome; None: refused, no outcome
        self._settled_kept = settled_kept

    def restore(self, unfinished: Sequence[Unfinished]) -> None:
        """Begins anew with these."""
        self.unfinished = {one.request: one for one in unfinished}
        self._settled.clear()

    def replay(self, index: int, entry: bytes) -> None:
        """Takes note of an entry that is durable, from its bytes."""
        self.note(index, _glance_decoder.decode(entry))

    def on_decision(self, request: str) -> Write | Refuse:
        """What to do with a decision."""
        if request in self.unfinished or request in self._settled:
            return Refuse("repeated_decision")
        return Write()

    def on_outcome(self, request: str, decision: int | None) -> Write | Known | Refuse:
        """What to do with an outcome that says its decision stands at `decision`."""
        unfinished = self.unfinished.get(request)
        if unfinished is not None:
            return Write() if decision == unfinished.decision else Refuse("wrong_decision")
        if request not in self._settled:
            return Refuse("no_decision")
        outcome = self._settled[request]
        return Refuse("decision_refused") if outcome is None else Known(outcome)

    def note(self, index: int, entry: Glance) -> None:
        """Takes note of an entry that is durable."""
        if entry.kind == "besluit" and entry.result == REFUSED:
            self._settle(entry.request, None)
        elif entry.kind == "besluit":
            self.unfinished[entry.request] = Unfinished(entry.request, index, entry.target)
        elif entry.kind == "uitkomst":
            self.unfinished.pop(entry.request, None)
            self._settle(entry.request, index)

    def _settle(self, request: str, outcome: int | None) -> None:
        self._settled[request] = outcome
        if len(self._settled) > self._settled_kept:
            del self._settled[next(iter(self._settled))]
