"""The platform with scripted children: up, connected, restarted, given up, down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.running import CONTENT, POLICY_KEY, Running, model, platform, settings
from supervisor.waiting import until
from tenzij.errors import TenzijError
from tenzij.supervisor.confinement.launcher import CannotConfine
from tenzij.supervisor.events import ChildChanged, Event, Listening, Serving, Stopped, Stopping
from tenzij.supervisor.home import BadHome
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.listener import CannotListen
from tenzij.supervisor.lock import AlreadyRunning
from tenzij.supervisor.platform import GivenUp, Platform


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def open_home(home: Path) -> Path:
    home.mkdir()
    home.chmod(0o777)
    return home


def one_model(running: Running) -> None:
    running.named(model(running.home.path, "m"))


def cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error inside a task group's."""
    (error,) = group.exceptions
    return cause(error) if isinstance(error, BaseExceptionGroup) else error


# Up


async def test_all_come_up_in_order_and_go_down_in_order(home: Path) -> None:
    async with platform(home, prepare=one_model) as running:
        await running.serving()
        await running.reaches("worker:m", State.READY)
    ready = [e.child for e in running.events if isinstance(e, ChildChanged) and e.state is State.READY]
    assert ready.index("gateway") > ready.index("register")
    assert ready.index("worker:m") > ready.index("register")
    serving = [type(e) for e in running.events].index(Serving)
    before = [e.child for e in running.events[:serving] if isinstance(e, ChildChanged) and e.state is State.READY]
    assert {"register", "ledger", "gateway"} <= set(before)
    assert isinstance(running.events[0], Listening)
    stopping = [type(e) for e in running.events].index(Stopping)
    down = [e.child for e in running.events[stopping:] if isinstance(e, ChildChanged) and e.state is State.STOPPED]
    assert down[0] == "gateway"
    assert set(down) == {"gateway", "ledger", "register", "worker:m"}
    assert running.events[-1] == Stopped()


