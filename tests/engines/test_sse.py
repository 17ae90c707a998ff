"""Server-sent events: the same frames in any cuts, bounded, and garbage is our error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.engines.sse import BadStream, SseParser

LIMIT = 1000

data_lines = st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b""))
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
noise = st.lists(st.sampled_from([b": ping", b":", b"event: message", b"id: 7", b"retry: 10", b""]), max_size=3)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream and the payloads in it."""
    end = draw(line_ends)
    raw, payloads = b"", []
    for lines in draw(st.lists(st.lists(data_lines, min_size=1, max_size=3), max_size=5)):
        for line in draw(noise):
            raw += line + end
        space = draw(st.sampled_from([b"", b" "])) if not lines[0].startswith(b" ") else b" "
        for line in lines:
            raw += b"data:" + (b" " if line.startswith(b" ") else space) + line + end
        raw += end
        payloads.append(b"\n".join(lines))
    return raw, payloads


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(edges)]


@given(streams(), st.lists(st.integers(min_value=0), max_size=30))
def test_any_cuts_give_the_same_frames(stream: tuple[bytes, list[bytes]], places: list[int]) -> None:
    raw, payloads = stream
    parser = SseParser(LIMIT)
    found = [payload for piece in cut(raw, places) for payload in parser.feed(piece)]
    assert found == payloads
    assert parser.is_between_frames


@given(streams())
def test_byte_by_byte_gives_the_same_frames(stream: tuple[bytes, list[bytes]]) -> None:
    raw, payloads = stream
    parser = SseParser(LIMIT)
    assert [payload for byte in raw for payload in parser.feed(bytes([byte]))] == payloads


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=5))
def test_any_bytes_give_frames_or_our_error(raw: bytes, places: list[int]) -> None:
    parser = SseParser(LIMIT)
    try:
        for piece in cut(raw, places):
            parser.feed(piece)
    except BadStream:
        pass


@pytest.mark.parametrize(
    "garbage", [b"\x00\xff\x13\n", b"HTTP/1.1 200 OK\r\n", b"Data: x\n", b'{"error": 1}\n', b"datax\n"]
)
def test_garbage_is_our_error(garbage: bytes) -> None:
    with pytest.raises(BadStream, match="not an event"):
        SseParser(LIMIT).feed(b"data: {}\n\n" + garbage)


@pytest.mark.parametrize(
    "endless",
    [b"x" * (LIMIT + 1), b"data: " + b"x" * LIMIT, b"data: x\n" * LIMIT, b":" + b" " * LIMIT],
    ids=["no field", "one line", "many lines", "comment"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_endless_frame_is_refused_before_it_is_held(endless: bytes, size: int) -> None:
    parser = SseParser(LIMIT)
    with pytest.raises(BadStream, match="too large"):
        for start in range(0, len(endless), size):
            parser.feed(endless[start : start + size])


def test_a_frame_of_exactly_the_limit_passes() -> None:
    payload = b"x" * (LIMIT - 2)
    assert SseParser(LIMIT).feed(b"data: " + payload + b"\n\n") == [payload]


def test_a_cut_event_shows() -> None:
    parser = SseParser(LIMIT)
    assert parser.feed(b"data: whole\n\ndata: ha") == [b"whole"]
    assert not parser.is_between_frames
    assert parser.feed(b"lf\n") == []
    assert not parser.is_between_frames
    assert parser.feed(b"\n") == [b"half"]
    assert parser.is_between_frames
