"""The supervisor's end of a control channel, against a child that this test plays."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from supervisor.waiting import until
from tenzij.channels.control import (
    Accept,
    Connect,
    Connected,
    Failed,
    Ready,
    Stop,
    ToSupervisor,
    close_all,
    receive_at_child,
    send,
)
from tenzij.supervisor.channel import BURST, MOST_UNSENT, Channel


@dataclass
class Ends:
    """A channel, what it told, and the child's end."""

    channel: Channel
    child: socket.socket
    heard: list[tuple[ToSupervisor, list[int]]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    async def is_broken(self, why: str) -> None:
        """Broken once, for this reason, and not ended."""
        await until(lambda: self.broken, "broken")
        await asyncio.sleep(0)
        assert len(self.broken) == 1
        assert why in self.broken[0]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found: list[Ends] = []
    channel = Channel(
        ours,
        lambda message, descriptors: found[0].heard.append((message, descriptors)),
        lambda why: found[0].broken.append(why),
        lambda: found[0].ended.append(True),
    )
    found.append(Ends(channel, theirs))
    yield found[0]
    channel.close()
    theirs.close()
    for _, descriptors in found[0].heard:
        close_all(descriptors)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_messages_come_in_order(ends: Ends) -> None:
    send(ends.child, Ready({"a": 1}))
    send(ends.child, Failed("x", "y"))
    await until(lambda: len(ends.heard) == 2, "both")
    assert [message for message, _ in ends.heard] == [Ready({"a": 1}), Failed("x", "y")]


async def test_descriptors_come_with_ready_alone(ends: Ends) -> None:
    send(ends.child, Ready(), [0])
    await until(lambda: ends.heard, "heard")
    assert len(ends.heard[0][1]) == 1
    before = open_descriptors()
    send(ends.child, Connect(1, "ledger"), [0])
    await ends.is_broken("descriptors")
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff",
        b"{",
        b"[]",
        b'{"type":"stop","drain_s":1}',
        b'{"type":"ready","facts":"' + b"x" * 140_000 + b'"}',
        b'{"type":"ready","facts":{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}}",
        b'{"type":"ready","facts":{"a":"\xff"}}',
        b'{"type":"connect","ask":"1","to":"ledger"}',
    ],
    ids=["no UTF-8", "cut", "a list", "only ours to send", "too large", "deep", "bad UTF-8 inside", "wrong type"],
)
async def test_what_cannot_be_read_breaks_it(ends: Ends, packet: bytes) -> None:
    before = open_descriptors()
    socket.send_fds(ends.child, [packet], [0])
    await ends.is_broken("unreadable")
    assert not ends.heard
    assert open_descriptors() == before


async def test_more_descriptors_than_fit_break_it(ends: Ends) -> None:
    before = open_descriptors()
    socket.send_fds(ends.child, [b'{"type":"ready"}'], [0] * 40)
    await ends.is_broken("unreadable")
    assert open_descriptors() == before


async def test_a_flood_breaks_it_and_what_was_allowed_is_heard(ends: Ends) -> None:
    ends.child.setblocking(False)
    for ask in range(100_000):
        if ends.broken:
            break
        while not ends.broken:
            try:
                send(ends.child, Connect(ask, "ledger"))
                break
            except BlockingIOError:
                await asyncio.sleep(0)
    await ends.is_broken("floods")
    assert BURST <= len(ends.heard) < 3 * BURST


async def test_nothing_is_read_once_broken(ends: Ends) -> None:
    ends.child.send(b"x")
    send(ends.child, Ready())
    await ends.is_broken("unreadable")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not ends.heard


async def test_its_end_is_told_once_and_is_no_break(ends: Ends) -> None:
    ends.child.close()
    await until(lambda: ends.ended, "ended")
    for _ in range(20):
        await asyncio.sleep(0)
    assert ends.ended == [True]
    assert not ends.broken
    ends.channel.send(Stop(1.0))  # nobody is there, which is no error


async def test_what_does_not_fit_yet_is_sent_later_in_order(ends: Ends) -> None:
    texts = [str(number) + "x" * 50_000 for number in range(20)]
    for text in texts:
        ends.channel.send(Connected(1, text))
    received = []
    ends.child.setblocking(False)

    def receive() -> bool:
        try:
            message = receive_at_child(ends.child)
        except BlockingIOError:
            return False
        assert message is not None
        assert isinstance(message[0], Connected)
        received.append(message[0].error)
        return len(received) == len(texts)

    await until(receive, "all received")
    assert received == texts
    assert not ends.broken


async def test_descriptors_are_closed_here_once_sent(ends: Ends) -> None:
    reading, writing = os.pipe()
    ends.channel.send(Accept("gateway"), [writing])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)
    received = receive_at_child(ends.child)
    assert received is not None
    os.write(received[1][0], b"x")
    assert os.read(reading, 1) == b"x"
    close_all([reading, *received[1]])


async def test_who_does_not_read_breaks_it_and_no_descriptor_is_left(ends: Ends) -> None:
    before = open_descriptors()
    for _ in range(10 * MOST_UNSENT):
        ends.channel.send(Accept("gateway"), [os.dup(0)])
    await ends.is_broken("does not read")
    assert open_descriptors() == before


async def test_nothing_is_left_open_when_closed_with_messages_unsent(ends: Ends) -> None:
    before = open_descriptors()
    while len(open_descriptors()) - len(before) < 5:
        ends.channel.send(Accept("gateway"), [os.dup(0)])
    ends.channel.close()
    ends.channel.close()
    ends.channel.send(Accept("gateway"), [os.dup(0)])
    assert len(open_descriptors()) == len(before) - 1  # the channel itself