async def test_the_gateway_gets_its_configuration_and_the_pinned_key(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        told = json.loads(await running.says("config"))
        assert told["policy_key"] == POLICY_KEY
        assert told["organisation"] == "organisatie"
        assert told["gateway"]["max_body_bytes"] == 4 * 1024 * 1024
        assert (home / "policy.pub").read_text().strip() == POLICY_KEY


async def test_the_gateway_reaches_whom_it_may(home: Path) -> None:
    async with platform(home, prepare=one_model) as running:
        await running.serving()
        await running.reaches("worker:m", State.READY)
        assert await running.says("ledger hello") == "gateway hello"  # the role is in the ledger's answer
        assert await running.says("register hello") == "gateway hello"
        assert await running.says("worker:m hello") == "m hello"
        assert await running.says("worker:x hello") == "refused there is no such worker"
        assert await running.says("gateway hello") == "refused a gateway may not reach that"


async def test_the_gateway_is_told_of_every_worker(home: Path) -> None:
    def two_models(running: Running) -> None:
        running.named(model(home, "a", 1), model(home, "b", 2))

    async with platform(home, prepare=two_models) as running:
        await running.serving()
        await running.reaches("worker:a", State.READY)
        await running.reaches("worker:b", State.READY)
        states = await running.workers(a="ready", b="ready")
        assert states["a"]["weights"] == f"{1:064x}"
        assert states["a"]["verification"] == "gehasht"


async def test_the_operator_speaks_to_the_register_as_operator(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        assert await running.operate("hello") == "operator hello"


async def test_an_operator_waits_for_the_register(home: Path) -> None:
    async with platform(home) as running:
        await until(lambda: (home / "run" / "control.sock").exists(), "socket")
        assert running.state("register") is not State.READY
        assert await running.operate("early") == "operator early"


async def test_an_operator_waits_for_the_register_to_come_back(home: Path) -> None:
    async with platform(home, settings(restart_backoff_s=0.5, restart_backoff_max_s=0.5)) as running:
        await running.serving()
        os.kill(running.pid("register"), signal.SIGKILL)
        await running.reaches("register", State.BACKOFF)
        assert await running.operate("early") == "operator early"


# Models that come and go


async def test_models_come_and_go_while_it_runs(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        await running.workers()
        running.named(model(home, "a", 1))
        await running.operate()
        await running.reaches("worker:a", State.READY)
        running.named(model(home, "b", 2))
        await running.operate()
        await running.reaches("worker:a", State.STOPPED)
        await running.reaches("worker:b", State.READY)
        await running.workers(b="ready")


async def test_a_worker_on_its_way_down_is_not_connected_to(home: Path) -> None:
    async with platform(home, prepare=one_model, worker="worker_that_stays") as running:
        await running.serving()
        await running.reaches("worker:m", State.READY)
        assert await running.says("worker:m x") == "m x"
        running.named()
        await running.operate()
        await running.reaches("worker:m", State.STOPPING)
        assert await running.says("worker:m x") == "refused the worker is not ready"
        assert running.state("worker:m") is State.STOPPING


async def test_a_changed_record_gives_a_new_worker(home: Path) -> None:
    async with platform(home, prepare=one_model) as running:
        await running.reaches("worker:m", State.READY)
        first = running.pid("worker:m")
        running.named(model(home, "m", 2))
        await running.operate()
        await until(lambda: running.pid("worker:m") != first, "a new process")
        await running.reaches("worker:m", State.READY)
        await running.serving()
        running.named(model(home, "m", 2), model(home, "another", 3))
        await running.operate()  # what the gateway is told after this is about the new worker
        assert (await running.workers(m="ready", another="ready"))["m"]["weights"] == f"{2:064x}"


async def test_the_same_record_leaves_its_worker_alone(home: Path) -> None:
    async with platform(home, prepare=one_model) as running:
        await running.reaches("worker:m", State.READY)
        first = running.pid("worker:m")
        await running.operate()
        await running.operate()
        assert running.pid("worker:m") == first
        assert running.state("worker:m") is State.READY


async def test_missing_weights_give_up_that_model_alone_until_they_are_there(home: Path) -> None:
    def missing(running: Running) -> None:
        running.named(model(home, "good", 1), model(home, "bad", 2))
        (home / "models" / f"{2:064x}.gguf").rename(home / "models" / "elsewhere")

    async with platform(home, prepare=missing) as running:
        await running.serving()
        await running.reaches("worker:good", State.READY)
        await running.reaches("worker:bad", State.GIVEN_UP)
        states = await running.workers(good="ready", bad="given_up")
        assert "missing" in states["bad"]["reason"]
        assert await running.says("worker:good x") == "good x"
        assert await running.says("worker:bad x") == "refused the worker is not ready"
        (home / "models" / "elsewhere").rename(home / "models" / f"{2:064x}.gguf")
        await running.operate()  # the register names its models again
        await running.reaches("worker:bad", State.READY)


@pytest.mark.parametrize("file", ["../register/keys", "/etc/passwd", "x.gguf", "", f"{2:064x}.gguf"])
async def test_a_file_name_that_is_not_the_hash_is_refused(home: Path, file: str) -> None:
    async with platform(home, prepare=lambda running: running.named(model(home, "m", file=file))) as running:
        await running.reaches("worker:m", State.GIVEN_UP)
        assert "not their hash" in running.reason("worker:m")


# Weights


async def test_always_hashes_at_every_start(home: Path) -> None:
    for _ in range(2):
        async with platform(home, settings(verify="always"), prepare=one_model) as running:
            await running.serving()
            await running.reaches("worker:m", State.READY)
            assert (await running.workers(m="ready"))["m"]["verification"] == "gehasht"


async def test_changed_hashes_once_and_again_after_a_change(home: Path) -> None:
    async def verification() -> str:
        async with platform(home, settings(verify="changed"), prepare=one_model) as running:
            await running.serving()
            await running.reaches("worker:m", State.READY)
            state = (await running.workers(m="ready"))["m"]
            assert state["weights"] == f"{1:064x}"
            return str(state["verification"])

    assert await verification() == "gehasht"
    assert await verification() == "ongewijzigd"
    weights = home / "models" / f"{1:064x}.gguf"
    before = weights.stat()
    weights.write_bytes(CONTENT)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await verification() == "gehasht"
    (home / "supervisor" / "verified.json").write_text("{}")
    assert await verification() == "gehasht"
    assert await verification() == "ongewijzigd"


@pytest.mark.parametrize(
    ("worker", "why"),
    [
        ("worker_with_link", "a symbolic link"),
        ("worker_with_file", "not a socket"),
        ("worker_with_open_socket", "an open socket"),
        ("worker_with_two", "2 descriptors"),
        ("worker_without", "0 descriptors"),
        ("worker_with_other_weights", "other weights"),
        ("worker_that_skips_hashing", "did not verify"),
        ("worker_that_touches_weights", "written to while"),
        ("fails_finally", "differ from their passport"),
        ("dies_at_once", "status 3"),
        ("never_ready", "not ready within"),
    ],
)
async def test_a_worker_that_is_not_right_is_given_up_alone(home: Path, worker: str, why: str) -> None:
    chosen = settings(verify="always", start_timeout_s=0.5 if worker == "never_ready" else 20.0)
    async with platform(home, chosen, prepare=one_model, worker=worker) as running:
        await running.serving()
        await running.reaches("worker:m", State.GIVEN_UP)
        assert why in running.reason("worker:m")
        assert why in (await running.workers(m="given_up"))["m"]["reason"]
        assert await running.says("worker:m x") == "refused the worker is not ready"
        assert await running.says("ledger x") == "gateway x"
    assert not (home / "supervisor" / "verified.json").exists()


async def test_a_worker_that_does_not_listen_is_said_at_each_ask(home: Path) -> None:
    async with platform(home, prepare=one_model, worker="worker_that_is_not_listening") as running:
        await running.serving()
        await running.reaches("worker:m", State.READY)
        assert await running.says("worker:m x") == "refused the worker does not listen"


# Restarts


@pytest.mark.parametrize("child", ["gateway", "ledger", "register", "worker:m"])
async def test_a_killed_child_comes_back_and_everything_works_again(home: Path, child: str) -> None:
    async with platform(home, prepare=one_model) as running:
        await running.serving()
        await running.reaches("worker:m", State.READY)
        first = running.pid(child)
        os.kill(first, signal.SIGKILL)
        await until(lambda: running.pid(child) != first, "another process")
        await running.reaches(child, State.READY)
        assert await running.says("ledger hello") == "gateway hello"
        assert await running.says("register hello") == "gateway hello"
        assert await running.says("worker:m hello") == "m hello"
        assert await running.operate("hello") == "operator hello"
        await running.workers(m="ready")


@pytest.mark.parametrize(("child", "role"), [("gateway", "gateway"), ("ledger", "ledger"), ("register", "register")])
async def test_giving_up_what_all_need_stops_everything_and_says_why(home: Path, child: str, role: str) -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        async with platform(home, also={role: "dies_at_once"}) as running:
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    error = cause(group.value)
    assert isinstance(error, GivenUp)
    assert f"the {child} was given up: ended with status 3; given up after 3 failed starts in a row" in error.message
    assert [e for e in running.events if isinstance(e, Stopping)] == [Stopping(error.message)]
    assert not any(isinstance(e, Serving) for e in running.events)


async def test_another_register_than_the_pinned_one_does_not_start(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
    with pytest.raises(BaseExceptionGroup) as group:
        async with platform(home, register="other_register") as running:
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert "another key than the one pinned" in str(cause(group.value))
    assert (home / "policy.pub").read_text().strip() == POLICY_KEY


async def test_a_register_without_a_key_does_not_start(home: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        async with platform(home, register="register_without_key") as running:
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert "does not say with which key it signs" in str(cause(group.value))


async def test_only_the_register_names_models(home: Path) -> None:
    with pytest.raises(BaseExceptionGroup):
        async with platform(home, prepare=one_model, ledger="names_models") as running:
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert "names models" in running.reason("ledger")


async def test_a_model_id_that_is_not_one_is_the_registers_fault(home: Path) -> None:
    with pytest.raises(BaseExceptionGroup):
        async with platform(home, register="bad_model_id") as running:
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert "whose id is not one" in running.reason("register")
    assert not any(isinstance(e, ChildChanged) and e.child.startswith("worker") for e in running.events)


# Down


async def test_children_that_ignore_everything_are_gone_in_time(home: Path) -> None:
    ignoring = "ignores_the_end"
    async with platform(home, register=ignoring, ledger=ignoring, gateway=ignoring) as running:
        await running.serving()
        began = time.monotonic()
        running.platform.stop("enough")
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
        assert 1.0 < time.monotonic() - began < 2.0 + 0.5
    assert running.events[-1] == Stopped(())


async def test_asked_twice_it_kills(home: Path) -> None:
    ignoring = "ignores_the_end"
    chosen = settings(stop_timeout_s=600.0)
    async with platform(home, chosen, register=ignoring, ledger=ignoring, gateway=ignoring) as running:
        await running.serving()
        began = time.monotonic()
        running.platform.stop("enough")
        await running.reaches("gateway", State.STOPPING)
        running.platform.stop("now")
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
        assert time.monotonic() - began < 5


async def test_what_was_just_started_again_is_killed_too(home: Path) -> None:
    """The second request comes while the gateway is still on its way down, and the others come back in between."""
    ignoring = "ignores_the_end"
    chosen = settings(stop_timeout_s=600.0)
    async with platform(home, chosen, register=ignoring, ledger=ignoring, gateway=ignoring) as running:
        await running.serving()
        family = running.platform._family
        assert family is not None
        kill = family._gateway.kill
        first = running.pid("ledger")

        def kill_late() -> None:
            group.create_task(kill_once_others_are_back())

        async def kill_once_others_are_back() -> None:
            await until(lambda: running.pid("ledger") != first and running.state("ledger") is State.READY, "back")
            kill()

        family._gateway.kill = kill_late  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            running.platform.stop("enough")
            await running.reaches("gateway", State.STOPPING)
            running.platform.stop("now")
            await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_stop_it(home: Path, number: signal.Signals) -> None:
    async with platform(home) as running:
        await running.serving()
        os.kill(os.getpid(), number)
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")


@pytest.fixture
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that was ignored when the platform was started, as `&` and nohup do."""
    before = signal.signal(request.param, signal.SIG_IGN)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM], indirect=True)
async def test_what_a_script_ignored_for_it_stops_it_all_the_same(home: Path, ignored: signal.Signals) -> None:
    async with platform(home) as running:
        await running.serving()
        os.kill(os.getpid(), ignored)
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")


@pytest.mark.parametrize("ignored", [signal.SIGHUP], indirect=True)
async def test_under_nohup_a_closed_terminal_does_not_stop_it(home: Path, ignored: signal.Signals) -> None:
    async with platform(home) as running:
        await running.serving()
        os.kill(os.getpid(), ignored)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert [e.reason for e in running.events if isinstance(e, Stopping)] == ["SIGTERM"]


@pytest.mark.parametrize("child", ["register", "ledger", "gateway"])
async def test_stopped_while_it_comes_up(home: Path, child: str) -> None:
    async with platform(home, also={child: "never_ready"}) as running:
        await running.reaches(child, State.STARTING)
        running.platform.stop("enough")
        await until(lambda: any(isinstance(e, Stopped) for e in running.events), "stopped")
    assert not any(isinstance(e, Serving) for e in running.events)


async def test_the_gateway_is_told_nothing_before_the_registers_key_is_known(home: Path) -> None:
    async with platform(home, register="never_ready", gateway="fails_when_told") as running:
        await running.reaches("gateway", State.STARTING)
        await running.reaches("ledger", State.READY)
        assert running.state("gateway") is State.STARTING
        assert not running.reason("gateway")


async def test_it_can_be_started_again_at_once_on_the_same_port(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        (listening,) = [e for e in running.events if isinstance(e, Listening)]
        await running.says("workers")
    chosen = settings(port=listening.port)
    async with platform(home, chosen) as running:
        await running.serving()


# Refused at once


async def refused(home: Path, **functions: Any) -> TenzijError:
    with pytest.raises(BaseExceptionGroup) as group:
        async with platform(home, **functions) as running:
            await until(lambda: running.events, "an event", 0.5)
    found = [e for e in flat(group.value) if isinstance(e, TenzijError)]
    assert len(found) == 1
    return found[0]


def flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    parts = [flat(e) if isinstance(e, BaseExceptionGroup) else [e] for e in group.exceptions]
    return [error for part in parts for error in part]


async def test_nothing_is_made_where_nothing_can_be_confined(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def way(_: object) -> None:
        raise CannotConfine("bubblewrap is missing")

    monkeypatch.setattr("tenzij.supervisor.platform.way_to_confine", way)
    with pytest.raises(CannotConfine, match="bubblewrap is missing"):
        await Platform(settings(), home, lambda _: None).run()
    assert os.listdir(home.parent) == []


async def test_a_terminal_that_is_gone_is_no_reason_to_go_down(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        hears = running.platform._hears

        def gone(event: Event) -> None:
            hears(event)
            raise BrokenPipeError

        running.platform._hears = gone
        os.kill(running.pid("ledger"), signal.SIGKILL)
        await running.reaches("ledger", State.BACKOFF)
        await running.reaches("ledger", State.READY)


async def test_a_second_one_on_the_same_home_says_who_runs(home: Path) -> None:
    async with platform(home) as running:
        await running.serving()
        error = await refused(home)
        assert isinstance(error, AlreadyRunning)
        assert f"process {os.getpid()}" in error.message
        assert await running.operate("still here") == "operator still here"


async def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = await refused(home, chosen=settings(port=port))
    assert isinstance(error, CannotListen)
    assert "gateway.port" in error.message


async def test_a_home_that_others_can_write(open_home: Path) -> None:
    assert isinstance(await refused(open_home), BadHome)
    assert os.listdir(open_home) == []


async def test_a_programming_error_leaves_no_process(home: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        async with platform(home) as running:
            await running.serving()

            def broken(*_: object) -> None:
                raise ZeroDivisionError

            assert running.platform._family is not None
            running.platform._family._ledger._changed = broken
            os.kill(running.pid("ledger"), signal.SIGKILL)
            await asyncio.sleep(60)
    assert any(isinstance(error, ZeroDivisionError) for error in flat(group.value))
