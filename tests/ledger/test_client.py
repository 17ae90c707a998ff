"""The client against a ledger that is played by hand: every order of events, no real ledger."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ledger.lines import LedgerLine, cancelled_at_the_end, ledger_line
from ledger.running import until
from ledger.samples import decision, outcome, request
from tenzij.channels.control import Refusal
from tenzij.errors import LedgerUnavailable
from tenzij.ledger.client import EntryRefused, LedgerClient
from tenzij.ledger.entries import BadEntry, EntryTooLarge, bytes_from_entry
from tenzij.ledger.protocol import Append, Appended, Condition, NotAppended, Welcome


class Played:
    """Gives the client connections, and their other ends to the test."""

    def __init__(self) -> None:
        self._sockets: asyncio.Queue[socket.socket] = asyncio.Queue()
        self._lines: list[LedgerLine] = []
        self.refuse = 0
        self.asked = 0

    async def connect(self) -> socket.socket:
        self.asked += 1
        if self.refuse:
            self.refuse -= 1
            raise Refusal("not now")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await self._sockets.put(theirs)
        return ours

    async def line(self) -> LedgerLine:
        """The next connection, before its hello."""
        async with asyncio.timeout(10):
            self._lines.append(await ledger_line(await self._sockets.get()))
            return self._lines[-1]

    async def close(self) -> None:
        """Hangs up on all."""
        for line in self._lines:
            await line.closed()
        while not self._sockets.empty():
            self._sockets.get_nowait().close()

    async def welcomed(self, *unfinished: str) -> LedgerLine:
        """The next connection, after hello and welcome."""
        line = await self.line()
        assert await line.welcome() == sorted(unfinished)
        return line


@asynccontextmanager
async def played(
    decision_wait_s: float = 10.0, most_unfinished: int = 100
) -> AsyncIterator[tuple[LedgerClient, Played]]:
    ledger = Played()
    client = LedgerClient(ledger.connect, decision_wait_s=decision_wait_s, most_unfinished=most_unfinished)
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251 - owned by this block
        yield client, ledger
    await ledger.close()


def started(work: object) -> asyncio.Task[int]:
    """Runs beside the test, which awaits it."""
    return asyncio.create_task(work)  # type: ignore[arg-type]  # noqa: TID251


async def turns(count: int = 20) -> None:
    """Lets everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_decision_and_an_outcome() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(7), b"k" * 32))
        append = await line.next_append()
        assert append == Append(append.number, "besluit", bytes_from_entry(decision(7)), b"k" * 32)
        line.send(Appended(append.number, 41))
        assert await deciding == 41
        ending = started(client.record_outcome(outcome(7, 41)))
        append = await line.next_append()
        assert (append.kind, append.entry) == ("uitkomst", bytes_from_entry(outcome(7, 41)))
        line.send(Appended(append.number, 42))
        assert await ending == 42


async def test_appends_do_not_wait_for_each_other_and_answers_come_in_any_order() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = [started(client.record_decision(decision(number))) for number in range(5)]
        appends = [await line.next_append() for _ in range(5)]
        for append in reversed(appends):
            line.send(Appended(append.number, 100 + append.number))
        assert [await task for task in deciding] == [100 + append.number for append in appends]


async def test_is_ready_says_whether_a_decision_could_be_recorded() -> None:
    async with played() as (client, ledger):
        line = await ledger.line()
        states = [client.is_ready]
        await line.welcome()
        probe = started(client.record_decision(decision(1)))
        append = await line.next_append()
        states.append(client.is_ready)
        line.send(Condition("disk_full"))
        line.send(NotAppended(append.number, "disk_full"))
        with pytest.raises(LedgerUnavailable):
            await probe
        states.append(client.is_ready)
        line.send(Condition(""))
        line.close()
        second = await ledger.line()
        states.append(client.is_ready)
        await second.welcome()
    assert states == [False, True, False, False]


async def test_without_a_connection_a_decision_fails_after_its_wait() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(1))
        line = await ledger.welcomed()
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(2))
        assert (await line.next_append()).entry == bytes_from_entry(decision(2))  # the first was never sent


