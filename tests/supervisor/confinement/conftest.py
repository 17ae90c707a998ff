"""Real sandboxes for tests: profiles on a new TENZIJ_HOME, programs that lie beside the tests, and an end for all."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenzij.config import Config
from tenzij.supervisor import home as homes
from tenzij.supervisor.confinement import ability, code_view, launcher
from tenzij.supervisor.confinement.launcher import Launched, launch
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.selftest import tried_profiles

PROGRAMS = Path(__file__).parent / "programs"
KINDS = ("worker", "gateway", "ledger", "register")
DEADLINE_S = 30.0

Start = Callable[[Profile, str], Launched]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A new TENZIJ_HOME, with what nobody but its owner shall see."""
    home = tmp_path / "home"
    homes.prepared(home)
    for name in ("models", "run", "supervisor"):
        (home / name / "other").write_text("not yours")
    return home


@pytest.fixture
def profiles(home: Path, tmp_path: Path) -> dict[str, Profile]:
    """One of each kind, as the self-test makes them."""
    spare = tmp_path / "spare"
    spare.mkdir()
    return {profile.name.partition(":")[0]: profile for profile in tried_profiles(Config(), home, spare)}


@pytest.fixture
def forget_ability() -> Iterator[None]:
    """What was found out about this machine is found out anew, in the test and after it."""
    ability._tried.cache_clear()
    yield
    ability._tried.cache_clear()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, forget_ability: None) -> Iterator[Start]:
    """Launches a profile with a program of ours from `programs/`."""
    view = code_view.code_view()
    wider = replace(view, shown=(*view.shown, PROGRAMS), search_path=(*view.search_path, str(PROGRAMS)))
    for module in (ability, launcher):
        monkeypatch.setattr(module, "code_view", lambda: wider)
    started: list[Launched] = []

    def starting(profile: Profile, program: str) -> Launched:
        launched = launch(replace(profile, program=program), confinement=Config().confinement)
        launched.control.settimeout(DEADLINE_S)
        started.append(launched)
        return launched

    yield starting
    end_all(started)


def end_all(started: list[Launched]) -> None:
    for launched in started:
        launched.process.kill()
        launched.process.wait()
        launched.close()


def status_of(launched: Launched) -> int:
    """Its exit status, waited for."""
    try:
        return launched.process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        pytest.fail("the process does not end")


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return True


def gone(pid: int) -> bool:
    """Whether it ended, seen within the deadline. Whose parent is gone stays for a while, as a name only."""
    until = time.monotonic() + DEADLINE_S
    while not is_dead(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
