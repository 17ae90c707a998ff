"""Server-sent events, read piece by piece: bytes in any cuts -> the payload of each event.

As in the WHATWG HTML standard, section 9.2.6: lines end in CRLF, LF or CR; an empty line ends an event; the `data`
lines of one event are joined with a newline; a line that begins with a colon is a comment. Two differences, on purpose:

- A frame has a bound. The standard has none, and an engine that never ends a line would fill the memory.
- A field that the standard does not know is an error, not passed over: an engine sends none, so the bytes are garbage.

Pure: no I/O, and the same frames whatever the cuts.
"""

from __future__ import annotations

import re
from typing import Final

from tenzij.errors import EngineError

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_PASSED_OVER: Final = frozenset({b"event", b"id", b"retry"})


class BadStream(EngineError):
    """The bytes are not server-sent events, or a frame is too large."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"The model's engine sent something unreadable ({rule}). Try again.")


class SseParser:
    """One stream's parser. After BadStream it is of no further use."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._rest = b""  # an unfinished line
        self._after_cr = False  # a line feed that comes next belongs to the line end before
        self._data: list[bytes] = []  # the lines of an unfinished event
        self._data_bytes = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting an event."""
        return not self._rest and not self._data

    def feed(self, received: bytes) -> list[bytes]:
        """The payloads of the events that `received` completes. Raises BadStream."""
        if not received:
            return []
        if self._after_cr and received.startswith(b"\n"):
            received = received[1:]
            self._after_cr = False
            if not received:
                return []
        self._after_cr = received.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + received)
        payloads = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                payloads.append(b"\n".join(self._data))
                self._data, self._data_bytes = [], 0
        self._verify_size(len(self._rest))
        return payloads

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value) + 1
            self._verify_size(0)
        elif field and field not in _PASSED_OVER:
            raise BadStream("not an event")

    def _verify_size(self, pending_bytes: int) -> None:
        if self._data_bytes + pending_bytes > self._max_frame_bytes:
            raise BadStream("an event that is too large")
