"""One child through its lives, with real processes that misbehave in every way that we thought of."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from supervisor.fake_launch import children, fake_launch
from supervisor.waiting import is_alive, until
from tenzij import config
from tenzij.channels.control import Accept, Connect, Models, ToChild
from tenzij.supervisor import tree
from tenzij.supervisor.child import Child, Patience
from tenzij.supervisor.confinement.launcher import CannotConfine, Launched
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.home import prepared
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.platform import with_programs
from tenzij.supervisor.roles import RegisterRole
from tenzij.supervisor.timing import AT_ONCE, plan_within

PATIENCE = Patience(first_pause_s=0.01, longest_pause_s=0.05, give_up_after=3, forgiven_after_s=60.0)
HASTE = plan_within(1.0)


class Watched:
    """A child with what it reported."""

    def __init__(self, child: Callable[[Watched], Child]) -> None:
        self.states: list[State] = []
        self.reasons: list[str] = []
        self.heard: list[Connect | Models] = []
        self.pids: list[int] = []
        self.child = child(self)

    def changed(self, child: Child) -> None:
        self.states.append(child.state)
        if child.reason:
            self.reasons.append(child.reason)
        if child.pid is not None:
            self.pids.append(child.pid)

    async def reaches(self, state: State, within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            await self.child.until(state)


@asynccontextmanager
async def watched(
    program: str,
    home: Path,
    patience: Patience = PATIENCE,
    launch: Callable[[Profile], Launched] = fake_launch,
    start_timeout_s: float = 20.0,
    holds_text: bool = False,
) -> AsyncIterator[Watched]:
    """A started child that runs `program`, in the register's role; killed in the end."""

    class Role(RegisterRole):
        pass

    Role.start_timeout_s = start_timeout_s
    Role.holds_text = holds_text
    role = Role(config.Config(), prepared(home), with_programs(launch, children(register=program)))
    async with asyncio.TaskGroup() as group:
        made = Watched(lambda watched: Child(role, patience, watched.changed, lambda _, m: watched.heard.append(m)))
        group.create_task(made.child.run())
        made.child.start()
        yield made
        made.child.kill()
        made.child.stop(AT_ONCE)
    assert made.child.state is State.STOPPED
    assert not any(map(is_alive, made.pids))


async def test_up_and_down(tmp_path: Path) -> None:
    async with watched("register", tmp_path) as it:
        await it.reaches(State.READY)
        pid = it.child.pid
        assert pid is not None
        assert is_alive(pid)
        it.child.stop(HASTE)
        await it.reaches(State.STOPPED)
        assert it.states == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]
        assert it.child.pid is None
        assert not it.reasons


async def test_who_dies_comes_back(tmp_path: Path) -> None:
    async with watched("register", tmp_path) as it:
        await it.reaches(State.READY)
        os.kill(it.child.pid or 0, signal.SIGKILL)
        await it.reaches(State.BACKOFF)
        assert it.child.reason == "ended by SIGKILL"
        await it.reaches(State.READY)
        assert it.child.reason == ""


async def test_who_dies_often_is_given_up_with_the_reason(tmp_path: Path) -> None:
    async with watched("dies_at_once", tmp_path) as it:
        await it.reaches(State.GIVEN_UP)
        assert it.child.reason == "ended with status 3; given up after 3 failed starts in a row"
        assert it.states == [
            State.STARTING,
            State.BACKOFF,
            State.STARTING,
            State.BACKOFF,
            State.STARTING,
            State.GIVEN_UP,
        ]


async def test_who_dies_twice_is_ready_the_third_time(tmp_path: Path) -> None:
    async with watched("dies_twice", tmp_path) as it:
        await until(lambda: it.states.count(State.STARTING) == 3, "a third start")
        await it.reaches(State.READY)


async def test_given_up_starts_anew_when_wanted(tmp_path: Path) -> None:
    async with watched("dies_at_once", tmp_path) as it:
        await it.reaches(State.GIVEN_UP)
        it.states.clear()
        it.child.start()
        it.child.start()  # twice is no mistake
        await it.reaches(State.STARTING)
        await it.reaches(State.GIVEN_UP)
        assert it.states.count(State.STARTING) == 3


