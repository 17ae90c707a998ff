"""One process that runs now: seeing its end, signalling it, saying in words how it ended.

- Its end is seen through a pidfd, so no signal handler and no polling.
- Killing goes from the inside out: first what runs below the process that was started, which then ends by itself, and
  that process itself only when it is alone or lingers. So its end means that all of it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Final

from tenzij.supervisor import tree

LINGER_S: Final = 0.5  # from killing what is below to killing the process itself


class Process:
    """Watches from construction on. `gone` is called once, when the process has ended and is reaped."""

    def __init__(self, process: subprocess.Popen[bytes], gone: Callable[[], None]) -> None:
        self._process = process
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._lingers: asyncio.TimerHandle | None = None
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)

    @property
    def pid(self) -> int:
        """Of the process that was started; what is confined runs below it."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether its end was seen."""
        return self._process.returncode is not None

    def terminate(self) -> None:
        """Asks all of it to end, by SIGTERM; it may ignore that."""
        if not self.is_gone and not tree.signal_below(self.pid, signal.SIGTERM):
            self._process.terminate()

    def kill(self) -> None:
        """Ends all of it."""
        if self.is_gone or self._lingers is not None:
            return
        if tree.signal_below(self.pid, signal.SIGKILL):
            self._lingers = self._loop.call_later(LINGER_S, self._process.kill)
        else:
            self._process.kill()

    def abandon(self) -> None:
        """Ends all of it without looking on; for a supervisor that itself goes down on an error."""
        if self.is_gone:
            return
        tree.signal_below(self.pid, signal.SIGKILL)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LINGER_S)
        self._stop_looking()

    def end(self) -> str:
        """How it ended, in words; empty while it runs."""
        return end_in_words(self._process.returncode)

    def _on_exit(self) -> None:
        if self._process.poll() is None:  # pragma: no cover - a readable pidfd means that it can be reaped
            return
        self._stop_looking()
        self._gone()

    def _stop_looking(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._lingers is not None:
            self._lingers.cancel()


def end_in_words(status: int | None) -> str:
    """A process's exit status (as Popen gives it; bubblewrap passes signals on as 128 + n) in words."""
    if status is None:
        return ""
    try:
        return f"ended by {signal.Signals(-status if status < 0 else status - 128).name}"
    except ValueError:
        return f"ended with status {status}"
