"""Reading a folder without its writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.samples import IDENTITY, decision, decision_bytes, outcome_bytes, request
from ledger.test_wal import none
from tenzij.ledger.files import RealFiles
from tenzij.ledger.place import write_ahead_folder
from tenzij.ledger.reader import read_bytes, read_entries
from tenzij.ledger.segment import LedgerDamaged
from tenzij.ledger.wal import WriteAheadLog


def _written(folder: Path, segment_bytes: int = 10**6) -> None:
    files = RealFiles(write_ahead_folder(folder))
    log = WriteAheadLog(files, IDENTITY, segment_bytes)
    log.begin([])
    for number in range(20):
        log.append([decision_bytes(number)], none)
        log.append([outcome_bytes(number, 2 * number)], none)
    log.close()
    files.release()


@pytest.mark.parametrize("segment_bytes", [1, 5_000, 10**6])
def test_all_entries_in_order(tmp_path: Path, segment_bytes: int) -> None:
    _written(tmp_path, segment_bytes)
    read = list(read_entries(tmp_path))
    assert [index for index, _ in read] == list(range(40))
    assert read[6][1]["soort"] == "besluit"
    assert read[7][1]["besluit"] == 6
    assert read[7][1]["verzoek"] == request(3)
    assert dict(read_bytes(tmp_path))[6] == decision_bytes(3)


def test_beside_a_writer_that_is_in_the_middle(tmp_path: Path) -> None:
    _written(tmp_path)
    (segment,) = write_ahead_folder(tmp_path).iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole + whole[-500:-3])
    assert len(list(read_entries(tmp_path))) == 40
    segment.write_bytes(whole[:-3])
    assert len(list(read_entries(tmp_path))) == 39


def test_damage_is_reported_where_it_is(tmp_path: Path) -> None:
    _written(tmp_path, 5_000)
    segments = sorted(write_ahead_folder(tmp_path).iterdir())
    data = segments[1].read_bytes()
    segments[1].write_bytes(data.replace(decision(5).request.encode(), request(77).encode(), 1))
    with pytest.raises(LedgerDamaged, match="segment 2"):
        list(read_entries(tmp_path))
    segments[1].unlink()
    with pytest.raises(LedgerDamaged, match="does not follow"):
        list(read_entries(tmp_path))


def test_an_empty_log(tmp_path: Path) -> None:
    write_ahead_folder(tmp_path).mkdir()
    assert list(read_entries(tmp_path)) == []