async def test_a_good_while_makes_the_row_of_failures_start_anew(tmp_path: Path) -> None:
    async with watched("register", tmp_path, replace(PATIENCE, give_up_after=2, forgiven_after_s=0.0)) as it:
        for _ in range(4):
            await it.reaches(State.READY)
            os.kill(it.child.pid or 0, signal.SIGKILL)
            await it.reaches(State.BACKOFF)


async def test_without_a_good_while_the_row_goes_on(tmp_path: Path) -> None:
    async with watched("register", tmp_path, replace(PATIENCE, give_up_after=2)) as it:
        for _ in range(2):
            await it.reaches(State.READY)
            os.kill(it.child.pid or 0, signal.SIGKILL)
            await until(lambda: it.child.state is not State.READY, "seen")
        await it.reaches(State.GIVEN_UP)


async def test_never_ready_is_killed_at_the_deadline(tmp_path: Path) -> None:
    async with watched("never_ready", tmp_path, start_timeout_s=0.5) as it:
        await it.reaches(State.FAILING)
        assert it.child.reason == "not ready within 0.5 seconds"
        await it.reaches(State.GIVEN_UP)
        assert it.child.reason.startswith("not ready within 0.5 seconds; given up after 3")


async def test_a_failure_in_its_own_words_made_presentable(tmp_path: Path) -> None:
    async with watched("fails", tmp_path) as it:
        await it.reaches(State.BACKOFF)
        assert it.child.reason == "the disk [2J is full (no_disk)"


async def test_a_final_failure_gives_up_at_once(tmp_path: Path) -> None:
    async with watched("fails_finally", tmp_path) as it:
        await it.reaches(State.GIVEN_UP)
        assert it.child.reason == "the weights differ from their passport (weights_mismatch)"
        assert it.states.count(State.STARTING) == 1


async def test_who_holds_text_is_not_quoted_once_ready(tmp_path: Path) -> None:
    async with watched("fails_later", tmp_path, holds_text=True) as it:
        await it.reaches(State.GIVEN_UP)
        assert it.reasons[0] == "failed (broken)"
        assert not any("burger" in reason for reason in it.reasons)


async def test_who_holds_no_text_is(tmp_path: Path) -> None:
    async with watched("fails_later", tmp_path) as it:
        await it.reaches(State.GIVEN_UP)
        assert "burger" in it.reasons[0]


async def test_early_words_are_shown_presentable(tmp_path: Path) -> None:
    async with watched("dies_with_words", tmp_path) as it:
        await it.reaches(State.BACKOFF)
        assert it.child.reason == "ended with status 1: the [31mbox is broken"


async def test_a_signal_is_named(tmp_path: Path) -> None:
    async with watched("killed_by_itself", tmp_path) as it:
        await it.reaches(State.BACKOFF)
        assert it.child.reason == "ended by SIGSEGV"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("garbage", "unreadable"),
        ("deep", "unreadable"),
        ("too_large", "unreadable"),
        ("twice_ready", "says twice"),
        ("floods", "floods"),
        ("sends_descriptors", "descriptors where none belong"),
        ("sends_many_descriptors", "unreadable"),
        ("descriptors_with_ready", "descriptors where none belong"),
        ("models_before_ready", "before it is ready"),
        ("closes_control", "closed its control channel"),
    ],
)
async def test_breaking_a_rule_is_the_end(program: str, why: str, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with watched(program, tmp_path) as it:
        await it.reaches(State.FAILING)
        assert why in it.child.reason
        pid = it.pids[0]
        await it.reaches(State.BACKOFF)
        assert not is_alive(pid)
        await it.reaches(State.GIVEN_UP)
        assert why in it.child.reason
    assert len(os.listdir("/proc/self/fd")) == before


async def test_who_does_not_read_is_at_fault(tmp_path: Path) -> None:
    async with watched("never_reads", tmp_path) as it:
        await it.reaches(State.READY)
        for _ in range(5000):
            it.child.send(Accept("gateway"), [os.dup(0)])
        await it.reaches(State.BACKOFF)
        assert it.child.reason == "does not read its control channel"


async def test_who_ignores_everything_is_killed_in_time(tmp_path: Path) -> None:
    async with watched("ignores_the_end", tmp_path) as it:
        await it.reaches(State.READY)
        began = time.monotonic()
        it.child.stop(HASTE)
        await it.reaches(State.STOPPED)
        assert HASTE.kill_s - 0.1 < time.monotonic() - began < 1.0 + 1.0


async def test_what_runs_below_it_is_gone_with_it(tmp_path: Path) -> None:
    async with watched("with_a_child_that_stays", tmp_path) as it:
        await it.reaches(State.READY)
        (below,) = tree.below(it.child.pid or 0)
        it.child.stop(AT_ONCE)
        await it.reaches(State.STOPPED)
        assert not is_alive(below)


async def test_nothing_is_sent_before_its_first_words(tmp_path: Path) -> None:
    known: list[bool] = []

    class Role(RegisterRole):
        @override
        def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
            return super().first_words(launched) if known else []

    role = Role(config.Config(), prepared(tmp_path), with_programs(fake_launch, children()))
    async with asyncio.TaskGroup() as group:
        states: list[State] = []
        child = Child(role, PATIENCE, lambda child: states.append(child.state), lambda *_: None)
        group.create_task(child.run())
        child.start()
        await child.until(State.STARTING)
        child.send(Accept("operator"), [os.dup(0)])
        child.speak()
        child.send(Accept("operator"), [os.dup(0)])
        await until(lambda: child.pid, "launched")
        known.append(True)
        child.speak()
        await child.until(State.READY)
        child.stop(HASTE)
    assert states == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]  # it ends unless Start comes first


