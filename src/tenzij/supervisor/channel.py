"""The supervisor's end of one child's control channel, in the event loop.

Rules
- The child is not trusted. What cannot be read, comes too often, or carries descriptors where none belong breaks the
  channel; nothing more is read from it, and its owner is told once why.
- Sending never waits. What the child does not take yet is kept in order, up to `MOST_UNSENT` messages; a child that
  lets more pile up breaks the channel.
- Descriptors given to `send` belong to the channel from then on; they are closed once sent, or never sent.
- The end of the channel (`ended`) is no fault by itself: a process that exits closes it a moment before it is seen to
  be gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tenzij.channels.control import (
    BadMessage,
    Ready,
    ToChild,
    ToSupervisor,
    close_all,
    receive_at_supervisor,
    send,
)
from tenzij.supervisor.allowance import Allowance

MOST_UNSENT: Final = 256
BURST: Final = 10_000
PER_SECOND: Final = 5000.0  # at worst a gateway asks a connection for each of its requests, of which it serves fewer


class Channel:
    """Reads from construction on, until `close`. Takes over `sock`."""

    def __init__(
        self,
        sock: socket.socket,
        heard: Callable[[ToSupervisor, list[int]], None],
        broken: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._heard = heard
        self._broken = broken
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._allowance = Allowance(BURST, PER_SECOND, self._loop.time())
        self._unsent: deque[tuple[ToChild, Sequence[int]]] = deque()
        self._reading = True
        self._writing = True
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def send(self, message: ToChild, descriptors: Sequence[int] = ()) -> None:
        """Sends it, at once or when the child takes it; drops it when the channel is closed or the child is gone."""
        if not self._writing:
            close_all(descriptors)
            return
        self._unsent.append((message, descriptors))
        if len(self._unsent) == 1:
            self._on_writable()
        elif len(self._unsent) > MOST_UNSENT:
            self._break("does not read its control channel")

    def close(self) -> None:
        """Stops all; what was not sent never will be."""
        if self._sock.fileno() < 0:
            return
        self._stop_reading()
        self._stop_writing()
        self._sock.close()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def _stop_writing(self) -> None:
        self._writing = False
        self._loop.remove_writer(self._sock.fileno())
        while self._unsent:
            close_all(self._unsent.popleft()[1])

    def _break(self, why: str) -> None:
        self._stop_reading()
        self._stop_writing()
        self._broken(why)

    def _on_readable(self) -> None:
        try:
            received = receive_at_supervisor(self._sock)
        except BlockingIOError:
            return
        except BadMessage:
            self._break("sent something unreadable on its control channel")
            return
        except OSError:  # reset: the child closed its end with messages unread
            received = None
        if received is None:
            self._stop_reading()
            self._ended()
            return
        message, descriptors = received
        if descriptors and not isinstance(message, Ready):
            close_all(descriptors)
            self._break("sent descriptors where none belong")
        elif not self._allowance.take(self._loop.time()):
            close_all(descriptors)
            self._break("floods its control channel")
        else:
            self._heard(message, descriptors)

    def _on_writable(self) -> None:
        while self._unsent:
            message, descriptors = self._unsent[0]
            try:
                send(self._sock, message, descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._on_writable)
                return
            except (BrokenPipeError, ConnectionError):
                pass  # the child is gone, which its owner sees by itself
            except OSError as error:  # e.g. ETOOMANYREFS: it leaves too many descriptors untaken
                self._break(f"cannot be sent to ({error.strerror})")
                return
            self._unsent.popleft()
            close_all(descriptors)
        self._loop.remove_writer(self._sock.fileno())
