"""Weights: hashed through one descriptor, refused when they differ, and any write is seen."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tenzij.engines.weights import (
    WeightsMismatch,
    WeightsUnreadable,
    open_weights,
    sha256_of,
    verify_weights,
    weights_identity,
)
from tenzij.types import Sha256

CONTENT = b"GGUF" + bytes(range(256)) * 999
RIGHT = Sha256(hashlib.sha256(CONTENT).hexdigest())
WRONG = Sha256("0" * 64)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.gguf"
    path.write_bytes(CONTENT)
    return path


def test_the_hash_is_of_every_byte_from_the_start(weights: Path) -> None:
    descriptor = open_weights(weights)
    os.lseek(descriptor, 17, os.SEEK_SET)
    assert sha256_of(weights) == sha256_of(str(weights)) == sha256_of(descriptor) == RIGHT
    os.fstat(descriptor)  # still open
    os.close(descriptor)


def test_identity_is_the_same_by_path_and_descriptor(weights: Path) -> None:
    descriptor = open_weights(weights)
    assert weights_identity(weights) == weights_identity(descriptor)
    os.close(descriptor)


def test_identity_changes_with_a_write_even_when_mtime_is_put_back(weights: Path) -> None:
    before = weights_identity(weights)
    with weights.open("r+b") as file:
        file.write(b"g")
    os.utime(weights, ns=(before["mtime_ns"], before["mtime_ns"]))
    after = weights_identity(weights)
    assert after["mtime_ns"] == before["mtime_ns"]
    assert after["size_bytes"] == before["size_bytes"]
    assert after != before


def test_identity_changes_with_another_file_in_its_place(weights: Path, tmp_path: Path) -> None:
    before = weights_identity(weights)
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    other.replace(weights)
    assert weights_identity(weights)["inode"] != before["inode"]


def test_right_weights_pass(weights: Path) -> None:
    descriptor = open_weights(weights)
    verify_weights(descriptor, RIGHT, len(CONTENT), hashed=True)
    verify_weights(descriptor, WRONG, len(CONTENT), hashed=False)  # only the size is looked at
    os.close(descriptor)


@pytest.mark.parametrize("hashed", [True, False])
def test_another_size_is_a_mismatch_without_hashing(weights: Path, hashed: bool) -> None:
    descriptor = open_weights(weights)
    with pytest.raises(WeightsMismatch, match=f"{len(CONTENT)} bytes.*{len(CONTENT) + 1}.*{RIGHT}"):
        verify_weights(descriptor, RIGHT, len(CONTENT) + 1, hashed=hashed)
    os.close(descriptor)


def test_another_hash_is_a_mismatch_that_names_both(weights: Path) -> None:
    descriptor = open_weights(weights)
    with pytest.raises(WeightsMismatch, match=f"{RIGHT}.*{WRONG}"):
        verify_weights(descriptor, WRONG, len(CONTENT), hashed=True)
    os.close(descriptor)


def test_links_folders_pipes_and_nothing_are_refused(weights: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(weights)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, tmp_path / "none"):
        with pytest.raises(WeightsUnreadable):
            open_weights(path)
