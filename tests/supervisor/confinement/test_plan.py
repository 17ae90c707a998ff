"""What a child sees, as arguments and grants."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

from tenzij.config import Confinement, Worker
from tenzij.supervisor.confinement import landlock, plan
from tenzij.supervisor.confinement.code_view import CodeView, code_view, outermost
from tenzij.supervisor.confinement.profiles import (
    Bind,
    Profile,
    profile_for_gateway,
    profile_for_ledger,
    profile_for_register,
    profile_for_worker,
)
from tenzij.supervisor.confinement.sandbox import FIXED, Shown, arguments
from tenzij.types import ModelId

CODE = CodeView(Path("/opt/python"), (Path("/opt/python"), Path("/opt/packages")), ("/opt/packages",), Path("/opt/t"))
LEDGER = Profile("ledger", "p", binds=(Bind(Path("/home/x/ledger"), "/state", writable=True),))


def test_bubblewrap_is_asked_for_everything() -> None:
    for needed in ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"):
        assert needed in FIXED
    for needed in ("--clearenv", "--as-pid-1"):
        assert needed in FIXED
    assert ("--cap-drop", "ALL") in itertools.pairwise(FIXED)
    assert not {"--share-net", "--cap-add", "--dev"} & set(FIXED)


def test_the_root_and_dev_are_read_only_after_all_was_put_there() -> None:
    made = arguments([Shown("/run/1", "/dev/null", "--dev-bind")], [("usr/lib", "/lib")], 5)
    assert made.index("/dev/null") < made.index("--remount-ro")
    assert made[-6:] == ["--remount-ro", "/", "--chdir", "/", "--seccomp", "5"]


def test_a_child_sees_its_own_and_the_code_alone() -> None:
    seen = {bind.target: option for bind, option in plan.visible(LEDGER, CODE)}
    host = {"/usr", "/opt/python", "/opt/packages", "/lib", "/lib64", "/etc/ld.so.cache", *plan.DEVICES}
    assert set(seen) - host == {"/state"}
    assert [target for target, option in seen.items() if option == "--bind"] == ["/state"]


def test_as_root_everything_is_staged() -> None:
    spec = plan.confined(LEDGER, plan.Way(Path("/opt/packages/bwrap"), CODE, 63202), ["python"], 5)
    assert spec["user"] == 63202
    sources = {source for source, _ in spec["staged"]}
    assert sources == {str(bind.source) for bind, _ in plan.visible(LEDGER, CODE)}
    assert "/home/x/ledger" not in spec["argv"]
    assert spec["argv"][0] == dict(spec["staged"])["/opt/packages"] + "/bwrap"
    assert spec["argv"][-2:] == ["--", "python"]


def test_an_ordinary_user_has_nothing_staged() -> None:
    spec = plan.confined(LEDGER, plan.Way(Path("/opt/packages/bwrap"), CODE, None), ["python"], 5)
    assert (spec["user"], spec["staged"], spec["argv"][0]) == (None, [], "/opt/packages/bwrap")
    assert "/home/x/ledger" in spec["argv"]
    assert spec["parent"] == os.getpid()


def test_landlock_grants_what_is_bound_and_no_more() -> None:
    granted = dict(plan.grants(LEDGER, CODE))
    assert granted["/state"] == granted["/tmp"] == landlock.WRITE
    assert granted["/usr"] == granted["/proc"] == landlock.READ
    assert granted["/dev/null"] == landlock.DEVICE
    assert not any(rights & landlock.EXECUTE for rights in granted.values())
    worker = Profile("worker:m", "p", listens=True)
    assert dict(plan.grants(worker, CODE))["/tmp"] == landlock.WRITE | landlock.MAKE_SOCK


@pytest.mark.parametrize(
    ("version", "files", "network", "scope"),
    [(1, 13, 0, 0), (2, 14, 0, 0), (3, 15, 0, 0), (4, 15, 3, 0), (5, 16, 3, 0), (6, 16, 3, 3), (9, 16, 3, 3)],
)
def test_an_older_landlock_is_asked_for_what_it_has(version: int, files: int, network: int, scope: int) -> None:
    assert landlock.handled(version) == ((1 << files) - 1, network, scope)


def test_the_code_is_shown_once() -> None:
    paths = [Path(p) for p in ("/usr/lib/python3", "/opt/a", "/opt/a/b", "/opt/ab", "/opt/a")]
    assert outermost(paths) == (Path("/opt/a"), Path("/opt/ab"))


def test_the_code_is_what_this_process_runs_on_and_not_where_it_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    code_view.cache_clear()
    try:
        view = code_view()
    finally:
        code_view.cache_clear()
    assert view.python.samefile(sys.executable)
    assert not view.python.is_symlink()
    assert not any(path.is_relative_to(tmp_path) or tmp_path.is_relative_to(path) for path in view.shown)
    assert all(Path(folder).name in ("site-packages", "dist-packages", "src") for folder in view.search_path)
    assert view.package == Path(plan.__file__).parents[2]


def test_every_process_has_a_user_and_a_folder_of_its_own(tmp_path: Path) -> None:
    confinement = Confinement()
    worker = [profile_for_worker(ModelId(f"m{slot}"), "w.gguf", tmp_path, Worker(), slot) for slot in (0, 89)]
    made = [profile_for_gateway(confinement), profile_for_ledger(tmp_path, confinement), *worker]
    made.append(profile_for_register(tmp_path, confinement))
    assert len({profile.uid_offset for profile in made}) == len(made)
    assert all(0 < profile.uid_offset < 100 for profile in made)
    writable = [bind.source for profile in made for bind in profile.binds if bind.writable]
    assert len(set(writable)) == len(writable) == 2
    assert [profile.name for profile in made if profile.listener] == ["gateway"]
    assert [profile.name for profile in made if profile.listens] == ["worker:m0", "worker:m89"]


@pytest.mark.parametrize("file", ["../ledger", "/etc/shadow", "", ".", ".."])
def test_weights_are_named_never_pointed_at(file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never a path"):
        profile_for_worker(ModelId("m"), file, tmp_path, Worker(), 0)


def test_there_is_an_end_to_the_users_of_workers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most"):
        profile_for_worker(ModelId("m"), "w.gguf", tmp_path, Worker(), 90)
