"""Who may be connected to whom."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tenzij import config
from tenzij.channels.control import Accept, Connect, Connected, Refusal, ToChild, close_all
from tenzij.supervisor.broker import MAY_REACH, SERVER_BURST, Broker, Target, target_for
from tenzij.supervisor.child import Child, Patience
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.home import Home
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.roles import LedgerRole, RegisterRole

ALLOWED = {
    ("gateway", "ledger"): Target("ledger"),
    ("gateway", "register"): Target("register"),
    ("gateway", "worker:m"): Target("worker", "m"),
    ("gateway", "worker:a:b"): Target("worker", "a:b"),
    ("gateway", "worker:"): Target("worker", ""),
}
ASKERS = ["gateway", "ledger", "register", "worker", "operator", "supervisor", ""]
NAMES = [
    "ledger",
    "register",
    "gateway",
    "worker",
    "worker:m",
    "worker:",
    "ledger:",
    "ledger:x",
    "operator",
    "",
    ":",
    "Ledger",
]


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("to", NAMES)
def test_the_whole_table(asker: str, to: str) -> None:
    if (asker, to) in ALLOWED:
        assert target_for(asker, to) == ALLOWED[asker, to]
    else:
        with pytest.raises(Refusal, match="may not reach"):
            target_for(asker, to)


def test_every_kind_has_a_row() -> None:
    assert set(MAY_REACH) == {"gateway", "register", "ledger", "worker"}


@given(st.sampled_from(["ledger", "register", "worker"]), st.text())
def test_only_the_gateway_reaches_anything(asker: str, to: str) -> None:
    with pytest.raises(Refusal):
        target_for(asker, to)


@given(st.text())
def test_a_refusal_does_not_repeat_what_was_asked(to: str) -> None:
    with pytest.raises(Refusal) as refusal:
        target_for("ledger", to)
    assert str(refusal.value) == "a ledger may not reach that"


class Peer(Child):
    """A child without a process, that keeps what it is sent."""

    def __init__(self, role: LedgerRole | RegisterRole, state: State = State.READY) -> None:
        super().__init__(role, Patience(1, 1, 1, 1), lambda _: None, lambda *_: None)
        self.state = state
        self.sent: list[tuple[ToChild, list[int]]] = []

    @override
    def send(self, message: ToChild, descriptors: object = ()) -> None:
        assert isinstance(descriptors, list | tuple)
        self.sent.append((message, list(descriptors)))


def no_launch(_: Profile) -> Launched:
    raise AssertionError


def peer(kind: str, state: State = State.READY) -> Peer:
    """A child of this kind; only its name counts here."""
    role = LedgerRole(config.Config(), Home(Path("/nowhere")), no_launch)
    role._profile = Profile(kind, "")
    return Peer(role, state)


def no_worker(_: str) -> socket.socket:
    raise Refusal("the worker is not ready")


async def test_a_server_gets_one_end_with_the_askers_role_and_the_asker_the_other() -> None:
    gateway, ledger = peer("gateway"), peer("ledger")
    Broker({"ledger": ledger}, no_worker).answer(gateway, Connect(7, "ledger"))
    ((accept, (at_server,)),) = ledger.sent
    ((connected, (at_asker,)),) = gateway.sent
    assert accept == Accept("gateway")
    assert connected == Connected(7)
    with socket.socket(fileno=at_server) as one, socket.socket(fileno=at_asker) as other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"


@pytest.mark.parametrize("state", set(State) - {State.READY})
async def test_a_server_that_is_not_ready_is_said_at_once(state: State) -> None:
    gateway, ledger = peer("gateway"), peer("ledger", state)
    Broker({"ledger": ledger}, no_worker).answer(gateway, Connect(7, "ledger"))
    assert gateway.sent == [(Connected(7, "the ledger is not ready"), [])]
    assert not ledger.sent


async def test_a_server_is_not_flooded_and_nothing_is_left_open() -> None:
    gateway, ledger, register = peer("gateway"), peer("ledger"), peer("register")
    before = len(os.listdir("/proc/self/fd"))
    broker = Broker({"ledger": ledger, "register": register}, no_worker)
    for ask in range(3 * SERVER_BURST):
        broker.answer(gateway, Connect(ask, "ledger"))
    assert SERVER_BURST <= len(ledger.sent) <= SERVER_BURST + 1
    assert gateway.sent[-1] == (
        Connected(3 * SERVER_BURST - 1, "too many connections to the ledger in a short time"),
        [],
    )
    broker.answer(gateway, Connect(1, "register"))
    assert len(register.sent) == 1  # each server has an allowance of its own
    for _, descriptors in [*gateway.sent, *ledger.sent, *register.sent]:
        close_all(descriptors)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_worker_is_connected_by_its_models_name() -> None:
    asked = []

    def to_worker(model: str) -> socket.socket:
        asked.append(model)
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    gateway = peer("gateway")
    Broker({}, to_worker).answer(gateway, Connect(1, "worker:m"))
    assert asked == ["m"]
    assert gateway.sent[0][0] == Connected(1)
    close_all(gateway.sent[0][1])


async def test_a_worker_that_refuses_is_said() -> None:
    gateway = peer("gateway")
    Broker({}, no_worker).answer(gateway, Connect(1, "worker:m"))
    assert gateway.sent == [(Connected(1, "the worker is not ready"), [])]


async def test_no_descriptors_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def socketpair(*_: object) -> None:
        raise OSError(24, "Too many open files")

    gateway, ledger = peer("gateway"), peer("ledger")
    broker = Broker({"ledger": ledger}, no_worker)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", socketpair)
        broker.answer(gateway, Connect(1, "ledger"))
    assert gateway.sent == [(Connected(1, "no connection can be made: Too many open files"), [])]


@pytest.mark.parametrize("kind", ["ledger", "register", "worker"])
async def test_nobody_else_is_connected(kind: str) -> None:
    asker, ledger, register = peer(kind), peer("ledger"), peer("register")
    broker = Broker({"ledger": ledger, "register": register}, no_worker)
    for to in ("ledger", "register", "gateway", "worker:m"):
        broker.answer(asker, Connect(1, to))
    assert all(message == Connected(1, f"a {kind} may not reach that") for message, _ in asker.sent)
    assert not ledger.sent
    assert not register.sent
