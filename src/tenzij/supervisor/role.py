"""What differs from one kind of child to the next, as `child.py` needs it: the roles themselves are in `roles.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tenzij.channels.control import Ready, ToChild
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import Profile

Launch = Callable[[Profile], Launched]
"""Starts a profile's program: `launcher.launch`, or in tests another."""


class Unfit(Exception):
    """This child may not run, or not go on. `final`: trying again cannot help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Role(Protocol):
    """One child's role, for all its lives in turn. Called by the child's task alone."""

    @property
    def name(self) -> str:
        """What people and peers call it: "gateway", "ledger", "register", "worker:<model>"."""
        ...

    @property
    def kind(self) -> str:
        """The row of the broker's table: the name without the model."""
        ...

    @property
    def holds_text(self) -> bool:
        """Whether it sees requests. Of its failures after it was ready only the code is passed on."""
        ...

    @property
    def start_timeout_s(self) -> float:
        """Longest time from launch to ready."""
        ...

    def launch(self) -> Launched:
        """A new process, confined. Raises Unfit, OperatorError (both: no use in trying again as it is) or OSError."""
        ...

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        """The messages to a new process, `Start` first, with descriptors that the taker closes. Raises OSError.

        Empty while something is not known yet that must be in them: asked again at `Child.speak`.
        """
        ...

    def accept(self, ready: Ready, descriptors: list[int], launched: Launched) -> None:
        """Holds what a process says at its start against what is known; owns the descriptors. Raises Unfit."""
        ...

    def gone(self) -> None:
        """The process has ended: lets go of what it handed over."""
        ...
