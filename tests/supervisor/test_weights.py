"""When weights are hashed, and the record that says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenzij.channels.control import ModelSpec
from tenzij.supervisor.home import Home, prepared
from tenzij.supervisor.role import Unfit
from tenzij.supervisor.weights import look_at, records, remember
from tenzij.types import ModelId, Sha256

WEIGHTS = Sha256("12" * 32)
SPEC = ModelSpec(ModelId("m"), WEIGHTS, 4, f"{WEIGHTS}.gguf", ["chat"], 512)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return prepared(tmp_path / "home")


@pytest.fixture
def file(home: Home) -> Path:
    path = home.models / SPEC.file
    path.write_bytes(b"GGUF")
    path.chmod(0o644)
    return path


def test_a_record_is_read_back(home: Home, file: Path) -> None:
    look = look_at(file, SPEC)
    remember(home, WEIGHTS, look)
    assert records(home) == {WEIGHTS: look}
    assert look_at(file, SPEC) == look


def test_records_stand_beside_each_other(home: Home, file: Path) -> None:
    look = look_at(file, SPEC)
    other = Sha256("34" * 32)
    remember(home, WEIGHTS, look)
    remember(home, other, look)
    assert set(records(home)) == {WEIGHTS, other}


def test_nobody_else_can_read_or_write_the_record(home: Home, file: Path) -> None:
    remember(home, WEIGHTS, look_at(file, SPEC))
    assert home.verified.stat().st_mode & 0o777 == 0o600


def test_new_content_with_the_old_time_looks_different(home: Home, file: Path) -> None:
    before, look = file.stat(), look_at(file, SPEC)
    file.write_bytes(b"EVIL")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look_at(file, SPEC) != look


def test_another_file_in_its_place_looks_different(home: Home, file: Path) -> None:
    look = look_at(file, SPEC)
    other = home.models / "other"
    other.write_bytes(b"GGUF")
    other.chmod(0o644)
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(file)
    assert look_at(file, SPEC) != look


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"12": 3}', b'{"12": {"device": 1}}', b"[" * 100_000],
    ids=["empty", "cut", "a list", "no UTF-8", "a number", "parts missing", "deep"],
)
def test_a_record_that_cannot_be_read_is_none(home: Home, content: bytes) -> None:
    home.verified.write_bytes(content)
    assert records(home) == {}


def test_no_record_is_none(home: Home) -> None:
    assert records(home) == {}


def test_missing_weights(home: Home) -> None:
    with pytest.raises(Unfit, match="missing") as unfit:
        look_at(home.models / SPEC.file, SPEC)
    assert unfit.value.final


def test_weights_of_another_size(file: Path) -> None:
    file.write_bytes(b"GGUF!")
    with pytest.raises(Unfit, match="5 bytes; the passport says 4"):
        look_at(file, SPEC)


def test_a_link_to_weights(home: Home, file: Path) -> None:
    file.rename(home.models / "elsewhere")
    file.symlink_to(home.models / "elsewhere")
    with pytest.raises(Unfit, match="not a plain file"):
        look_at(file, SPEC)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's worker is that user")
def test_weights_for_root_alone(file: Path) -> None:
    file.chmod(0o600)
    with pytest.raises(Unfit, match=r"cannot read the weights: chmod a\+r models/"):
        look_at(file, SPEC)


def test_no_reason_names_a_folder_of_the_machine(home: Home) -> None:
    with pytest.raises(Unfit) as unfit:
        look_at(home.models / SPEC.file, SPEC)
    assert str(home.path) not in unfit.value.reason
