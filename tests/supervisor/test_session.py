"""The operator's stream to the register for one command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import own
from supervisor.children import POLICY_KEY
from supervisor.fake_launch import children, fake_launch
from supervisor.running import model, settings
from supervisor.waiting import until_now
from tenzij.errors import OperatorError
from tenzij.supervisor import operator_socket, tree
from tenzij.supervisor.confinement.launcher import CannotConfine, Launched
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.home import prepared
from tenzij.supervisor.lock import AlreadyRunning, locked
from tenzij.supervisor.platform import with_programs
from tenzij.supervisor.session import operator_connection

PLATFORM = """
import asyncio, sys
from pathlib import Path
from supervisor.fake_launch import children, fake_launch
from supervisor.running import settings
from tenzij.supervisor.events import Serving
from tenzij.supervisor.platform import Platform
def report(event):
    if isinstance(event, Serving):
        print("serving", flush=True)
asyncio.run(Platform(settings(), Path(sys.argv[1]), report, children(), fake_launch).run())
"""
TESTS = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def connection(home: Path, program: str = "register") -> AbstractContextManager[socket.socket]:
    return operator_connection(settings(), home, launch=with_programs(fake_launch, children(register=program)))


def says(stream: socket.socket, line: str) -> str:
    stream.settimeout(10)
    with stream.makefile("rw") as lines:
        lines.write(line + "\n")
        lines.flush()
        return lines.readline().strip()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_register_alone_for_the_length_of_the_call(home: Path) -> None:
    before = open_descriptors()
    with connection(home) as stream:
        assert len(own.started()) == 1
        assert says(stream, "hello") == "operator hello"
        with pytest.raises(AlreadyRunning), locked(prepared(home), 0):
            pass
    assert not own.started()
    assert open_descriptors() == before
    assert (home / "policy.pub").read_text().strip() == POLICY_KEY
    assert os.listdir(home / "run") == []


def test_again_and_again(home: Path) -> None:
    for _ in range(3):
        with connection(home) as stream:
            assert says(stream, "hello") == "operator hello"


def test_what_the_register_sends_meanwhile_does_not_hold_it_up(home: Path) -> None:
    (home / "register").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    models = [model(home, f"m{number}", tasks=["x" * 10_000]) for number in range(10)]
    (home / "register" / "models.json").write_text(__import__("json").dumps(models))
    with connection(home) as stream:
        for number in range(50):  # each makes it name its models, 100 KB
            assert says(stream, str(number)) == f"operator {number}"


def test_the_running_platforms_register_where_there_is_one(home: Path) -> None:
    environment = {"PYTHONPATH": str(TESTS)}
    running = subprocess.Popen([sys.executable, "-c", PLATFORM, home], stdout=subprocess.PIPE, env=environment)
    assert running.stdout is not None
    assert running.stdout.readline() == b"serving\n"

    def no_launch(_: Profile) -> Launched:
        raise AssertionError("a register was started beside the platform's")

    with operator_connection(settings(), home, launch=no_launch) as stream:
        assert says(stream, "hello") == "operator hello"
    running.terminate()
    running.communicate(timeout=20)
    assert running.returncode == 0


def test_two_commands_at_once_take_turns(home: Path) -> None:
    place = prepared(home)
    held, release = threading.Event(), threading.Event()

    def other_command() -> None:
        with locked(place, 5):
            held.set()
            release.wait(10)

    other = threading.Thread(target=other_command)
    other.start()
    held.wait(10)
    threading.Timer(0.5, release.set).start()
    with connection(home) as stream:
        assert says(stream, "hello") == "operator hello"
    other.join()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("dies_at_once", "the register ended with status 3"),
        ("dies_with_words", r"the register ended with status 1: the \W*31mbox"),
        ("killed_by_itself", "the register ended by SIGSEGV"),
        ("fails", r"cannot start: the disk \[2J is full"),
        ("register_without_key", "does not say with which key"),
        ("garbage_at_once", "does not keep to the control channel's rules"),
        ("models_before_ready", "does not keep to the control channel's rules"),
        ("descriptors_with_ready", "descriptors where none belong"),
    ],
)
def test_a_register_that_is_not_right_is_said_and_gone(home: Path, program: str, why: str) -> None:
    before = open_descriptors()
    with pytest.raises(OperatorError, match=why), connection(home, program):
        pass
    assert not own.started()
    assert open_descriptors() == before


def test_another_register_than_the_pinned_one_is_refused(home: Path) -> None:
    with connection(home):
        pass
    with pytest.raises(OperatorError, match="another key than the one pinned"), connection(home, "other_register"):
        pass
    with connection(home):
        pass


def test_one_that_will_not_end_is_ended(home: Path) -> None:
    with connection(home, "ignores_the_end"):
        (pid,) = own.started()
    assert not own.started()
    assert not Path(f"/proc/{pid}").exists()


def test_an_error_in_the_command_ends_it_too(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), connection(home):
        raise ZeroDivisionError
    assert not own.started()


def test_what_cannot_be_confined_does_not_start(home: Path) -> None:
    def launch(_: Profile) -> Launched:
        raise CannotConfine("bubblewrap is missing")

    with pytest.raises(CannotConfine), operator_connection(settings(), home, launch=launch):
        pass


def test_a_killed_command_leaves_nothing(home: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from supervisor.test_session import connection\n"
        "with connection(Path(sys.argv[1])):\n"
        "    print('connected', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(TESTS)},
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"connected\n"
    register = tree.below(command.pid)
    assert register
    command.kill()
    command.communicate()
    gone: Callable[[], bool] = lambda: not any(Path(f"/proc/{pid}").exists() for pid in register)  # noqa: E731
    until_now(gone, "the register is gone")
    with locked(prepared(home), 0):
        pass
    assert operator_socket.connected(prepared(home)) is None
