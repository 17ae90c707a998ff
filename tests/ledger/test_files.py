"""The real file system under the log."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ledger.samples import IDENTITY
from ledger.test_wal import Notes, none
from tenzij.ledger.files import FolderInUse, RealFiles
from tenzij.ledger.wal import WriteAheadLog


def test_a_log_on_disk(tmp_path: Path) -> None:
    notes = Notes()
    for life in range(3):
        files = RealFiles(tmp_path / "wal")
        log = WriteAheadLog(files, IDENTITY, 200)
        log.load(notes)
        assert log.next_index == 10 * life
        log.begin([])
        for number in range(10):
            assert log.append([b"%d" % (10 * life + number)], none) == 10 * life + number
        log.begin([])
        log.close()
        files.release()
    assert notes.entries[19] == b"19"
    assert len(list((tmp_path / "wal").iterdir())) > 6


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        files = RealFiles(tmp_path / "wal")
        WriteAheadLog(files, IDENTITY).begin([])
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "wal").stat().st_mode) == 0o700
    (file,) = (tmp_path / "wal").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    files.release()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = RealFiles(tmp_path / "wal")
    with pytest.raises(FolderInUse):
        RealFiles(tmp_path / "wal")
    first.release()
    RealFiles(tmp_path / "wal").release()


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"not ours")
    files = RealFiles(tmp_path / "wal")
    (tmp_path / "wal" / "wal-00000001").symlink_to(tmp_path / "elsewhere")
    for call in (files.read, files.open, files.create):
        with pytest.raises(OSError, match="symbolic"):
            call("wal-00000001")
    assert (tmp_path / "elsewhere").read_bytes() == b"not ours"
    files.release()
