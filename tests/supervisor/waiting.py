"""Waiting for what another process does: polled, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
TIMEOUT_S = 20.0


async def until(condition: Callable[[], T | None], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """The first true value of `condition`, while the event loop runs."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def until_now(condition: Callable[[], T | None], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """As `until`, without an event loop."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not just its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
