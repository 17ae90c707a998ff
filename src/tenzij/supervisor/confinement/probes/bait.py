"""What the host puts out for probes to reach: listeners, a process, a secret. Runs outside, beside the supervisor.

Rules
- Everything is open to anybody on the host, so that nothing but the sandbox stands between a probe and it.
- All of it is gone at the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class Bait:
    """Things of the host's to reach."""

    tcp: socket.socket
    tcp6: socket.socket | None
    udp: socket.socket  # whoever has laid it out answers what comes in: `answer`
    unix: Path
    abstract: str
    secret: Path
    victim: int

    def answer(self) -> None:
        """Answers one datagram, as a resolver would."""
        with contextlib.suppress(OSError):
            _, sender = self.udp.recvfrom(512)
            self.udp.sendto(b"answer", sender)


@contextlib.contextmanager
def laid_out(user: int) -> Iterator[Bait]:
    """The bait; the process that is part of it runs as `user`, which must be our own unless we are root."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tenzij-bait-")))
        folder.chmod(0o755)
        secret = folder / "secret"
        secret.write_text("bait\n", "ascii")
        secret.chmod(0o644)
        name = f"tenzij-bait-{secrets.token_hex(8)}"
        unix, abstract = folder / "socket", "\0" + name
        for address in (str(unix), abstract):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listening.bind(address)
            listening.listen()
        unix.chmod(0o666)
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        tcp = stack.enter_context(tcp_listener())
        victim = stack.enter_context(_process(user))
        yield Bait(tcp, _tcp6_listener(stack), udp, unix, name, secret, victim)


def tcp_listener() -> socket.socket:
    """On loopback, at a free port."""
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def accepted_stream() -> tuple[socket.socket, socket.socket]:
    """A TCP stream of the host's own: the end that was accepted, and the other."""
    with tcp_listener() as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def _tcp6_listener(stack: contextlib.ExitStack) -> socket.socket | None:
    try:
        return stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=64))
    except OSError:
        return None


@contextlib.contextmanager
def _process(user: int) -> Iterator[int]:
    own = {} if user == os.geteuid() else {"user": user, "group": user, "extra_groups": ()}
    process = subprocess.Popen(["/usr/bin/sleep", "600"], env={"BAIT": "1"}, cwd="/", **own)  # type: ignore[call-overload]
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def namespaces() -> dict[str, int]:
    """The host's, kind to number."""
    return {kind: Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in NAMESPACES}
