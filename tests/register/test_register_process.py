"""The real process, with the test as its supervisor: feed, verbs, revocation, restart, stop, and starts that fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from register_world import DEADLINE_S, RunningRegister, eventually, passport, running
from tenzij.channels import control
from tenzij.channels.control import Accept, Connected, Failed, Models, Stop
from tenzij.channels.frames import frame
from tenzij.errors import CallerError, OperatorError
from tenzij.identity.keys import Keyring
from tenzij.identity.refusals import RevokedKey
from tenzij.policy.snapshot import Snapshot
from tenzij.register.database import FILE
from tenzij.register.feed import PolicyFeed
from tenzij.register.secret_files import PEPPER_FILE, SIGNING_FILE

REVOKED_WITHIN_S = 1.0


@pytest.fixture
def register(tmp_path: Path) -> Iterator[RunningRegister]:
    with running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegister]:
    """One process for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("register")) as started:
        started.start()
        started.heard_ready()
        yield started


@pytest.fixture
def ready(register: RunningRegister) -> RunningRegister:
    register.start()
    register.heard_ready()
    return register


class Gateway:
    """A gateway's feed on the real register."""

    def __init__(self, register: RunningRegister, policy_key: bytes) -> None:
        self.snapshots: list[Snapshot] = []
        self.rings: list[Keyring] = []
        self._register = register
        self.feed = PolicyFeed(self._connect, policy_key, self.snapshots.append, self.rings.append)

    async def _connect(self) -> socket.socket:
        return self._register.connected("gateway")

    async def until(self, condition: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110  what is waited for is another process
                await asyncio.sleep(0.002)

    def is_revoked(self, key: str) -> bool:
        try:
            self.rings[-1].caller(key, time.time_ns() // 1_000_000)
        except RevokedKey:
            return True
        return False


@contextlib.asynccontextmanager
async def following(register: RunningRegister, policy_key: bytes) -> AsyncIterator[Gateway]:
    gateway = Gateway(register, policy_key)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(gateway.feed.run())
        await gateway.until(lambda: gateway.feed.is_current(5))
        yield gateway
        task.cancel()


async def test_the_feed_gives_a_verified_policy_and_keys_and_then_each_change(register: RunningRegister) -> None:
    register.start()
    policy_key, models = register.heard_ready()
    assert models == Models([])
    async with following(register, policy_key) as gateway:
        assert list(gateway.snapshots[-1].use_cases) == ["verkenning"]
        assert len(gateway.rings[-1]) == 0
        with register.operator() as operator:
            await asyncio.to_thread(operator.call, "model_add", passport=passport())
            announced = register.heard()
            assert isinstance(announced, Models)
            assert [each.model for each in announced.models] == ["klein"]
            await gateway.until(lambda: "klein" in gateway.snapshots[-1].models)
            made = await asyncio.to_thread(
                operator.call, "key_create", name="proef", use_cases=["verkenning"], days=7, loopback_only=True
            )
        await gateway.until(lambda: len(gateway.rings[-1]) == 1)
        caller = gateway.rings[-1].caller(made["key"], made["made_ms"])
        assert (caller.key, caller.loopback_only) == (made["id"], True)


async def test_a_revocation_reaches_every_gateway_within_a_second(register: RunningRegister) -> None:
    register.start()
    policy_key, _ = register.heard_ready()
    async with following(register, policy_key) as one, following(register, policy_key) as other:
        with register.operator() as operator:
            for number in range(5):
                made = await asyncio.to_thread(
                    operator.call, "key_create", name=f"proef {number}", use_cases=["verkenning"], days=1
                )
                await one.until(lambda count=number + 1: len(one.rings[-1]) == count)  # type: ignore[misc]
                await other.until(lambda count=number + 1: len(other.rings[-1]) == count)  # type: ignore[misc]
                asked_s = time.monotonic()
                await asyncio.to_thread(operator.call, "key_revoke", id=made["id"])
                for gateway in (one, other):
                    left_s = REVOKED_WITHIN_S - (time.monotonic() - asked_s)
                    await gateway.until(lambda g=gateway, k=made["key"]: g.is_revoked(k), left_s)  # type: ignore[misc]


async def test_a_heart_beats_each_second(register: RunningRegister) -> None:
    register.start()
    policy_key, _ = register.heard_ready()
    async with following(register, policy_key) as gateway:
        until_s = time.monotonic() + 3.5
        while time.monotonic() < until_s:
            assert gateway.feed.is_current(2.5)
            await asyncio.sleep(0.05)
        assert len(gateway.snapshots) == 1


async def test_a_gateway_that_does_not_read_keeps_no_one_waiting(register: RunningRegister) -> None:
    register.start()
    policy_key, _ = register.heard_ready()
    with register.connected("gateway"):
        async with following(register, policy_key) as gateway:
            with register.operator() as operator:
                for number in range(20):
                    await asyncio.to_thread(
                        operator.call, "key_create", name=f"{number} " + "x" * 80, use_cases=["verkenning"], days=1
                    )
            await gateway.until(lambda: len(gateway.rings[-1]) == 20)


@pytest.mark.parametrize("role", ["", "worker:klein", "ledger", "Gateway", "register"])
def test_other_roles_are_closed_unread(shared: RunningRegister, role: str) -> None:
    with shared.connected(role) as sock:
        sock.settimeout(DEADLINE_S)
        assert sock.recv(1) == b""


def test_an_operator_gets_no_feed_and_a_gateway_no_verbs(shared: RunningRegister) -> None:
    request = frame(b'{"verb":"key_list","arguments":{}}')
    with shared.connected("gateway") as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(request)
        assert b"pepper" in sock.recv(65536)
    with shared.connected("operator") as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(request)
        assert sock.recv(65536)[4:] == b'{"result":[],"fault":null}'


def test_refusals_reach_the_operator_as_they_are(shared: RunningRegister) -> None:
    with shared.operator() as operator:
        with pytest.raises(CallerError) as caught:
            operator.call("key_revoke", id="k_none")
        assert (caught.value.code, caught.value.status) == ("not_found", 404)
        with pytest.raises(CallerError) as caught:
            operator.call("model_add", passport={"id": "x"})
        assert caught.value.code == "bad_passport"
        assert "licence: is missing" in str(caught.value)
        assert operator.call("key_list") == []


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"[]", b'{"verb":3}', b'{"verb":"key_list","more":1}', b"\xff", b"[" * 9999]
)
def test_a_request_that_is_none_is_refused_and_the_next_one_served(shared: RunningRegister, payload: bytes) -> None:
    with shared.connected("operator") as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(frame(payload))
        assert b'"bad_call"' in sock.recv(65536)
        sock.sendall(frame(b'{"verb":"key_list"}'))
        assert sock.recv(65536)[4:] == b'{"result":[],"fault":null}'


