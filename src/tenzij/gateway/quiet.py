"""The process says nothing: no log record, no warning, no traceback. Any of them may quote a request.

What must be known of a failure is where it was: class and lines of code, without the message.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
import warnings
from pathlib import Path

_MOST_FRAMES = 8


def silence_process() -> None:
    """Switches off, for the whole process, everything that Python and its libraries write by themselves."""
    logging.disable(sys.maxsize)
    logging.raiseExceptions = False
    warnings.simplefilter("ignore")
    sys.excepthook = lambda *_: None
    sys.unraisablehook = lambda _: None


def silence_loop(loop: asyncio.AbstractEventLoop) -> None:
    """An exception that nobody awaited is not written down."""
    loop.set_exception_handler(lambda *_: None)


def place_of(error: BaseException) -> str:
    """Where it happened: the innermost frames and the exception's class; never its message."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {lines}" if lines else type(error).__name__
