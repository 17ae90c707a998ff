"""The server over real streams, on files in memory that fail when told to."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from typing_extensions import override

from ledger.faulty_files import Fault, FaultyFiles
from ledger.running import Running, running, until
from ledger.samples import IDENTITY, decision, outcome, request
from ledger.test_wal import Notes
from tenzij.channels.frames import frame
from tenzij.ledger import server
from tenzij.ledger.commitments import new_key
from tenzij.ledger.entries import OutcomeEntry, bytes_from_entry, entry_from_bytes
from tenzij.ledger.protocol import (
    MAX_APPEND_BYTES,
    Append,
    Appended,
    Condition,
    Hello,
    NotAppended,
    Welcome,
    bytes_from_message,
)
from tenzij.ledger.segment import LedgerDamaged, Unfinished
from tenzij.ledger.server import WINDOW
from tenzij.ledger.wal import WriteAheadLog


def entries(files: FaultyFiles) -> list[bytes]:
    log, notes = WriteAheadLog(files, IDENTITY, 10**9), Notes()
    log.load(notes)
    return [notes.entries[index] for index in range(log.next_index)]


async def test_acknowledged_means_in_the_file(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        assert await line.append(1, decision(7)) == Appended(1, 0)
        assert entries(ledger.files) == [bytes_from_entry(decision(7))]
        ledger.files.lose_power(0)
    assert entries(ledger.files) == [bytes_from_entry(decision(7))]


async def test_appends_that_come_together_are_written_together(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        before = ledger.files.calls.count("sync")
        for number in range(300):
            line.send(Append(number, "besluit", bytes_from_entry(decision(number))))
        assert [await line.receive() for _ in range(300)] == [Appended(number, number) for number in range(300)]
        assert ledger.files.calls.count("sync") - before < 60


async def test_an_idle_log_does_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(7))
        calls = len(ledger.files.calls)
        await until(lambda: True)
        assert not ledger.server._wake.is_set()
        assert len(ledger.files.calls) == calls


@pytest.mark.parametrize("role", ["operator", "worker:smollm2", "Gateway", ""])
async def test_other_roles_are_hung_up_on(tmp_path: Path, role: str) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.line(role)
        assert await line.receive() is None


async def test_a_role_writes_its_own_kinds_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ROLES", {"gateway": frozenset({"besluit"})})
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        assert await line.append(1, decision(7)) == Appended(1, 0)
        assert await line.append(2, outcome(7, 0)) == NotAppended(2, "kind_not_allowed")
        line.send(Append(3, "systeem", b"{}"))
        assert await line.receive() == NotAppended(3, "kind_not_allowed")
        line.send(Append(4, "besluit", bytes_from_entry(outcome(7, 0))))
        assert await line.receive() == NotAppended(4, "bad_schema")
    assert len(entries(ledger.files)) == 1


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (b"{}", "bad_schema"),
        (b"", "bad_schema"),
        (bytes_from_entry(decision(7)) + b" ", "not_canonical"),
        (bytes_from_entry(msgspec.structs.replace(decision(7), actor="een naam")), "not_codes"),
        (b"{" + b" " * 16 * 1024, "too_large"),
    ],
)
async def test_what_is_no_entry_is_refused_with_a_code(tmp_path: Path, entry: bytes, code: str) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        line.send(Append(1, "besluit", entry))
        assert await line.receive() == NotAppended(1, code)
        assert await line.append(2, decision(7)) == Appended(2, 0)


async def test_a_key_of_another_size_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        assert await line.append(1, decision(7), b"short") == NotAppended(1, "bad_key")


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x03abc",
        b"\xff\xff\xff\xff",
        frame(bytes_from_message(Append(1, "besluit", b""))),
        frame(b""),
    ],
)
async def test_whoever_does_not_greet_is_hung_up_on(tmp_path: Path, noise: bytes) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.line()
        line.send_bytes(noise)
        assert await line.receive() is None
        assert (await (await ledger.greeted()).append(1, decision(7))) == Appended(1, 0)


@pytest.mark.parametrize(
    "noise",
    [
        frame(bytes_from_message(Hello([]))),
        frame(b"\x93"),
        (MAX_APPEND_BYTES + 1).to_bytes(4, "big") + b"x" * (MAX_APPEND_BYTES + 1),
    ],
)
async def test_whoever_breaks_the_rules_later_is_hung_up_on(tmp_path: Path, noise: bytes) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        line.send_bytes(noise)
        assert await line.receive() is None


async def test_whoever_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HELLO_WITHIN_S", 0.01)
    async with running(tmp_path) as ledger:
        line = await ledger.line()
        assert await line.receive() is None


async def test_a_full_disk_refuses_and_passes_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
        ledger.files.room = 0
        assert await line.append(2, decision(2)) == NotAppended(2, "disk_full")
        assert await line.receive() == Condition("disk_full")
        assert await line.append(3, outcome(1, 0)) == NotAppended(3, "disk_full")
        ledger.files.room = None
        assert await line.receive() == Condition("")
        assert await line.append(4, outcome(1, 0)) == Appended(4, 1)
    assert len(entries(ledger.files)) == 2


async def test_a_failed_sync_refuses_and_is_not_pretended_away(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
        ledger.files.fault = Fault(len(ledger.files.calls) + 1, "error")
        assert await line.append(2, decision(2)) == NotAppended(2, "io_error")
        assert await line.receive() == Condition("io_error")
        assert await line.receive() == Condition("")
        assert await line.append(3, decision(3)) == Appended(3, 1)
    ledger.files.lose_power(1)
    assert entries(ledger.files) == [bytes_from_entry(decision(1)), bytes_from_entry(decision(3))]


async def test_a_start_on_a_full_disk_waits_for_room(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.room = 0
    async with running(tmp_path, files) as ledger:
        line = await ledger.greeted()
        assert await line.receive() == Condition("disk_full")
        files.room = None
        assert await line.receive() == Condition("")
        assert await line.append(1, decision(1)) == Appended(1, 0)


async def test_a_log_that_lost_entries_ends_the_process(tmp_path: Path) -> None:
    files = FaultyFiles()
    with pytest.raises(ExceptionGroup) as caught:
        async with running(tmp_path, files) as ledger:
            line = await ledger.greeted()
            await line.append(1, decision(1))
            await line.append(2, decision(2))
            torn = files.content("wal-00000001")[:-5]
            files.fault = Fault(len(files.calls), "error")
            files.overwrite("wal-00000001", torn)
            line.send(Append(3, "besluit", bytes_from_entry(decision(3))))
            while await line.receive() is not None:
                pass
    assert caught.group_contains(LedgerDamaged)


async def test_a_gateway_that_is_gone_leaves_nothing_unfinished(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
        await line.append(2, decision(2))
        line.close()
        second = await ledger.greeted(request(2))
        assert await second.append(1, outcome(2, 1)) == Appended(1, 3)
    closed = entry_from_bytes(entries(ledger.files)[2])
    assert isinstance(closed, OutcomeEntry)
    assert (closed.request, closed.reason, closed.decision) == (request(1), "gateway_weg", 0)


async def test_after_a_crash_the_next_gateway_closes(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with running(tmp_path, files) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
    async with running(tmp_path, files) as ledger:
        line = await ledger.greeted()
        await until(lambda: not ledger.book.unfinished)
    assert len(entries(files)) == 2


async def test_drain_closes_what_is_left(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
        line.close()
        await ledger.server.drain(10.0)
        assert len(entries(ledger.files)) == 2


async def test_drain_does_not_wait_for_clients_that_stay(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1))
        await ledger.server.drain(0.01)
        assert len(entries(ledger.files)) == 1
        assert await line.append(2, outcome(1, 0)) == Appended(2, 1)


async def test_keys_come_into_their_store_and_not_into_the_log(tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    async with running(tmp_path) as ledger:
        line = await ledger.greeted()
        await line.append(1, decision(1), key)
        await line.append(2, outcome(1, 0), other)
        await line.append(3, decision(1), new_key())  # refused: its key is not kept
        line.close()
        await ledger.server.drain(10.0)
        assert ledger.keys.get(request(1), "besluit") == key
        assert ledger.keys.get(request(1), "uitkomst") == other
    for data in entries(ledger.files):
        for secret in (key, other):
            assert secret not in data
            assert secret.hex().encode() not in data


async def test_a_store_that_fails_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEYS_AGAIN_S", 0.01)
    key = new_key()
    async with running(tmp_path) as ledger:
        put = ledger.keys.put
        failures: list[Sequence[tuple[str, str, bytes]]] = []

        def failing(keys: Sequence[tuple[str, str, bytes]]) -> None:
            if len(failures) < 3:
                failures.append(keys)
                raise sqlite3.OperationalError("disk full")
            put(keys)

        monkeypatch.setattr(ledger.keys, "put", failing)
        line = await ledger.greeted()
        assert await line.append(1, decision(1), key) == Appended(1, 0)
        await until(lambda: len(failures) == 3)
        line.close()
        await ledger.server.drain(10.0)
        assert ledger.keys.get(request(1), "besluit") == key


class _StuckLog(WriteAheadLog):
    """A device that does not answer until it is let."""

    let = threading.Event()

    @override
    def append(self, entries: Sequence[bytes], unfinished: Callable[[], Sequence[Unfinished]]) -> int:
        self.let.wait(20)
        return super().append(entries, unfinished)


async def test_a_client_is_not_read_beyond_its_window(tmp_path: Path) -> None:
    many = 3 * WINDOW
    ledger = Running(FaultyFiles(), tmp_path)
    ledger.log.__class__ = _StuckLog
    async with ledger.alive():
        line = await ledger.greeted()
        for number in range(many):
            line.send(Append(number, "besluit", bytes_from_entry(decision(number))))
        channel = ledger.server._channels[1]
        await until(lambda: channel.unanswered >= WINDOW)
        await until(lambda: not channel.has_room.is_set())
        assert channel.unanswered == WINDOW
        _StuckLog.let.set()
        answers = [await line.receive() for _ in range(many)]
    assert answers == [Appended(number, number) for number in range(many)]


async def test_answers_come_while_the_hello_of_another_waits(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        silent = await ledger.line()
        line = await ledger.greeted()
        assert await line.append(1, decision(1)) == Appended(1, 0)
        silent.send(Hello([]))
        assert await silent.receive() == Welcome()