def test_a_huge_request_ends_the_connection_only(shared: RunningRegister) -> None:
    with shared.connected("operator") as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(b"\xff\xff\xff\xff")
        assert sock.recv(1) == b""
    with shared.operator() as operator:
        assert operator.call("key_list") == []


def test_an_operator_that_goes_away_in_the_middle_harms_no_one(ready: RunningRegister) -> None:
    with ready.connected("operator") as sock:
        sock.sendall(frame(b'{"verb":"key_create","arguments":{"name":"weg","use_cases":["verkenning"],"days":1}}'))
    with ready.connected("operator") as sock:
        sock.sendall(b"\x00\x00\x00\x10{")
    with ready.operator() as operator:
        eventually(lambda: [each["name"] for each in operator.call("key_list")] == ["weg"])


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.start()
        policy_key, _ = first.heard_ready()
        with first.operator() as operator:
            operator.call("model_add", passport=passport())
            first.heard()
            operator.call("key_create", name="proef", use_cases=["verkenning"], days=7)
            before = [operator.call(verb) for verb in ("key_list", "model_list", "use_case_list", "policy")]
        assert first.stop() == 0
    with running(tmp_path) as second:
        second.start()
        again, models = second.heard_ready()
        assert again == policy_key
        assert [each.model for each in models.models] == ["klein"]
        with second.operator() as operator:
            assert [operator.call(verb) for verb in ("key_list", "model_list", "use_case_list", "policy")] == before


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.start()
        first.heard_ready()
        with first.operator() as operator:
            made = operator.call("key_create", name="proef", use_cases=["verkenning"], days=7)
            operator.call("key_revoke", id=made["id"])
        first.process.kill()
    with running(tmp_path) as second:
        second.start()
        second.heard_ready()
        with second.operator() as operator:
            assert [each["state"] for each in operator.call("key_list")] == ["revoked"]


def test_the_end_of_the_control_channel_ends_the_process(ready: RunningRegister) -> None:
    with ready.connected("gateway"), ready.connected("operator"):
        ready.control.close()
        assert ready.process.wait(DEADLINE_S) == 0


