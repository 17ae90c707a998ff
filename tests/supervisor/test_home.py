"""TENZIJ_HOME: what is made, and what is refused with advice."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tenzij.supervisor.home import BadHome, prepared, replace_file

AS_ROOT = os.geteuid() == 0


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_private_is_made(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        home = prepared(tmp_path / "a" / "home")
    finally:
        os.umask(old)
    assert sorted(path.name for path in home.path.iterdir()) == ["models", "run", "supervisor"]
    for path in [home.path, *home.path.iterdir()]:
        assert mode(path) == 0o700, path


def test_what_is_there_stays_and_is_closed_to_others(tmp_path: Path) -> None:
    home = prepared(tmp_path / "home")
    (home.models / "weights.gguf").write_text("w")
    home.models.chmod(0o777)
    prepared(home.path)
    assert mode(home.models) == 0o700
    assert (home.models / "weights.gguf").read_text() == "w"


@pytest.mark.parametrize("open_mode", [0o770, 0o707, 0o777, 0o720])
def test_a_home_that_others_can_write_is_refused(tmp_path: Path, open_mode: int) -> None:
    tmp_path.chmod(open_mode)
    with pytest.raises(BadHome, match="chmod go-w"):
        prepared(tmp_path)
    tmp_path.chmod(0o755)
    prepared(tmp_path)


@pytest.mark.skipif(not AS_ROOT, reason="needs root to give a folder away")
def test_somebody_elses_home_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(BadHome, match="belongs to user id 12345"):
        prepared(tmp_path)


@pytest.mark.skipif(not AS_ROOT, reason="needs root to give a folder away")
@pytest.mark.parametrize("name", ["run", "models", "supervisor"])
def test_somebody_elses_folder_in_it_is_refused(tmp_path: Path, name: str) -> None:
    home = prepared(tmp_path)
    os.chown(home.path / name, 12345, 12345)
    with pytest.raises(BadHome, match=f"{name} belongs to user id 12345"):
        prepared(tmp_path)


@pytest.mark.parametrize("name", ["run", "models", "supervisor"])
def test_a_link_in_the_place_of_a_folder_is_refused_and_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / name).symlink_to(elsewhere)
    with pytest.raises(BadHome, match=name):
        prepared(home)
    assert mode(elsewhere) == 0o755


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(BadHome, match="not a folder"):
        prepared(tmp_path)
    with pytest.raises(BadHome, match="not a folder"):
        prepared(tmp_path / "run")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "TENZIJ_HOME"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_each_failure_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def mkdir(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir)
        with pytest.raises(BadHome, match=advice):
            prepared(tmp_path / "home")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    replace_file(path, b"one", 0o600)
    replace_file(path, b"two", 0o644)
    assert path.read_bytes() == b"two"
    assert mode(path) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    replace_file(path, b"one", 0o600)

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(BadHome, match="disk is full"):
            replace_file(path, b"two", 0o600)
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_link_in_the_place_of_the_new_file_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "x.new").symlink_to(target)
    with pytest.raises(BadHome):
        replace_file(tmp_path / "x", b"one", 0o600)
    assert target.read_text() == "precious"