async def test_a_decision_waits_for_a_connection_that_comes_in_time() -> None:
    async with played() as (client, ledger):
        ledger.refuse = 3
        deciding = started(client.record_decision(decision(1)))
        line = await ledger.welcomed()
        line.send(Appended((await line.next_append()).number, 0))
        assert await deciding == 0
        assert ledger.asked >= 1


async def test_a_ledger_that_cannot_write_fails_decisions_at_once() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        line.send(Condition("io_error"))
        first = started(client.record_decision(decision(1)))
        await turns()
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(2))
        first.cancel()
        await asyncio.wait([first])


@pytest.mark.parametrize("code", ["repeated_decision", "kind_not_allowed"])
async def test_a_decision_that_is_never_taken_raises_its_code(code: str) -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        line.send(NotAppended((await line.next_append()).number, code))
        with pytest.raises(EntryRefused) as caught:
            await deciding
        assert caught.value.fault == code
        assert isinstance(caught.value, LedgerUnavailable)


async def test_an_entry_that_is_too_large_is_refused_before_it_is_sent() -> None:
    import msgspec

    async with played() as (client, ledger):
        line = await ledger.welcomed()
        with pytest.raises(EntryTooLarge):
            await client.record_decision(msgspec.structs.replace(decision(1), actor="k" * 20_000))
        with pytest.raises(BadEntry):
            await client.record_decision(msgspec.structs.replace(decision(1), actor="\ud800"))
        deciding = started(client.record_decision(decision(2)))
        line.send(Appended((await line.next_append()).number, 0))
        assert await deciding == 0


async def test_a_lost_connection_fails_the_decisions_that_were_under_way() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        known = started(client.record_decision(decision(1)))
        line.send(Appended((await line.next_append()).number, 0))
        assert await known == 0
        unknown = started(client.record_decision(decision(2)))
        await line.next_append()
        line.close()
        async with asyncio.timeout(5):  # at once, not when its time is over
            with pytest.raises(LedgerUnavailable):
                await unknown
        await ledger.welcomed(request(1))  # the hello names what is known, and not what was lost


async def test_an_outcome_is_sent_again_until_it_is_durable() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        line.send(Appended((await line.next_append()).number, 0))
        await deciding
        ending = started(client.record_outcome(outcome(1, 0)))
        for _ in range(3):
            assert (await line.next_append()).kind == "uitkomst"
            line.close()
            line = await ledger.welcomed(request(1))
        line.send(NotAppended((await line.next_append()).number, "disk_full"))
        line.send(Condition("disk_full"))
        line.send(Condition(""))
        append = await line.next_append()
        assert append.entry == bytes_from_entry(outcome(1, 0))
        assert not ending.done()
        line.send(Appended(append.number, 1))
        assert await ending == 1
        line.close()
        await ledger.welcomed()  # nothing is unfinished any more


async def test_outcomes_wait_while_nothing_can_be_written() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        number = (await line.next_append()).number
        line.send(Appended(number, 0))
        line.send(Condition("disk_full"))
        await deciding
        await turns()
        ending = started(client.record_outcome(outcome(1, 0)))
        await turns()
        line.send(Condition(""))
        append = await line.next_append()
        line.send(Appended(append.number, 1))
        assert await ending == 1


async def test_two_outcomes_of_a_request_are_one() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        first = started(client.record_outcome(outcome(1, 0)))
        second = started(client.record_outcome(outcome(1, 0, "mislukt", "engine_error")))
        append = await line.next_append()
        assert append.entry == bytes_from_entry(outcome(1, 0))
        line.send(Appended(append.number, 9))
        assert await first == await second == 9


async def test_who_stops_waiting_for_an_outcome_does_not_stop_it() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        ending = started(client.record_outcome(outcome(1, 0)))
        append = await line.next_append()
        ending.cancel()
        await asyncio.wait([ending])
        line.close()
        line = await ledger.welcomed()
        again = await line.next_append()
        assert again.entry == append.entry
        assert not await client.settled(0.0)
        line.send(Appended(again.number, 1))
        assert await client.settled(10.0)


async def test_of_two_who_wait_for_an_outcome_one_may_go() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        first = started(client.record_outcome(outcome(1, 0)))
        second = started(client.record_outcome(outcome(1, 0)))
        append = await line.next_append()
        first.cancel()
        await asyncio.wait([first])
        line.send(Appended(append.number, 1))
        assert await second == 1


