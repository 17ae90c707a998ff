"""Passport files: the shipped one holds, and a bad file is one clear fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenzij.engines.passport import MAX_PASSPORT_BYTES, default_passport, passport_from_file, passport_from_text
from tenzij.passport import BadPassport
from tenzij.types import Capability, Task


def test_the_default_passport_is_whole_and_modest() -> None:
    passport = default_passport()
    assert passport.id == "smollm2-135m-instruct"
    assert passport.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert passport.file.size_bytes == 98362432
    assert passport.licence == "Apache-2.0"
    assert passport.languages == ("en",)
    assert set(passport.tasks) == {Task.CHAT, Task.COMPLETION}
    assert passport.capabilities == (Capability.STRUCTURED,)
    assert passport.evaluation == ()


def test_a_file_reads_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "passport.toml"
    text = (Path(__file__).parents[2] / "src/tenzij/engines/passports/smollm2-135m-instruct.toml").read_text("utf-8")
    path.write_text(text, "utf-8")
    assert passport_from_file(path) == passport_from_text(text) == default_passport()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"id = ", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * (MAX_PASSPORT_BYTES + 1), "is larger than"),
        (b"a = " + b"[" * 100_000, "nested too deep"),
        (b"", "is missing"),
    ],
    ids=["syntax", "bytes", "size", "depth", "empty"],
)
def test_bad_files_are_faults(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "passport.toml"
    path.write_bytes(content)
    with pytest.raises(BadPassport, match=fault):
        passport_from_file(path)


def test_a_missing_file_and_a_folder_are_faults(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadPassport, match="cannot be read"):
            passport_from_file(path)
