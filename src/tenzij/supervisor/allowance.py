"""How often somebody may do something: a burst at once, then a steady rate. Pure: time comes in."""

from __future__ import annotations


class Allowance:
    """A token bucket: full at `burst`, refilled with `per_s` a second."""

    def __init__(self, burst: int, per_s: float, now_s: float) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._left = float(burst)
        self._seen_s = now_s

    def take(self, now_s: float) -> bool:
        """Uses one up; False when none is left. Time that runs backwards gives nothing."""
        self._left = min(self._burst, self._left + max(0.0, now_s - self._seen_s) * self._per_s)
        self._seen_s = max(self._seen_s, now_s)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
