"""The files, folders and devices that a profile names, before a child starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenzij.supervisor.confinement.folders import UnfitFolder, prepared, verify_devices
from tenzij.supervisor.confinement.profiles import Bind

OTHER = 63299
FOR_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has users to give to")


def own(path: Path) -> Bind:
    return Bind(path, "/state", writable=True)


def test_a_missing_folder_is_made_private(tmp_path: Path) -> None:
    prepared([own(tmp_path / "new")], os.geteuid())
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    prepared([own(tmp_path / "open")], os.geteuid())
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_sources_are_named_by_their_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (bind,) = prepared([own(tmp_path / "link" / "new")], os.geteuid())
    assert bind.source == tmp_path / "real" / "new"


@pytest.mark.parametrize("writable", [True, False])
def test_a_link_is_not_followed(writable: bool, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(UnfitFolder):
        prepared([Bind(tmp_path / "link", "/x", writable)], os.geteuid())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnfitFolder):
        prepared([own(tmp_path / "file")], os.geteuid())


def test_what_is_read_only_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UnfitFolder, match="does not exist"):
        prepared([Bind(tmp_path / "weights", "/weights/x")], os.geteuid())


def test_what_is_read_only_must_be_readable_for_the_child(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("")
    (tmp_path / "weights").chmod(0o600)
    with pytest.raises(UnfitFolder, match=r"chmod a\+r"):
        prepared([Bind(tmp_path / "weights", "/weights/x")], OTHER)
    (tmp_path / "weights").chmod(0o604)
    prepared([Bind(tmp_path / "weights", "/weights/x")], OTHER)


@FOR_ROOT
def test_an_empty_folder_is_given_to_the_child(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    prepared([own(tmp_path / "empty")], OTHER)
    assert (tmp_path / "empty").stat().st_uid == OTHER


@FOR_ROOT
def test_a_filled_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "file").write_text("")
    with pytest.raises(UnfitFolder, match="chown -R"):
        prepared([own(tmp_path / "filled")], OTHER)
    assert (tmp_path / "filled").stat().st_uid == os.geteuid()


def test_a_declared_device_must_be_one() -> None:
    verify_devices(["/dev/null"], os.geteuid())
    for path in ("/dev/tenzij-has-none", "/dev", __file__):
        with pytest.raises(UnfitFolder, match=r"worker\.devices"):
            verify_devices([path], os.geteuid())


@FOR_ROOT
def test_a_declared_device_must_be_open_to_the_child(tmp_path: Path) -> None:
    os.mknod(tmp_path / "device", 0o020600, os.makedev(1, 3))
    with pytest.raises(UnfitFolder, match=r"chmod a\+rw"):
        verify_devices([str(tmp_path / "device")], OTHER)
