"""What a child is given, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.confinement.conftest import DEADLINE_S, PROGRAMS, Start, end_all, gone, status_of
from tenzij.channels import control
from tenzij.channels.control import Failed, Ready, receive_at_supervisor, send
from tenzij.config import Config, Confinement
from tenzij.supervisor import tree
from tenzij.supervisor.confinement import ability, plan
from tenzij.supervisor.confinement.launcher import CannotConfine, Launched, launch, unsafe_notice, user_of
from tenzij.supervisor.confinement.profiles import Profile

CONFINEMENT = Confinement()
UNSAFE = Confinement(unsafe_run_unconfined=True)
SUPERVISOR = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from dataclasses import replace
from tenzij.config import Config
from tenzij.supervisor.confinement import ability, code_view, launcher
from tenzij.supervisor.confinement.profiles import profile_for_gateway
view = code_view.code_view()
programs = Path(sys.argv[1])
wider = replace(view, shown=(*view.shown, programs), search_path=(*view.search_path, str(programs)))
ability.code_view = launcher.code_view = lambda: wider
profile = replace(profile_for_gateway(Config().confinement), program="waits")
launched = launcher.launch(profile, confinement=Config().confinement)
launched.control.settimeout(30)
launched.control.send(b"deaf")
launched.control.recv(10)
print(launched.process.pid, flush=True)
sys.stdin.read()
"""


def message(launched: Launched) -> control.ToSupervisor | None:
    received = receive_at_supervisor(launched.control)
    return received[0] if received else None


def test_a_child_has_its_control_channel_and_nothing_else(
    start: Start, profiles: dict[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    launched = start(profiles["ledger"], "about_itself")
    send(launched.control, control.Start({"a": "ü"}))
    ready = message(launched)
    assert isinstance(ready, Ready)
    facts = ready.facts
    assert facts["config"] == {"a": "ü"}
    assert len(facts["open"]) == 2  # the control channel, and the listing itself
    assert facts["standard"] == ["/dev/null"] * 3
    assert facts["environment"] == ["LC_CTYPE", "PWD"]
    assert (facts["pid"], facts["session"], facts["threads"], facts["folder"]) == (1, 1, 1, "/")
    assert facts["user"] == launched.user == user_of(profiles["ledger"], CONFINEMENT)
    assert facts["umask"] == 0o077
    assert facts["data_bytes"] == profiles["ledger"].memory_bytes


def test_every_profile_has_a_user_of_its_own(profiles: dict[str, Profile]) -> None:
    users = {user_of(profile, CONFINEMENT) for profile in profiles.values()}
    assert len(users) == (len(profiles) if os.geteuid() == 0 else 1)


def test_a_child_sees_the_end_of_its_channel(start: Start, profiles: dict[str, Profile]) -> None:
    launched = start(profiles["ledger"], "about_itself")
    send(launched.control, control.Start({}))
    message(launched)
    launched.control.close()
    assert status_of(launched) == 7


def test_killing_the_process_kills_the_program(start: Start, profiles: dict[str, Profile]) -> None:
    launched = start(profiles["gateway"], "waits")
    launched.control.send(b"deaf")
    assert launched.control.recv(10) == b"deaf"
    (program,) = tree.below(launched.process.pid)
    launched.process.kill()
    assert gone(program)


def test_a_killed_supervisor_takes_its_children_along() -> None:
    source = str(Path(ability.__file__).parents[3])
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, PROGRAMS, source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        family = [child, *tree.below(child)]
        assert len(family) == 2
        supervisor.send_signal(signal.SIGKILL)
    assert all(gone(pid) for pid in family)


def test_a_program_that_fails_says_where_but_not_what(start: Start, profiles: dict[str, Profile]) -> None:
    launched = start(profiles["gateway"], "fails")
    failed = message(launched)
    assert isinstance(failed, Failed)
    assert failed.code == "crashed"
    assert failed.reason.startswith("the program failed: KeyError (")
    assert "policy/snapshot_json.py:" in failed.reason
    assert "CANARY" not in failed.reason
    assert status_of(launched) != 0
    assert launched.early_words() == ""  # what it printed is gone


def test_a_program_that_aborts_ends(start: Start, profiles: dict[str, Profile]) -> None:
    """Process 1 of a namespace takes no signal that it has no handler for; aborting ends it all the same."""
    launched = start(profiles["worker"], "aborts")
    assert message(launched) is None
    assert status_of(launched) in (128 + signal.SIGABRT, 128 + signal.SIGSEGV)


def test_a_program_that_cannot_be_imported_says_so(start: Start, profiles: dict[str, Profile]) -> None:
    launched = start(profiles["gateway"], "fails_to_import")
    failed = message(launched)
    assert isinstance(failed, Failed)
    assert failed.code == "not_imported"
    assert "ValueError" in failed.reason
    assert "CANARY" not in failed.reason


def test_what_bubblewrap_says_when_it_fails_can_be_read(
    start: Start, profiles: dict[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(profiles["ledger"], "waits")  # the trial is done
    monkeypatch.setattr(plan, "DEVICES", ("/dev/tenzij-has-none",))
    launched = start(profiles["ledger"], "waits")
    assert status_of(launched) != 0
    assert "tenzij-has-none" in launched.early_words()
    assert launched.early_words() == ""


def test_children_are_started_from_the_main_thread_alone(profiles: dict[str, Profile]) -> None:
    raised: list[Exception] = []

    def elsewhere() -> None:
        try:
            launch(profiles["ledger"], confinement=CONFINEMENT)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


@pytest.fixture
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch, forget_ability: None) -> None:
    monkeypatch.setattr(ability, "bubblewraps", list)


@pytest.mark.usefixtures("without_bubblewrap")
def test_without_bubblewrap_nothing_starts(profiles: dict[str, Profile]) -> None:
    with pytest.raises(CannotConfine, match="install the package bubblewrap"):
        launch(profiles["ledger"], confinement=CONFINEMENT)
    assert unsafe_notice(CONFINEMENT) is None


@pytest.mark.usefixtures("without_bubblewrap")
def test_the_unsafe_switch_runs_unconfined_and_says_so(
    start: Start, profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    started = launch(replace(profiles["ledger"], program="about_itself"), confinement=UNSAFE)
    try:
        assert not started.confined
        assert started.paths == {"/state": str(home / "ledger")}
        started.control.settimeout(DEADLINE_S)
        send(started.control, control.Start({}))
        ready = message(started)
        assert isinstance(ready, Ready)
        facts = ready.facts
        assert "SECRET" not in facts["environment"]
        assert facts["pid"] == facts["session"] == started.process.pid
        assert facts["user"] == os.geteuid()
        assert facts["standard"] == ["/dev/null"] * 3
    finally:
        end_all([started])
    notice = unsafe_notice(UNSAFE)
    assert notice is not None
    assert notice.startswith("UNSAFE")
    assert "bubblewrap" in notice


def test_where_it_is_not_needed_the_unsafe_switch_changes_nothing(profiles: dict[str, Profile]) -> None:
    started = launch(replace(profiles["ledger"], program="tenzij.none"), confinement=UNSAFE)
    try:
        assert started.confined
    finally:
        end_all([started])
    assert "not needed" in str(unsafe_notice(UNSAFE))
    assert unsafe_notice(Config().confinement) is None
