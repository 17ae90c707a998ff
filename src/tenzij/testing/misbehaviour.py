"""How a fake engine may misbehave: flags, and how a model's id names them.

A model called `fake` behaves. `fake-slow` is slow; several flags are joined by a dot: `fake-slow.no-done`.
"""

from __future__ import annotations

from enum import StrEnum


class Misbehaviour(StrEnum):
    """One way to be bad. The first group is about answers, the second about the worker itself."""

    SLOW = "slow"  # a pause before each piece
    STALLS = "stalls"  # one piece, then nothing more
    SILENT = "silent"  # nothing at all, not even headers
    CUT = "cut"  # closes the connection after two pieces
    DIES = "dies"  # the whole process exits after two pieces
    GARBAGE_BYTES = "garbage-bytes"  # after one piece
    GARBAGE_JSON = "garbage-json"  # after one piece
    OVERSIZE_FRAME = "oversize-frame"  # a frame that does not end
    NO_DONE = "no-done"  # the end mark is missing
    NO_FINISH = "no-finish"  # the reason to finish is missing
    NO_USAGE = "no-usage"  # no counts at all
    WRONG_TYPE = "wrong-type"  # HTML instead of an event stream
    ECHOES_ERROR = "echoes-error"  # refuses, quoting the prompt
    ECHOES_LATE = "echoes-late"  # fails after one piece, quoting the prompt
    TOO_LONG = "too-long"  # says that the context is too small
    FAILS = "fails"  # HTTP 500

    NEVER_READY = "never-ready"
    FAILS_TO_START = "fails-to-start"
    FAILS_FINALLY = "fails-finally"  # and asks not to be tried again
    EXITS_AT_START = "exits-at-start"  # without a word
    IGNORES_SIGTERM = "ignores-sigterm"
    IGNORES_STOP = "ignores-stop"  # the message, and the end of the control channel
    SENDS_LINK = "sends-link"  # a link in place of the socket
    SENDS_FILE = "sends-file"  # a plain file in place of the socket
    SENDS_NOTHING = "sends-nothing"  # no descriptor
    WRONG_WEIGHTS = "wrong-weights"  # says that it loaded other weights


def misbehaviours_of(model: str) -> frozenset[Misbehaviour]:
    """The flags that a model's id names; none unless it begins with `fake`. Raises ValueError when one is unknown."""
    name, _, flags = model.partition("-")
    if name != "fake":
        return frozenset()
    return frozenset(Misbehaviour(flag) for flag in flags.split(".") if flag)
