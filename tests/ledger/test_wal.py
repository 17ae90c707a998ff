"""The write-ahead log on a file system that works, and on one that somebody damaged."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from ledger.faulty_files import Fault, FaultyFiles
from ledger.samples import IDENTITY, request
from tenzij.ledger.segment import Identity, LedgerDamaged, Unfinished, name_from_number
from tenzij.ledger.wal import LedgerOfAnother, WriteAheadLog, fault_of


class Notes:
    """Remembers what the log tells at the start."""

    def __init__(self) -> None:
        self.entries: dict[int, bytes] = {}
        self.unfinished: list[Unfinished] = []

    def restore(self, unfinished: Sequence[Unfinished]) -> None:
        self.unfinished = list(unfinished)

    def replay(self, index: int, entry: bytes) -> None:
        self.entries[index] = entry


def none() -> list[Unfinished]:
    return []


def opened(
    files: FaultyFiles, identity: Identity = IDENTITY, segment_bytes: int = 10_000
) -> tuple[WriteAheadLog, Notes]:
    log, notes = WriteAheadLog(files, identity, segment_bytes), Notes()
    log.load(notes)
    return log, notes


def filled(count: int = 3, segment_bytes: int = 10_000) -> FaultyFiles:
    files = FaultyFiles()
    log, _ = opened(files, segment_bytes=segment_bytes)
    log.begin([])
    for number in range(count):
        log.append([f"{number}a".encode(), f"{number}b".encode()], none)
    log.close()
    return files


def test_entries_are_there_after_a_restart() -> None:
    files = FaultyFiles()
    log, notes = opened(files)
    assert (log.next_index, notes.entries) == (0, {})
    log.begin([])
    assert log.append([b"een", b"twee"], none) == 0
    assert log.append([b"drie"], none) == 2
    assert log.next_index == 3
    files.kill()
    log, notes = opened(files)
    assert notes.entries == {0: b"een", 1: b"twee", 2: b"drie"}
    log.begin([])
    assert log.append([b"vier"], none) == 3
    assert opened(files)[1].entries[3] == b"vier"


def test_nothing_is_written_before_begin() -> None:
    log, _ = opened(FaultyFiles())
    with pytest.raises(OSError, match="not begun"):
        log.append([b"x"], none)


def test_a_full_segment_is_followed_by_another_and_a_start_reads_only_the_end() -> None:
    unfinished = [Unfinished(request(9), 4, "model/m")]
    files = FaultyFiles()
    log, _ = opened(files, segment_bytes=1000)
    log.begin([])
    for number in range(40):
        log.append([f"{number:0100d}".encode()], lambda: unfinished)
    names = sorted(files.names())
    assert names == [name_from_number(number) for number in range(1, len(names) + 1)]
    assert len(names) == 6  # seven groups fill a segment
    log, notes = opened(files, segment_bytes=1000)
    assert log.next_index == 40
    assert notes.unfinished == unfinished
    assert min(notes.entries) > 20
    assert sorted(notes.entries) == list(range(min(notes.entries), 40))


def test_restarts_without_entries_leave_no_trail() -> None:
    files = filled()
    for _ in range(5):
        log, _ = opened(files)
        log.begin([])
        log.close()
    assert sorted(files.names()) == [name_from_number(1), name_from_number(2)]


def test_a_torn_end_is_cut_off() -> None:
    files = filled()
    whole = files.content("wal-00000001")
    files.overwrite("wal-00000001", whole[:-1])
    log, notes = opened(files)
    assert sorted(notes.entries) == [0, 1, 2, 3]
    assert log.torn_bytes > 0
    log.begin([])
    assert files.content("wal-00000001") == whole[: len(whole) - log.torn_bytes - 1]
    log.append([b"nieuw"], none)
    assert opened(files)[1].entries[4] == b"nieuw"


def test_a_changed_entry_stops_the_start() -> None:
    files = filled()
    files.overwrite("wal-00000001", files.content("wal-00000001").replace(b"1a", b"1x"))
    with pytest.raises(LedgerDamaged):
        opened(files)


def test_a_missing_segment_stops_the_start() -> None:
    files = filled(30, segment_bytes=500)
    files.remove("wal-00000003")
    with pytest.raises(LedgerDamaged, match="missing"):
        opened(files, segment_bytes=500)


def test_a_torn_segment_with_a_later_one_stops_the_start() -> None:
    files = filled(30, segment_bytes=500)
    before_last = sorted(files.names())[-2]
    files.overwrite(before_last, files.content(before_last)[:-1])
    with pytest.raises(LedgerDamaged, match="later segments"):
        opened(files, segment_bytes=500)


def test_a_segment_in_anothers_place_stops_the_start() -> None:
    files = filled(30, segment_bytes=500)
    names = sorted(files.names())
    files.overwrite(names[-1], files.content(names[-2]))
    with pytest.raises(LedgerDamaged, match="does not follow"):
        opened(files, segment_bytes=500)


@pytest.mark.parametrize("identity", [Identity("een-ander", "node-1"), Identity("gemeente-voorbeeld", "node-2")])
def test_the_log_of_another_is_not_touched(identity: Identity) -> None:
    files = filled()
    with pytest.raises(LedgerOfAnother):
        opened(files, identity)


def test_after_an_error_nothing_is_written_until_it_has_begun_again() -> None:
    files = FaultyFiles()
    log, _ = opened(files)
    log.begin([])
    log.append([b"een"], none)
    files.fault = Fault(len(files.calls) + 1, "error")  # the sync
    with pytest.raises(OSError, match="injected"):
        log.append([b"twee"], none)
    with pytest.raises(OSError, match="not begun"):
        log.append([b"drie"], none)
    log.begin([])
    assert log.append([b"vier"], none) == 1
    assert opened(files)[1].entries == {0: b"een", 1: b"vier"}
    assert sorted(files.names()) == [name_from_number(1), name_from_number(2)]


def test_a_log_that_lost_acknowledged_entries_does_not_begin_again() -> None:
    """A device that forgets: what was acknowledged is not there when it is read again."""
    files = FaultyFiles()
    log, _ = opened(files)
    log.begin([])
    log.append([b"een"], none)
    log.append([b"twee"], none)
    whole = files.content("wal-00000001")
    files.fault = Fault(len(files.calls), "error")
    with pytest.raises(OSError, match="injected"):
        log.append([b"drie"], none)
    files.overwrite("wal-00000001", whole[:-1])
    with pytest.raises(LedgerDamaged, match="lost"):
        log.begin([])


def test_a_full_disk_is_said_and_passes() -> None:
    files = FaultyFiles()
    log, _ = opened(files)
    log.begin([])
    log.append([b"een"], none)
    files.room = 10
    with pytest.raises(OSError, match="full") as caught:
        log.append([b"twee" * 100], none)
    assert fault_of(caught.value) == "disk_full"
    with pytest.raises(OSError, match="full"):  # not even a new segment fits
        files.room = 0
        log.begin([])
    files.room = None
    log.begin([])
    assert log.append([b"drie"], none) == 1
    assert opened(files)[1].entries == {0: b"een", 1: b"drie"}


def test_a_write_that_writes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    files = FaultyFiles()
    log, _ = opened(files)
    log.begin([])
    monkeypatch.setattr(files, "write", lambda handle, offset, data: 0)
    with pytest.raises(OSError, match="nothing more"):
        log.append([b"een"], none)


def test_codes_of_errors() -> None:
    assert fault_of(OSError(errno.EDQUOT, "")) == "disk_full"
    assert fault_of(OSError(errno.EIO, "")) == "io_error"
    assert fault_of(OSError("?")) == "io_error"


def test_no_handle_stays_open() -> None:
    files = FaultyFiles()
    log, _ = opened(files, segment_bytes=300)
    log.begin([])
    for number in range(20):
        log.append([b"%d" % number], none)
    for step in range(12):
        files.fault = Fault(len(files.calls) + step, "error")
        try:
            log.append([b"x"], none)
            log.begin([])
        except OSError:
            pass
        files.fault = None
        log.begin([])
    assert files.open_handles == 1
    log.close()
    assert files.open_handles == 0