async def test_an_outcome_that_is_never_taken_raises_its_code() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        ending = started(client.record_outcome(outcome(1, 0)))
        line.send(NotAppended((await line.next_append()).number, "no_decision"))
        with pytest.raises(EntryRefused, match="no_decision"):
            await ending
        assert await client.settled(0.0)


async def _aborted(line: LedgerLine, index: int) -> Append:
    """The next append, which must close request 1."""
    append = await line.next_append()
    tree = json.loads(append.entry)
    assert append.kind == "uitkomst"
    assert (tree["verzoek"], tree["resultaat"], tree["reden"]) == (request(1), "afgebroken", "opgegeven")
    assert tree["besluit"] == index
    return append


async def test_cancelled_before_it_was_sent_leaves_nothing() -> None:
    async with played() as (client, ledger):
        line = await ledger.line()
        deciding = started(client.record_decision(decision(1)))
        await turns()
        deciding.cancel()
        await asyncio.wait([deciding])
        await line.welcome()
        other = started(client.record_decision(decision(2)))
        append = await line.next_append()
        assert append.entry == bytes_from_entry(decision(2))
        line.send(Appended(append.number, 0))
        await other


async def test_cancelled_while_under_way_is_closed_when_it_becomes_durable() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        append = await line.next_append()
        deciding.cancel()
        await asyncio.wait([deciding])
        assert deciding.cancelled()
        line.send(Appended(append.number, 5))
        closing = await _aborted(line, 5)
        line.close()  # and it is sent again, as any outcome
        line = await ledger.welcomed(request(1))
        closing = await _aborted(line, 5)
        line.send(Appended(closing.number, 6))
        assert await client.settled(10.0)


async def test_cancelled_while_under_way_and_refused_needs_nothing() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        append = await line.next_append()
        deciding.cancel()
        await asyncio.wait([deciding])
        line.send(NotAppended(append.number, "disk_full"))
        other = started(client.record_decision(decision(2)))
        append = await line.next_append()
        assert append.entry == bytes_from_entry(decision(2))
        line.send(Appended(append.number, 0))
        await other


async def test_cancelled_in_the_instant_of_the_answer_is_closed() -> None:
    """The answer was heard, but who asked is cancelled before it runs again: it never learns of the index."""
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        append = await line.next_append()
        client._hear(Appended(append.number, 5))
        deciding.cancel()
        await asyncio.wait([deciding])
        assert deciding.cancelled()
        await _aborted(line, 5)


async def test_out_of_time_is_closed_when_it_becomes_durable() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        line = await ledger.welcomed()
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(1))
        line.send(Appended((await line.next_append()).number, 5))
        await _aborted(line, 5)


def is_ready(client: LedgerClient) -> bool:
    """Asked anew each time: it changes while the test waits."""
    return client.is_ready


async def _timed_out(client: LedgerClient, line: LedgerLine, number: int) -> Append:
    """A decision that the ledger never answers; its append."""
    with pytest.raises(LedgerUnavailable):
        await client.record_decision(decision(number))
    return await line.next_append()


async def test_a_ledger_that_falls_silent_is_not_ready_and_is_not_waited_for_again() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        line = await ledger.welcomed()
        given_up = await _timed_out(client, line, 1)
        assert not is_ready(client)
        next_one = started(client.record_decision(decision(2)))
        await turns()
        assert next_one.done(), "refused at once"
        assert isinstance(next_one.exception(), LedgerUnavailable)
        line.send(Appended(given_up.number, 5))
        closing = await _aborted(line, 5)  # and nothing of the one that was refused
        assert is_ready(client)
        line.send(Appended(closing.number, 6))
        assert await client.settled(10.0)
        last = started(client.record_decision(decision(3)))
        line.send(Appended((await line.next_append()).number, 7))
        assert await last == 7


async def test_any_word_of_a_silent_ledger_makes_it_ready() -> None:
    async with played(decision_wait_s=0.05) as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        line.send(Appended((await line.next_append()).number, 0))
        assert await deciding == 0
        await _timed_out(client, line, 2)
        ending = started(client.record_outcome(outcome(1, 0)))  # still sent: silent is not gone
        append = await line.next_append()
        assert not is_ready(client)
        line.send(Appended(append.number, 1))
        assert await ending == 1
        assert is_ready(client)


