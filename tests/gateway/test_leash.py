"""The scope that ends a request: who pulled first, what stays a cancel, and work that comes to its end all the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from gateway.harness import soon
from tenzij.gateway.asgi import Message
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.hangup import watching
from tenzij.gateway.leash import Cut, Leash, Reason
from tenzij.gateway.unbroken import to_the_end


def leash(answer_timeout_s: float = 60, silence_timeout_s: float = 60) -> Leash:
    return Leash(answer_timeout_s, silence_timeout_s)


async def ended(worn: Leash, work: Callable[[], object]) -> Reason:
    with pytest.raises(Cut) as cut:
        async with worn:
            work()
            await asyncio.sleep(5)
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise AssertionError("our cancels were not taken back")
    await asyncio.sleep(0)
    return cut.value.reason


async def test_the_first_pull_decides() -> None:
    worn = leash()

    def pull_twice() -> None:
        asyncio.get_running_loop().call_soon(worn.pull, Reason.STOPPING)
        asyncio.get_running_loop().call_soon(worn.pull, Reason.CLIENT_GONE)

    assert await ended(worn, pull_twice) is Reason.STOPPING


async def test_an_answer_has_an_end() -> None:
    assert await ended(leash(answer_timeout_s=0.01), lambda: None) is Reason.TOO_LONG


async def test_silence_is_measured_at_both_ends() -> None:
    worn = leash(silence_timeout_s=0.01)
    assert await ended(worn, worn.watch_silence) is Reason.ENGINE_SILENT
    worn = leash(silence_timeout_s=0.01)

    def client_takes_nothing() -> None:
        worn.watch_silence()
        worn.turn_of_client()

    assert await ended(worn, client_takes_nothing) is Reason.CLIENT_STALLED


async def test_silence_is_not_watched_before_the_engine_has_its_turn() -> None:
    async with leash(silence_timeout_s=0.01):
        await asyncio.sleep(0.05)


async def test_a_pull_after_the_end_does_nothing() -> None:
    worn = leash()
    async with worn:
        pass
    worn.pull(Reason.CLIENT_GONE)
    await asyncio.sleep(0.1)


async def test_a_cancel_from_elsewhere_stays_one() -> None:
    worn = leash()
    inside = asyncio.Event()

    async def work() -> None:
        async with worn:
            inside.set()
            await asyncio.sleep(5)

    for pull_too in (False, True):
        inside.clear()
        worn = leash()
        task = asyncio.get_running_loop().create_task(work())
        await soon(inside)
        if pull_too:
            worn.pull(Reason.CLIENT_GONE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancel_that_gets_lost_is_given_again() -> None:
    """As `asyncio.wait_for` of Python 3.11 loses one that meets its result."""
    worn = leash()
    lost = 0
    with pytest.raises(Cut):
        async with worn:
            asyncio.get_running_loop().call_soon(worn.pull, Reason.CLIENT_GONE)
            while lost < 3:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(5)
                lost += 1
            await asyncio.sleep(5)
    assert lost == 3


async def test_a_cancel_that_is_turned_into_an_error_is_a_cut() -> None:
    worn = leash()
    with pytest.raises(Cut):
        async with worn:
            asyncio.get_running_loop().call_soon(worn.pull, Reason.CLIENT_GONE)
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                raise OSError from None


async def test_an_error_without_a_pull_stays_itself() -> None:
    with pytest.raises(TimeoutError):
        async with leash():
            raise TimeoutError


async def test_work_comes_to_its_end_whatever_happens_to_its_caller() -> None:
    go = asyncio.Event()
    done: list[tuple[int, bool]] = []

    async def work() -> int:
        await go.wait()
        return 7

    async def caller() -> None:
        done.append(await to_the_end(work(), "work"))

    task = asyncio.get_running_loop().create_task(caller())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    await task
    assert done == [(7, True)]
    assert await to_the_end(work(), "work") == (7, False)


async def test_what_work_raises_is_raised() -> None:
    async def work() -> int:
        raise OSError

    with pytest.raises(OSError):
        await to_the_end(work(), "work")


@pytest.mark.parametrize("finished", [False, True])
async def test_the_end_of_an_answer_is_no_hang_up(finished: bool) -> None:
    """A server reports both in the same way."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    exchange = Exchange({"method": "POST", "path": "/"}, receive, send)
    if finished:
        await exchange.end_stream(b"")
    worn = leash()
    with contextlib.suppress(Cut):
        async with worn, watching(exchange, worn):
            await asyncio.sleep(0.02)
            assert finished, "the hang-up was not seen"
            return
    assert not finished


async def test_a_connection_that_cannot_be_listened_to_has_no_client() -> None:
    async def receive() -> Message:
        raise OSError

    async def send(_: Message) -> None:
        pass

    worn = leash()
    with pytest.raises(Cut):
        async with worn, watching(Exchange({"method": "POST", "path": "/"}, receive, send), worn):
            await asyncio.sleep(5)
