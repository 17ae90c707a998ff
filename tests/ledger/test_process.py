"""The process as the supervisor starts it: ready, recording, stopped, killed in the middle, started again."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.child import Child
from ledger.lines import cancelled_at_the_end, client_line
from ledger.running import until
from ledger.samples import decision, outcome
from tenzij.channels.control import Failed, Ready, receive_at_supervisor
from tenzij.errors import LedgerUnavailable
from tenzij.ledger.client import LedgerClient
from tenzij.ledger.commitments import ANSWER, QUESTION, commitment, new_key
from tenzij.ledger.entries import entry_from_bytes
from tenzij.ledger.key_store import KeyStore
from tenzij.ledger.place import keys_file, write_ahead_folder
from tenzij.ledger.protocol import Append, NotAppended
from tenzij.ledger.reader import read_bytes, read_entries

Start = Callable[[], Child]


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[Child] = []

    def started() -> Child:
        children.append(Child())
        return children[-1]

    yield started
    for child in children:
        child.clear()


def account(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Decisions and outcomes by request, each at most once, each entry valid; fails otherwise."""
    decisions: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    for index, data in read_bytes(folder):
        entry = entry_from_bytes(data)
        kept = decisions if entry.kind == "besluit" else outcomes
        assert entry.request not in kept
        kept[entry.request] = index
    return decisions, outcomes


async def test_from_start_to_stop(tmp_path: Path, start: Start) -> None:
    child = start()
    assert child.start(tmp_path) == Ready({"entries": 0, "unfinished": 0, "torn_bytes": 0})
    client = LedgerClient(child.connect)
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
        assert await client.record_decision(decision(1)) == 0
        assert await client.record_outcome(outcome(1, 0)) == 1
        assert await client.record_decision(decision(2)) == 2
    child.stop()
    assert await child.ended() == 0
    assert await child.output() == b""
    read = [entry for _, entry in read_entries(tmp_path)]
    assert [entry["soort"] for entry in read] == ["besluit", "uitkomst", "besluit", "uitkomst"]
    assert read[3]["resultaat"] == "afgebroken"
    assert sorted(file.name for file in write_ahead_folder(tmp_path).iterdir()) == ["wal-00000001"]


