"""The processes that a test started: other tests' fixtures run for the whole session and are nobody's fault."""

from __future__ import annotations

import os

from tenzij.supervisor import tree

_before: set[int] = set()


def remember() -> None:
    """What runs now was there before the test."""
    _before.clear()
    _before.update(tree.below(os.getpid()))


def started() -> list[int]:
    """Processes below this one, at any depth, that were not there when the test began."""
    return [pid for pid in tree.below(os.getpid()) if pid not in _before]
