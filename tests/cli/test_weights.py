"""Taking weights in: what is kept is what was checked, or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tenzij.cli.weights import take_in_weights
from tenzij.engines.passport import default_passport
from tenzij.engines.weights import WeightsMismatch
from tenzij.errors import OperatorError
from tenzij.passport import Passport, WeightsFile
from tenzij.types import Sha256

CONTENT = b"GGUF" + bytes(range(256)) * 9000


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights.gguf"
    file.write_bytes(CONTENT)
    return file


def passport_of(content: bytes) -> Passport:
    file = WeightsFile(Sha256(hashlib.sha256(content).hexdigest()), len(content), "gguf")
    return replace(default_passport(), file=file)


def kept(home: Path) -> list[str]:
    return sorted(entry.name for entry in (home / "models").iterdir())


def test_weights_are_kept_under_their_hash_and_read_only(weights: Path, tmp_path: Path) -> None:
    passport = passport_of(CONTENT)
    target = take_in_weights(weights, passport, tmp_path)
    assert target.read_bytes() == CONTENT
    assert kept(tmp_path) == [f"{passport.file.sha256}.gguf"]
    assert target.stat().st_mode & 0o777 == 0o444


def test_weights_that_differ_are_refused_and_nothing_is_kept(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatch, match="its passport says"):
        take_in_weights(weights, passport_of(b"something else"), tmp_path)
    assert kept(tmp_path) == []


def test_a_damaged_copy_is_replaced(weights: Path, tmp_path: Path) -> None:
    passport = passport_of(CONTENT)
    target = take_in_weights(weights, passport, tmp_path)
    target.chmod(0o644)
    target.write_bytes(CONTENT[:-1] + b"x")
    take_in_weights(weights, passport, tmp_path)
    assert target.read_bytes() == CONTENT


def test_weights_that_are_there_are_not_copied_again(weights: Path, tmp_path: Path) -> None:
    passport = passport_of(CONTENT)
    first = take_in_weights(weights, passport, tmp_path).stat()
    assert take_in_weights(weights, passport, tmp_path).stat().st_ino == first.st_ino


def test_a_wrong_file_is_refused_also_when_the_right_one_is_there(weights: Path, tmp_path: Path) -> None:
    passport = passport_of(CONTENT)
    take_in_weights(weights, passport, tmp_path)
    weights.write_bytes(b"another")
    with pytest.raises(WeightsMismatch, match="its passport says"):
        take_in_weights(weights, passport, tmp_path)


def test_a_passport_with_the_wrong_size_is_refused(weights: Path, tmp_path: Path) -> None:
    passport = passport_of(CONTENT)
    wrong = replace(passport, file=replace(passport.file, size_bytes=5))
    with pytest.raises(WeightsMismatch, match="mend size_bytes"):
        take_in_weights(weights, wrong, tmp_path)
    assert kept(tmp_path) == []


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"could not be taken in: No such file .*missing\.gguf"):
        take_in_weights(tmp_path / "missing.gguf", passport_of(CONTENT), tmp_path)
    assert kept(tmp_path) == []
