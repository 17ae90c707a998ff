"""Frames on a stream between two processes: four bytes of length, big-endian, then that many bytes.

Rules
- The reader states the largest frame that it takes and refuses a larger one before reading it.
- What is in a frame is its two users' business; here it is bytes.
"""

from __future__ import annotations

import asyncio
import struct

_LENGTH = struct.Struct(">I")


class BadFrame(Exception):
    """The peer announced a frame larger than allowed, or stopped in the middle of one."""


async def read_frame(reader: asyncio.StreamReader, max_bytes: int) -> bytes | None:
    """The next frame's bytes; None at a clean end of the stream. Raises BadFrame."""
    try:
        header = await reader.readexactly(_LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadFrame("the stream ended inside a frame's length") from None
        return None
    (size,) = _LENGTH.unpack(header)
    if size > max_bytes:
        raise BadFrame(f"a frame of {size} bytes; at most {max_bytes} are allowed")
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise BadFrame("the stream ended inside a frame") from None


def frame(payload: bytes) -> bytes:
    """`payload` with its length in front, ready to write."""
    return _LENGTH.pack(len(payload)) + payload
