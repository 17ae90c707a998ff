"""Frames: any cut of the stream gives the same frames; too large or torn ones are refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.channels.frames import BadFrame, frame, read_frame


def frames_of(chunks: list[bytes], max_bytes: int = 100) -> list[bytes]:
    async def read() -> list[bytes]:
        reader = asyncio.StreamReader()
        for chunk in chunks:
            reader.feed_data(chunk)
        reader.feed_eof()
        found = []
        while (payload := await read_frame(reader, max_bytes)) is not None:
            found.append(payload)
        return found

    return asyncio.run(read())


@given(st.lists(st.binary(max_size=100), max_size=5), st.integers(1, 7))
def test_any_cut_gives_the_same_frames(payloads: list[bytes], size: int) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    assert frames_of([stream[i : i + size] for i in range(0, len(stream), size)]) == payloads


def test_a_frame_larger_than_allowed_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame, match="101 bytes; at most 100"):
        frames_of([frame(b"x" * 101)[:4]])


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_a_torn_frame_is_refused(keep: int) -> None:
    with pytest.raises(BadFrame, match="ended inside"):
        frames_of([frame(b"hello")[:keep]])