async def test_stopped_while_it_waits_for_its_first_words(tmp_path: Path) -> None:
    class Role(RegisterRole):
        @override
        def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
            return []

    role = Role(config.Config(), prepared(tmp_path), with_programs(fake_launch, children()))
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        child = Child(role, PATIENCE, lambda _: None, lambda *_: None)
        group.create_task(child.run())
        child.start()
        await child.until(State.STARTING)
        child.stop(plan_within(600.0))
    assert child.state is State.STOPPED
    assert time.monotonic() - began < 5


async def test_a_second_wish_to_stop_is_not_needed_to_kill(tmp_path: Path) -> None:
    async with watched("ignores_the_end", tmp_path) as it:
        await it.reaches(State.READY)
        began = time.monotonic()
        it.child.stop(plan_within(600.0))
        await it.reaches(State.STOPPING)
        it.child.kill()
        await it.reaches(State.STOPPED)
        assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("program", ["never_ready", "dies_at_once", "floods", "register"])
async def test_it_can_be_stopped_at_any_moment(program: str, tmp_path: Path) -> None:
    async with watched(program, tmp_path) as it:
        await it.reaches(State.STARTING)
        it.child.stop(HASTE)
        await it.reaches(State.STOPPED)


async def test_stopped_while_it_waits_to_try_again(tmp_path: Path) -> None:
    async with watched("dies_at_once", tmp_path, replace(PATIENCE, first_pause_s=600, longest_pause_s=600)) as it:
        await it.reaches(State.BACKOFF)
        it.child.stop(HASTE)
        await it.reaches(State.STOPPED)


async def test_what_cannot_be_confined_is_not_tried_again(tmp_path: Path) -> None:
    def launch(_: Profile) -> Launched:
        raise CannotConfine("bubblewrap is missing")

    async with watched("register", tmp_path, launch=launch) as it:
        await it.reaches(State.GIVEN_UP)
        assert it.child.reason == "bubblewrap is missing"
        assert it.states == [State.STARTING, State.GIVEN_UP]


async def test_no_memory_to_launch_is_tried_again(tmp_path: Path) -> None:
    tries = []

    def launch(profile: Profile) -> Launched:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(12, "Cannot allocate memory")
        return fake_launch(profile)

    async with watched("register", tmp_path, launch=launch) as it:
        await it.reaches(State.READY)
        assert it.reasons == ["cannot be launched: Cannot allocate memory"] * 2


async def test_a_cancelled_owner_leaves_no_process(tmp_path: Path) -> None:
    role = RegisterRole(
        config.Config(), prepared(tmp_path), with_programs(fake_launch, children(register="ignores_the_end"))
    )
    pids: list[int] = []

    def changed(child: Child) -> None:
        if child.pid is not None:
            pids.append(child.pid)

    child = Child(role, PATIENCE, changed, lambda *_: None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(child.run())
        child.start()
        await child.until(State.READY)
        task.cancel()
    assert pids
    assert not any(map(is_alive, pids))
