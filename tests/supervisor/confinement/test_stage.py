"""The step between root and bubblewrap."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor.confinement.conftest import gone, is_dead
from tenzij.supervisor.confinement import stage

FOR_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root stages")
USER = 63298


PARENT = """
import json, os, subprocess, sys
spec = json.loads(sys.argv[2]) | {"parent": os.getpid()}
child = subprocess.Popen([sys.executable, "-I", "-S", sys.argv[1], json.dumps(spec)], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
sys.stdin.read()
"""


def specified(**changed: Any) -> str:
    return json.dumps(
        {"parent": os.getpid(), "limits": [], "user": None, "staged": [], "argv": ["/usr/bin/id"]} | changed
    )


def staged(**changed: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", stage.__file__, specified(**changed)]
    groups = (1, 2) if os.geteuid() == 0 else None
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, extra_groups=groups)


def test_limits_hold_for_what_it_becomes() -> None:
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 100)]
    done = staged(limits=limits, argv=["/bin/sh", "-c", "ulimit -c; ulimit -n; umask"])
    assert done.stdout.split() == ["0", "100", "0077"]


def test_a_limit_is_never_above_what_the_supervisor_has() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = staged(limits=[(resource.RLIMIT_NOFILE, hard + 10)], argv=["/bin/sh", "-c", "ulimit -n"])
    assert int(done.stdout) == hard
    assert soft <= hard


def test_what_fails_is_said_in_one_line() -> None:
    done = staged(argv=["/none"])
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.startswith("stage: FileNotFoundError")
    assert len(done.stderr.splitlines()) == 1


def test_it_does_not_outlive_a_supervisor_that_is_gone_already() -> None:
    assert staged(parent=1).returncode == -9


@pytest.mark.parametrize("user", [None, pytest.param(USER, marks=FOR_ROOT)])
def test_what_it_becomes_dies_with_the_supervisor(user: int | None) -> None:
    spec = specified(user=user, argv=["/bin/sh", "-c", "echo; exec sleep 600"])
    command = [sys.executable, "-c", PARENT, stage.__file__, spec]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_dead(child)
        parent.kill()
    assert gone(child)


@FOR_ROOT
def test_root_is_given_up_whole() -> None:
    done = staged(user=USER, argv=["/bin/sh", "-c", "cat /proc/self/status"])
    status = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert status["Uid"].split() == status["Gid"].split() == [str(USER)] * 4
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0


@FOR_ROOT
def test_what_is_staged_is_seen_past_a_closed_folder_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "closed" / "shown").mkdir(parents=True)
    (tmp_path / "closed" / "shown" / "file").write_text("seen")
    (tmp_path / "closed" / "shown" / "file").chmod(0o644)
    (tmp_path / "closed").chmod(0o700)
    shown = str(tmp_path / "closed" / "shown")
    look = ["/bin/sh", "-c", f"cat /run/0/file; ls /run; cat {shown}/file"]
    done = staged(user=USER, staged=[(shown, "/run/0"), (f"{shown}/file", "/run/1")], argv=look)
    assert done.stdout.split() == ["seen0", "1"]
    assert "Permission denied" in done.stderr
    assert not Path("/run/0").exists()  # on the machine itself nothing changed


@FOR_ROOT
def test_a_link_is_not_staged(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    done = staged(user=USER, staged=[(str(tmp_path / "link"), "/run/0")])
    assert done.returncode == 70
    assert "is a link" in done.stderr
