"""The control channel: messages and descriptors arrive whole, bad ones become our error, and nothing leaks."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenzij.channels import control
from tenzij.channels.control import (
    Accept,
    BadMessage,
    ChildControl,
    Connect,
    Connected,
    Failed,
    Ready,
    Refusal,
    Start,
    Stop,
    Workers,
    WorkerState,
)
from tenzij.types import ModelId

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    supervisor, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with supervisor, child:
        yield supervisor, child


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    "message",
    [
        Start({"folder": "/state"}),
        Accept("gateway"),
        Workers([WorkerState(ModelId("m"), "ready")]),
        Stop(1.5),
        Connected(3, "not now"),
    ],
)
def test_what_the_supervisor_sends_arrives(pair: Pair, message: control.ToChild) -> None:
    control.send(pair[0], message)
    assert control.receive_at_child(pair[1]) == (message, [])


@pytest.mark.parametrize("message", [Ready({"a": 1}), Failed("x", "why", final=True), Connect(1, "ledger")])
def test_what_a_child_sends_arrives(pair: Pair, message: control.ToSupervisor) -> None:
    control.send(pair[1], message)
    assert control.receive_at_supervisor(pair[0]) == (message, [])


def test_a_descriptor_travels_and_is_not_inherited_further(pair: Pair) -> None:
    reading, writing = os.pipe()
    control.send(pair[0], Start({}), [reading])
    received = control.receive_at_child(pair[1])
    assert received is not None
    (copy,) = received[1]
    os.write(writing, b"x")
    assert os.read(copy, 1) == b"x"
    assert not os.get_inheritable(copy)
    control.close_all([reading, writing, copy])


def test_end_of_file_is_none(pair: Pair) -> None:
    pair[0].close()
    assert control.receive_at_child(pair[1]) is None


def test_a_child_cannot_send_what_only_the_supervisor_sends(pair: Pair) -> None:
    control.send(pair[1], Start({}))
    with pytest.raises(BadMessage):
        control.receive_at_supervisor(pair[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_from_a_child_are_a_message_or_bad(pair: Pair, junk: bytes) -> None:
    pair[1].send(junk)
    try:
        received = control.receive_at_supervisor(pair[0])
    except BadMessage:
        return
    assert received is not None


def test_descriptors_beside_a_bad_message_are_closed(pair: Pair) -> None:
    reading, writing = os.pipe()
    before = open_descriptors()
    socket.send_fds(pair[1], [b"junk"], [reading, writing])
    with pytest.raises(BadMessage):
        control.receive_at_supervisor(pair[0])
    assert open_descriptors() == before
    control.close_all([reading, writing])


def test_an_oversized_message_is_refused_before_sending(pair: Pair) -> None:
    with pytest.raises(ValueError, match="too large"):
        control.send(pair[0], Start({"x": "y" * control.MAX_MESSAGE_BYTES}))


async def answer(supervisor: socket.socket, error: str | None = None) -> socket.socket | None:
    """Answers one Connect as the supervisor does; gives the far end."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(supervisor, readable.set)
    await asyncio.wait_for(readable.wait(), 5)
    loop.remove_reader(supervisor)
    received = control.receive_at_supervisor(supervisor)
    assert received is not None
    ask = received[0]
    assert isinstance(ask, Connect)
    if error:
        control.send(supervisor, Connected(ask.ask, error))
        return None
    near, far = socket.socketpair()
    control.send(supervisor, Connected(ask.ask), [near.fileno()])
    near.close()
    return far


async def test_a_child_is_handed_the_connection_that_it_asked_for(pair: Pair) -> None:
    child = ChildControl(pair[1])
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(answer(pair[0]))
        asking = group.create_task(child.connect("ledger"))
    far = answering.result()
    assert far is not None
    with far, asking.result() as connection:
        far.send(b"hello")
        assert await asyncio.get_running_loop().sock_recv(connection, 5) == b"hello"
    child.close()


async def test_a_refused_connection_says_why(pair: Pair) -> None:
    child = ChildControl(pair[1])
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(answer(pair[0], "the ledger is not ready"))
            group.create_task(child.connect("ledger"))
    assert caught.group_contains(Refusal, match="the ledger is not ready")
    child.close()


async def test_a_late_answer_is_closed_and_leaks_nothing(pair: Pair) -> None:
    child = ChildControl(pair[1])
    before = open_descriptors()
    with pytest.raises(Refusal, match="within"):
        await child.connect("ledger", timeout_s=0.01)
    far = await answer(pair[0])
    assert far is not None
    far.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(far, 1) == b""  # our end was closed
    far.close()
    assert open_descriptors() == before
    child.close()


async def test_a_cancel_that_meets_the_answer_is_not_lost(pair: Pair) -> None:
    child = ChildControl(pair[1])
    before = open_descriptors()
    asking = asyncio.get_running_loop().create_task(child.connect("ledger"))
    far = await answer(pair[0])
    assert far is not None
    child._on_readable()  # the answer is there, and its asker has not run yet
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    far.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(far, 1) == b""  # our end was closed
    far.close()
    assert open_descriptors() == before
    child.close()


async def test_when_the_supervisor_goes_all_that_wait_are_told(pair: Pair) -> None:
    child = ChildControl(pair[1])
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_refusal_of(child))
        await asyncio.wait_for(
            asyncio.get_running_loop().run_in_executor(None, control.receive_at_supervisor, pair[0]), 5
        )
        pair[0].close()
    assert "closed" in asking.result()
    assert await child.incoming.get() is None


async def _refusal_of(child: ChildControl) -> str:
    try:
        await child.connect("ledger")
    except Refusal as refusal:
        return str(refusal)
    raise AssertionError("a connection came from nowhere")