async def test_a_silent_ledger_that_cannot_write_is_not_ready_when_it_speaks() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        line = await ledger.welcomed()
        given_up = await _timed_out(client, line, 1)
        line.send(Condition("io_error"))
        line.send(NotAppended(given_up.number, "io_error"))
        await turns()
        assert not is_ready(client)
        line.send(Condition(""))
        await until(lambda: client.is_ready)


async def test_a_new_connection_ends_the_silence() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        line = await ledger.welcomed()
        await _timed_out(client, line, 1)
        line.close()
        line = await ledger.line()
        assert not is_ready(client)
        assert await line.welcome() == []  # what was given up is left to the ledger
        await until(lambda: client.is_ready)


async def test_a_decision_that_was_never_sent_says_nothing_about_the_ledger() -> None:
    async with played(decision_wait_s=0.02) as (client, ledger):
        line = await ledger.line()
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(1))
        await line.welcome()
        await until(lambda: client.is_ready)


async def test_a_refused_decision_that_was_given_up_has_no_outcome() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1, allowed=False)))
        append = await line.next_append()
        deciding.cancel()
        await asyncio.wait([deciding])
        line.send(Appended(append.number, 5))
        line.close()
        await ledger.welcomed()
        assert await client.settled(0.0)


async def test_given_up_and_lost_is_left_to_the_ledger() -> None:
    async with played() as (client, ledger):
        line = await ledger.welcomed()
        deciding = started(client.record_decision(decision(1)))
        await line.next_append()
        deciding.cancel()
        await asyncio.wait([deciding])
        line.close()
        await ledger.welcomed()


async def test_unfinished_requests_are_bounded() -> None:
    async with played(most_unfinished=3) as (client, ledger):
        line = await ledger.welcomed()
        deciding = [started(client.record_decision(decision(number))) for number in range(3)]
        appends = [await line.next_append() for _ in range(3)]
        with pytest.raises(LedgerUnavailable, match="Too many"):
            await client.record_decision(decision(9))
        for append in appends:
            line.send(Appended(append.number, append.number))
        await asyncio.wait(deciding)
        with pytest.raises(LedgerUnavailable, match="Too many"):
            await client.record_decision(decision(9))
        ending = started(client.record_outcome(outcome(0, 0)))
        line.send(Appended((await line.next_append()).number, 3))
        await ending
        last = started(client.record_decision(decision(9)))
        line.send(Appended((await line.next_append()).number, 4))
        assert await last == 4


async def test_the_end_of_run_fails_what_is_pending() -> None:
    ledger = Played()
    client = LedgerClient(ledger.connect)
    run = started(client.run())
    line = await ledger.welcomed()
    deciding = started(client.record_decision(decision(1)))
    ending = started(client.record_outcome(outcome(2, 0)))
    await line.next_append()
    run.cancel()
    await asyncio.wait([run])
    for task in (deciding, ending):
        with pytest.raises(LedgerUnavailable):
            await task
    with pytest.raises(LedgerUnavailable):
        await client.record_outcome(outcome(3, 0))
    assert not client.is_ready
    await ledger.close()


@pytest.mark.parametrize("messages", [[Welcome()], [Appended(99, 1)], [NotAppended(99, "io_error")]])
async def test_a_ledger_that_breaks_the_rules_is_left(messages: list[Welcome | Appended | NotAppended]) -> None:
    async with played() as (_, ledger):
        line = await ledger.welcomed()
        for message in messages:
            line.send(message)
        assert await line.receive() is None
        await ledger.welcomed()


@pytest.mark.parametrize("noise", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01x", b"\x00\x00\x00\x02\x91\x63"])
async def test_a_ledger_that_speaks_nonsense_is_left(noise: bytes) -> None:
    async with played() as (client, ledger):
        first = await ledger.line()
        first.send_bytes(noise)
        while await first.receive_bytes() is not None:
            pass
        assert not client.is_ready
        second = await ledger.welcomed()
        second.send_bytes(noise)
        assert await second.receive() is None
        await ledger.welcomed()
