"""The place where a worker listens: what is taken for one, and who may be behind it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenzij.channels.control import Refusal
from tenzij.supervisor.worker_socket import connection_to, verify_is_listening_socket

LISTEN = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(sys.argv[1]); s.listen(8)
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen(1)
        yield sock


def place(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)


def test_a_stream_though_the_name_is_gone(listening: socket.socket, tmp_path: Path) -> None:
    there = verify_is_listening_socket([place(tmp_path / "s")])
    (tmp_path / "s").unlink()
    with connection_to(there, os.getpid(), os.geteuid()) as stream, listening.accept()[0] as accepted:
        accepted.sendall(b"hello")
        stream.setblocking(True)
        assert stream.recv(10) == b"hello"
    os.close(there)


def test_a_name_that_now_leads_elsewhere_changes_nothing(listening: socket.socket, tmp_path: Path) -> None:
    there = place(tmp_path / "s")
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "s"))
        other.listen(1)
        with connection_to(there, os.getpid(), os.geteuid()), listening.accept()[0]:
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()
    os.close(there)


def opened(what: str, folder: Path) -> list[int]:
    """Descriptors that a worker might hand over."""
    (folder / "file").write_text("")
    (folder / "link").symlink_to("s")
    match what:
        case "a link":
            return [place(folder / "link")]
        case "a file":
            return [place(folder / "file")]
        case "a folder":
            return [place(folder)]
        case "a device":
            return [os.open("/dev/null", os.O_RDWR)]
        case "an open socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                return [sock.detach()]
        case "nothing":
            return []
        case _:
            return [place(folder / "s"), place(folder / "s")]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("a link", "a symbolic link"),
        ("a file", "not a socket"),
        ("a folder", "not a socket"),
        ("a device", "not a socket"),
        ("an open socket", "an open socket"),
        ("nothing", "0 descriptors"),
        ("two", "2 descriptors"),
    ],
)
def test_what_is_not_a_place_to_listen_is_refused(
    what: str, why: str, listening: socket.socket, tmp_path: Path
) -> None:
    descriptors = opened(what, tmp_path)
    with pytest.raises(Refusal, match=why):
        verify_is_listening_socket(descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def test_another_user_behind_it_is_refused(listening: socket.socket, tmp_path: Path) -> None:
    there = place(tmp_path / "s")
    with pytest.raises(Refusal, match="somebody else"):
        connection_to(there, os.getpid(), os.geteuid() + 1)
    os.close(there)


def test_another_process_behind_it_is_refused(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", LISTEN, tmp_path / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("mine", "other")
    ]
    mine, other = processes
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
    there = place(tmp_path / "other")
    with pytest.raises(Refusal, match="somebody else"):
        connection_to(there, mine.pid, os.geteuid())
    connection_to(there, other.pid, os.geteuid()).close()
    connection_to(there, os.getpid(), os.geteuid()).close()  # a process below this one
    os.close(there)
    for process in processes:
        process.communicate()


def test_nobody_behind_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "s"))
    there = place(tmp_path / "s")
    with pytest.raises(Refusal, match="does not listen"):
        connection_to(there, os.getpid(), os.geteuid())
    os.close(there)


def test_a_full_queue_is_not_waited_for(listening: socket.socket, tmp_path: Path) -> None:
    there = place(tmp_path / "s")
    streams = []
    with pytest.raises(Refusal, match="too many connections"):
        for _ in range(10):
            streams.append(connection_to(there, os.getpid(), os.geteuid()))
    assert streams
    for stream in streams:
        stream.close()
    os.close(there)
