"""The life of one child process, as a table, and how long to wait before the next one.

Theory
- A child is in one state; what happens to it is one of the events; the table says what follows. Nothing else changes
  a state. A pair that is not in the table cannot happen: it is refused loudly, as it is a mistake of ours.
- Three states have a process: STARTING, READY and the two ways down, FAILING (it is at fault and was killed) and
  STOPPING (we asked it to end). The others have none. A process is seen to be gone by EXITED or EXHAUSTED alone, and no
  successor starts before that: two processes never share one folder.
- A process that ends unasked, or that could not be launched, is EXITED when another try makes sense and EXHAUSTED when
  not: too many failed starts in a row, or the child said that trying again cannot help. EXHAUSTED leads to GIVEN_UP,
  which only START leaves: somebody changed something.
- STOP is accepted everywhere, and from everywhere leads to STOPPED without passing STARTING again.
- A process on its way down may still say anything; it changes nothing.

Pure: no clock, no process. `child.py` acts on arrival in a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a child is. The values are what `WorkerState.state` and the command line show."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    FAILING = "failing"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    GIVEN_UP = "given_up"


class Event(StrEnum):
    """What happens to a child."""

    START = "start"  # somebody wants it to run
    READY = "ready"  # it says that it works, and what it says is right
    FAULT = "fault"  # it says that it cannot go on, breaks a rule of the control channel, or is too late
    EXITED = "exited"  # its process is gone, or could not be launched; another try makes sense
    EXHAUSTED = "exhausted"  # as EXITED, but another try does not
    BACKOFF_OVER = "backoff_over"  # the pause before the next try has passed
    STOP = "stop"  # somebody wants it not to run


class NotNow(RuntimeError):
    """An event that cannot happen in this state: a mistake in the supervisor itself."""


_S, _E = State, Event

TABLE: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        (_S.STOPPED, _E.START): _S.STARTING,
        (_S.STOPPED, _E.STOP): _S.STOPPED,
        #
        (_S.STARTING, _E.READY): _S.READY,
        (_S.STARTING, _E.FAULT): _S.FAILING,
        (_S.STARTING, _E.EXITED): _S.BACKOFF,
        (_S.STARTING, _E.EXHAUSTED): _S.GIVEN_UP,
        (_S.STARTING, _E.STOP): _S.STOPPING,
        #
        (_S.READY, _E.FAULT): _S.FAILING,
        (_S.READY, _E.EXITED): _S.BACKOFF,
        (_S.READY, _E.EXHAUSTED): _S.GIVEN_UP,
        (_S.READY, _E.STOP): _S.STOPPING,
        #
        (_S.FAILING, _E.FAULT): _S.FAILING,
        (_S.FAILING, _E.EXITED): _S.BACKOFF,
        (_S.FAILING, _E.EXHAUSTED): _S.GIVEN_UP,
        (_S.FAILING, _E.STOP): _S.STOPPING,
        #
        (_S.BACKOFF, _E.BACKOFF_OVER): _S.STARTING,
        (_S.BACKOFF, _E.STOP): _S.STOPPED,
        #
        (_S.STOPPING, _E.FAULT): _S.STOPPING,
        (_S.STOPPING, _E.EXITED): _S.STOPPED,
        (_S.STOPPING, _E.EXHAUSTED): _S.STOPPED,
        (_S.STOPPING, _E.STOP): _S.STOPPING,
        #
        (_S.GIVEN_UP, _E.START): _S.STARTING,
        (_S.GIVEN_UP, _E.STOP): _S.STOPPED,
    }
)

WITH_PROCESS: Final = frozenset({State.STARTING, State.READY, State.FAILING, State.STOPPING})


def after(state: State, event: Event) -> State:
    """The state that follows. Raises NotNow for a pair that is not in the table."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise NotNow(f"{event} while {state}") from None


def failures_after(failures: int, ready_for_s: float | None, forgiven_after_s: float) -> int:
    """Failed starts in a row, counting the one that just ended after `ready_for_s` (None: it never was ready).

    One that was ready for at least `forgiven_after_s` makes the row start anew.
    """
    if ready_for_s is not None and ready_for_s >= forgiven_after_s:
        return 1
    return failures + 1


def pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """Seconds to wait before the next try, after `failures` in a row: doubling from `first_s` up to `longest_s`."""
    if failures < 1:
        return 0.0
    doublings = min(failures - 1, 64)  # 2.0**64 seconds is above any limit, and still a float
    return min(first_s * 2.0**doublings, longest_s)
