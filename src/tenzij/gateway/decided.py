"""A request that was decided, before anything was recorded or done: all that the rest of its journey needs."""

from __future__ import annotations

from dataclasses import dataclass

from tenzij.gateway.asgi import Headers
from tenzij.gateway.asked import Asked
from tenzij.ledger.entries import DecisionEntry
from tenzij.policy.decision import Local, Refused


@dataclass(frozen=True, slots=True)
class Decided:
    """One request with its decision and the entry that records it."""

    asked: Asked
    decision: Local | Refused
    entry: DecisionEntry
    key: bytes  # of the entry's commitment
    provenance: Headers  # what the answer tells about the decision