async def test_the_end_of_the_supervisor_is_the_end(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    connection = await child.connect()
    child.control.close()
    assert await child.ended() == 0
    assert await child.output() == b""
    connection.close()


async def test_before_it_was_started_too(start: Start) -> None:
    child = start()
    child.control.close()
    assert await child.ended() == 0


async def test_interrupts_are_for_the_supervisor(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    child.process.send_signal(signal.SIGINT)
    line = await client_line(await child.connect())
    await line.greet()
    child.process.send_signal(signal.SIGINT)
    await line.append(1, decision(1))
    await line.closed()
    child.stop()
    assert await child.ended() == 0


async def test_a_role_that_may_write_nothing_is_hung_up_on(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    line = await client_line(await child.connect("register"))
    assert await line.receive() is None
    await line.closed()


async def test_a_kind_that_does_not_exist_yet(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    line = await client_line(await child.connect())
    await line.greet()
    line.send(Append(1, "systeem", b"{}"))
    assert await line.receive() == NotAppended(1, "kind_not_allowed")
    await line.closed()


async def test_another_organisations_log_is_refused_for_good(tmp_path: Path, start: Start) -> None:
    first = start()
    first.start(tmp_path)
    first.stop()
    await first.ended()
    answer = start().start(tmp_path, organisation="een-ander")
    assert isinstance(answer, Failed)
    assert (answer.code, answer.final) == ("ledger_of_another", True)


async def test_a_damaged_log_is_refused_for_good(tmp_path: Path, start: Start) -> None:
    first = start()
    first.start(tmp_path)
    line = await client_line(await first.connect())
    await line.greet()
    for number in range(3):
        await line.append(number, decision(number))
    await line.closed()
    first.stop()
    await first.ended()
    (segment,) = write_ahead_folder(tmp_path).iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"k_7f3a", b"k_0000", 1))
    before = segment.read_bytes()
    second = start()
    answer = second.start(tmp_path)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.final) == ("ledger_damaged", True)
    assert await second.ended() == 1
    assert segment.read_bytes() == before


async def test_a_folder_that_is_not_there_or_in_use_may_be_tried_again(tmp_path: Path, start: Start) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        first = start()
        if folder == tmp_path:
            first.start(folder)
        answer = start().start(folder)
        assert isinstance(answer, Failed)
        assert (answer.code, answer.final) == ("ledger_folder", False)


async def test_a_start_that_is_no_configuration_is_refused(tmp_path: Path, start: Start) -> None:
    child = start()
    answer = child.start(tmp_path, unknown=1)
    assert isinstance(answer, Failed)
    assert answer.final


class Load:
    """A gateway that works as fast as it can, and remembers what was acknowledged."""

    def __init__(self) -> None:
        self.decided: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.stopped = False

    async def worker(self, client: LedgerClient, first: int, step: int) -> None:
        number = first
        while not self.stopped:
            number += step
            entry = decision(number)
            try:
                index = await client.record_decision(entry)
                self.decided[entry.request] = index
                self.ended[entry.request] = await client.record_outcome(outcome(number, index))
            except LedgerUnavailable:
                return


@pytest.mark.parametrize("life", range(3))
async def test_killed_under_load_nothing_acknowledged_is_lost(tmp_path: Path, start: Start, life: int) -> None:
    child, load = start(), Load()
    child.start(tmp_path)
    client = LedgerClient(child.connect, decision_wait_s=0.5)
    running = asyncio.create_task(client.run())  # noqa: TID251
    async with cancelled_at_the_end(running), asyncio.TaskGroup() as group:
        for number in range(10**8, 10**8 + 5):  # decided, and never ended
            load.decided[decision(number).request] = await client.record_decision(decision(number))
        for worker in range(64):
            group.create_task(load.worker(client, worker, 64))
        await until(lambda: len(load.ended) > 200 * (life + 1), 30)
        child.process.kill()
        load.stopped = True
        await until(lambda: not client.is_ready)
        running.cancel()  # the outcomes that wait for a ledger fail, and so the workers end
    assert await child.ended() == -signal.SIGKILL

    decisions, outcomes = account(tmp_path)
    assert load.decided.items() <= decisions.items()
    assert load.ended.items() <= outcomes.items()
    assert len(decisions) >= len(outcomes) + 5

    second = start()
    ready = second.start(tmp_path)
    assert isinstance(ready, Ready)
    assert ready.facts["entries"] == len(decisions) + len(outcomes)
    assert ready.facts["unfinished"] == len(decisions) - len(outcomes)
    line = await client_line(await second.connect())
    await line.greet()
    await line.append(1, decision(10**9))
    await line.closed()
    second.stop()
    assert await second.ended() == 0
    decisions, outcomes = account(tmp_path)
    assert decisions.keys() == outcomes.keys()
    assert load.ended.items() <= outcomes.items()


async def test_a_ledger_that_comes_back_gets_the_outcomes(tmp_path: Path, start: Start) -> None:
    children = [start()]
    children[0].start(tmp_path)
    client = LedgerClient(lambda: children[-1].connect())
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
        indices = [await client.record_decision(decision(number)) for number in range(5)]
        children[0].process.kill()
        await until(lambda: not client.is_ready)
        ending = [asyncio.create_task(client.record_outcome(outcome(n, indices[n]))) for n in range(5)]  # noqa: TID251
        children.append(start())
        ready = children[1].start(tmp_path)
        assert isinstance(ready, Ready)
        assert ready.facts["unfinished"] == 5
        assert sorted([await task for task in ending]) == [5, 6, 7, 8, 9]
    read = [entry for _, entry in read_entries(tmp_path)]
    assert [entry["resultaat"] for entry in read[5:]] == ["voltooid"] * 5


async def test_a_frozen_ledger_is_not_ready_until_it_goes_on(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    client = LedgerClient(child.connect, decision_wait_s=0.2)
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
        assert await client.record_decision(decision(1)) == 0
        child.process.send_signal(signal.SIGSTOP)
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(decision(2))
        assert not client.is_ready
        ending = asyncio.create_task(client.record_outcome(outcome(1, 0)))  # noqa: TID251
        child.process.send_signal(signal.SIGCONT)
        await until(lambda: client.is_ready)
        await ending
        assert await client.settled(10.0)
    child.stop()
    assert await child.ended() == 0
    decisions, outcomes = account(tmp_path)
    assert decisions.keys() == outcomes.keys() == {decision(1).request, decision(2).request}
    ended = {entry["verzoek"]: entry for _, entry in read_entries(tmp_path) if entry["soort"] == "uitkomst"}
    assert ended[decision(1).request]["resultaat"] == "voltooid"
    assert ended[decision(2).request]["reden"] == "opgegeven"


def everything_below(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


CANARY = "kanarie-7c1e ZEER GEHEIME TEKST"


async def test_no_text_is_in_any_byte_that_is_written(tmp_path: Path, start: Start) -> None:
    """The text is there as a commitment alone: nothing else in log, store, output, or messages to the supervisor."""
    child = start()
    child.start(tmp_path)
    client = LedgerClient(child.connect)
    keys = [new_key(), new_key()]
    question = commitment(keys[0], QUESTION, CANARY.encode())
    answer = commitment(keys[1], ANSWER, CANARY.encode() * 2)
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
        index = await client.record_decision(decision(1, question=question), keys[0])
        await client.record_outcome(outcome(1, index, answer=answer), keys[1])
        with pytest.raises(LedgerUnavailable):
            await client.record_decision(msgspec.structs.replace(decision(2), actor=CANARY))
    noise = await client_line(await child.connect())
    noise.send_bytes(CANARY.encode() * 100)
    assert await noise.receive() is None
    await noise.closed()
    child.stop()
    assert await child.ended() == 0
    assert receive_at_supervisor(child.control) is None  # it had nothing to report
    assert CANARY.encode() not in await child.output()
    written = everything_below(tmp_path)
    assert question.encode() in written
    for part in (CANARY, *CANARY.split()):
        for form in (part.encode(), part.encode("utf-16-le"), part.encode().hex().encode()):
            assert form not in written
    store = KeyStore(keys_file(tmp_path))
    assert store.get(decision(1).request, "besluit") == keys[0]
    assert store.get(decision(1).request, "uitkomst") == keys[1]
    store.close()


async def test_damage_that_is_found_while_running_ends_it_for_good(tmp_path: Path, start: Start) -> None:
    child = start()
    child.start(tmp_path)
    line = await client_line(await child.connect())
    await line.greet()
    for number in range(3):
        await line.append(number, decision(number))
    segment = write_ahead_folder(tmp_path) / "wal-00000001"
    whole = segment.read_bytes()
    segment.write_bytes(whole.replace(b"k_7f3a", b"k_0000", 1))
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (len(whole), resource.RLIM_INFINITY))
    assert isinstance(await line.append(4, decision(4)), NotAppended)  # so that it reads again what counts
    received = receive_at_supervisor(child.control)
    assert received is not None
    message, _ = received
    assert isinstance(message, Failed)
    assert (message.code, message.final) == ("ledger_damaged", True)
    assert await child.ended() == 1
    await line.closed()


async def test_a_real_full_disk(tmp_path: Path, start: Start) -> None:
    """The system's own limit on file size stands for a full disk: a write fails half way, later ones succeed."""
    child = start()
    child.start(tmp_path)
    line = await client_line(await child.connect())
    await line.greet()
    await line.append(1, decision(1))
    pid = child.process.pid
    size = (write_ahead_folder(tmp_path) / "wal-00000001").stat().st_size
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    refused = await line.append(2, decision(2))
    assert isinstance(refused, NotAppended)
    assert child.process.poll() is None
    assert (await line.receive()) is not None  # the condition
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    assert (await line.receive()) is not None  # that it passed
    answer = await line.append(3, decision(3))
    assert not isinstance(answer, NotAppended)
    await line.closed()
    child.stop()
    assert await child.ended() == 0
    assert [index for index, _ in read_entries(tmp_path)] == [0, 1, 2, 3]
