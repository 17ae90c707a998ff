"""One platform at a time, and the socket and the sweeper that go with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import own
from supervisor.waiting import is_alive, until_now
from tenzij.supervisor import operator_socket, tree
from tenzij.supervisor.home import Home, prepared
from tenzij.supervisor.lock import AlreadyRunning, locked
from tenzij.supervisor.sweeper import sweeping

HOLDER = """
import sys, time
from pathlib import Path
from tenzij.supervisor import operator_socket
from tenzij.supervisor.home import prepared
from tenzij.supervisor.lock import locked
from tenzij.supervisor.sweeper import sweeping
home = prepared(Path(sys.argv[1]))
with locked(home, 5) as lock, sweeping(home, lock), operator_socket.listening(home):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return prepared(tmp_path / "home")


@pytest.fixture
def holder(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the home, with socket and sweeper."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, home.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_it_can_be_had_again_and_again_and_leaves_no_file(home: Home) -> None:
    before = sorted(home.path.rglob("*"))
    for _ in range(2):
        with locked(home, 0):
            assert sorted(home.path.rglob("*")) == before


def test_who_runs_is_named_at_once(home: Home, holder: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"), locked(home, 600):
        pass
    assert time.monotonic() - began < 5


def test_a_holder_without_a_platform_is_waited_for(home: Home) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(home, 5):
            held.set()
            release.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)
    with pytest.raises(AlreadyRunning, match="busy"), locked(home, 0.1):
        pass
    threading.Timer(0.2, release.set).start()
    with locked(home, 10):
        pass
    other.join()


def test_an_orderly_end_takes_the_socket_along(home: Home, holder: subprocess.Popen[bytes]) -> None:
    assert (home.run / operator_socket.NAME).is_socket()
    holder.communicate(timeout=10)
    assert list(home.run.iterdir()) == []


def test_after_a_kill_the_sweeper_cleans_up_and_the_lock_is_free(home: Home, holder: subprocess.Popen[bytes]) -> None:
    (sweeper,) = tree.below(holder.pid)
    os.kill(holder.pid, signal.SIGKILL)
    with locked(home, 5):
        assert list(home.run.iterdir()) == []  # first swept, then free
    until_now(lambda: not is_alive(sweeper), "sweeper gone")


def test_ctrl_c_and_a_closed_terminal_do_not_reach_the_sweeper(holder: subprocess.Popen[bytes]) -> None:
    (sweeper,) = tree.below(holder.pid)
    assert os.getsid(sweeper) == sweeper
    assert os.getpgid(sweeper) == sweeper


def test_the_sweeper_keeps_nothing_else_open(holder: subprocess.Popen[bytes], home: Home) -> None:
    (sweeper,) = tree.below(holder.pid)
    opened = {str(entry.readlink()) for entry in Path(f"/proc/{sweeper}/fd").iterdir()}
    assert {name for name in opened if not name.startswith("pipe:")} == {"/dev/null", str(home.path)}


def test_a_sweeper_that_was_killed_is_not_missed_in_an_orderly_end(home: Home) -> None:
    with locked(home, 0) as lock, sweeping(home, lock), operator_socket.listening(home):
        for pid in own.started():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "sh":
                os.kill(pid, signal.SIGKILL)
    assert list(home.run.iterdir()) == []


# The operator's socket


def test_a_stale_socket_is_replaced(home: Home) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(home.run / operator_socket.NAME))
    assert operator_socket.connected(home) is None
    assert operator_socket.who_listens(home) is None
    with operator_socket.listening(home):
        assert operator_socket.who_listens(home) == os.getpid()


def test_it_is_the_owners_alone(home: Home) -> None:
    old = os.umask(0)
    try:
        with operator_socket.listening(home):
            assert (home.run / operator_socket.NAME).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(old)


def test_a_long_path_is_no_matter(tmp_path: Path) -> None:
    home = prepared(tmp_path / ("x" * 100) / ("y" * 100))
    with operator_socket.listening(home) as listening:
        stream = operator_socket.connected(home)
        assert stream is not None
        with stream, listening.accept()[0] as accepted:
            accepted.sendall(b"hello")
            assert stream.recv(10) == b"hello"
            assert operator_socket.may_operate(accepted)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_may_not_operate() -> None:
    """Even when the modes of the folders let him through."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening,
    ):
        path = Path(folder) / "s"
        path.parent.chmod(0o755)
        listening.bind(str(path))
        path.chmod(0o777)
        listening.listen()
        child = os.fork()
        if child == 0:
            os.setresuid(12345, 12345, 12345)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                other.connect(str(path))
                other.recv(1)
            os._exit(0)
        listening.settimeout(10)
        with listening.accept()[0] as accepted:
            assert not operator_socket.may_operate(accepted)
        assert os.waitpid(child, 0)[1] == 0
