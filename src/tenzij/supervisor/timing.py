"""How the time for an orderly stop is shared out. Pure.

The gateway goes first: it finishes what is in hand while workers and ledger still serve it. Then all others together.
Who does not end when asked gets SIGTERM, and at its deadline SIGKILL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GATEWAY_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class StopPlan:
    """Seconds from the moment of asking: to finish what is in hand, until SIGTERM, until SIGKILL."""

    drain_s: float  # what is then still in hand is cut, and gets what is left until SIGTERM to be put on record
    terminate_s: float
    kill_s: float


AT_ONCE: Final = StopPlan(0.0, 0.0, 0.0)


def plan_within(total_s: float) -> StopPlan:
    """A plan that has a process gone within `total_s`."""
    left = max(0.0, total_s)
    return StopPlan(0.4 * left, 0.8 * left, 0.9 * left)