def test_without_a_start_it_ends_with_its_supervisor(register: RunningRegister) -> None:
    register.control.close()
    assert register.process.wait(DEADLINE_S) == 0


def test_a_stop_ends_feeds_and_idle_operators_at_once(ready: RunningRegister) -> None:
    with ready.connected("gateway"), ready.connected("operator"):
        asked_s = time.monotonic()
        assert ready.stop(drain_s=60) == 0
        assert time.monotonic() - asked_s < 10


SLOW = """
import pathlib, socket, sys, time
from tenzij.register import process
perform, folder = process.perform, pathlib.Path(sys.argv[2])

def slow(register, verb, arguments):
    answer = perform(register, verb, arguments)
    (folder / "begun").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    return answer

process.perform = slow
with socket.socket(fileno=int(sys.argv[1])) as control:
    sys.exit(process.main(control))
"""


def test_a_stop_lets_the_request_in_hand_finish(tmp_path: Path) -> None:
    with running(tmp_path, SLOW) as register:
        register.start()
        register.heard_ready()
        with register.connected("operator") as busy, register.connected("operator") as idle:
            busy.settimeout(DEADLINE_S)
            idle.settimeout(DEADLINE_S)
            busy.sendall(frame(b'{"verb":"key_list"}'))
            eventually((tmp_path / "begun").exists)
            control.send(register.control, Stop(DEADLINE_S))
            assert idle.recv(1) == b"", "idle connections end at once"
            (tmp_path / "go").touch()
            assert busy.recv(65536)[4:] == b'{"result":[],"fault":null}'
            assert busy.recv(1) == b""
        assert register.process.wait(DEADLINE_S) == 0


def test_ctrl_c_is_the_supervisors_to_handle(shared: RunningRegister) -> None:
    os.kill(shared.process.pid, signal.SIGINT)
    with shared.operator() as operator:
        assert operator.call("key_list") == []


def test_messages_that_are_not_for_it_are_passed_over_and_their_descriptors_closed(shared: RunningRegister) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        control.send(shared.control, Connected(7), [theirs.fileno()])
        control.send(shared.control, Accept("operator"))
        control.send(shared.control, Accept("operator"), [theirs.fileno(), theirs.fileno()])
        theirs.close()
        ours.settimeout(DEADLINE_S)
        assert ours.recv(1) == b""
    with shared.operator() as operator:
        assert operator.call("key_list") == []


@pytest.mark.parametrize("config", [{}, {"folder": 3}, {"folder": "/x", "more": 1}])
def test_a_start_without_a_folder_fails(register: RunningRegister, config: dict[str, object]) -> None:
    register.start(config)
    assert register.heard_failed().code == "bad_start"


def test_another_first_message_fails(register: RunningRegister) -> None:
    control.send(register.control, Stop(1))
    assert register.heard_failed().code == "bad_start"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: (folder / SIGNING_FILE).unlink(), "secret_missing"),
        (lambda folder: (folder / PEPPER_FILE).unlink(), "secret_missing"),
        (lambda folder: (folder / FILE).write_bytes(b"no database" * 1000), "database_damaged"),
        (lambda folder: (folder / FILE).unlink(), "database_missing"),
    ],
    ids=["no_signing_key", "no_pepper", "damaged", "no_database"],
)
def test_a_spoiled_folder_is_told_to_the_supervisor(tmp_path: Path, spoil: Callable[[Path], object], code: str) -> None:
    with running(tmp_path) as first:
        first.start()
        first.heard_ready()
        assert first.stop() == 0
    spoil(tmp_path)
    with running(tmp_path) as second:
        second.start()
        failed: Failed = second.heard_failed()
    assert (failed.code, failed.final) == (code, True)
    assert failed.reason.endswith(".")


def test_many_idle_operators_do_not_keep_the_gateway_out(ready: RunningRegister) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(ready.connected("operator"))
        feed = stack.enter_context(ready.connected("gateway"))
        feed.settimeout(DEADLINE_S)
        assert b"pepper" in feed.recv(65536)
        with pytest.raises(OperatorError), ready.operator() as operator:
            operator.call("key_list")


def test_it_says_nothing_on_its_own_output(tmp_path: Path) -> None:
    with running(tmp_path) as register:
        register.start()
        register.heard_ready()
        with register.operator() as operator, contextlib.suppress(CallerError):
            operator.call("key_create", name="proef", use_cases=["verkenning"], days=7)
            operator.call("model_add", passport={})
        assert register.stop() == 0
        assert register.process.communicate() == (b"", b"")
