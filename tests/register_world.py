"""What tests of the register share: a clock that stands still, a passport, an open register, a running process."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tenzij.channels import control
from tenzij.channels.control import Accept, Failed, Models, Ready, Start, Stop, ToSupervisor
from tenzij.register.operator import OperatorClient
from tenzij.register.register import Register, opened_register
from tenzij.register.verbs import perform

DAY_MS = 24 * 60 * 60 * 1000
DEADLINE_S = 20.0  # for a whole process on a busy machine


def passport(model: str = "klein", weights: str = "ab" * 32, **changes: Any) -> dict[str, Any]:
    """A passport's tree."""
    return {
        "id": model,
        "name": f"Model {model}",
        "file": {"sha256": weights, "size_bytes": 1234, "format": "gguf"},
        "licence": "Apache-2.0",
        "producer": {"name": "Proef", "country": "NL"},
        "source": "https://example.org/",
        "openness": {"weights": "open", "data": "open", "code": "open"},
        "languages": ["nl"],
        "tasks": ["chat"],
        "capabilities": [],
        "context_tokens": 2048,
        "evaluation": [],
        **changes,
    }


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@contextlib.contextmanager
def opened(folder: Path, clock: Callable[[], int] | None = None) -> Iterator[Register]:
    """The register in `folder`, for the length of the block."""
    register = opened_register(folder, clock or Clock())
    try:
        yield register
    finally:
        register.close()


def new_key(register: Register, name: str = "proef", **changes: Any) -> dict[str, Any]:
    """A key made by the verb."""
    arguments = {"name": name, "use_cases": ["verkenning"], "days": 7, **changes}
    made: dict[str, Any] = perform(register, "key_create", arguments)
    return made


PROGRAM = """
import socket, sys
from tenzij.register.process import main
with socket.socket(fileno=int(sys.argv[1])) as control:
    sys.exit(main(control))
"""


class RunningRegister:
    """The real process; the test is its supervisor."""

    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        self.folder = folder
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = ours
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(theirs.fileno()), str(folder)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        theirs.close()

    def start(self, config: dict[str, Any] | None = None) -> None:
        """Sends the first message."""
        control.send(self.control, Start({"folder": str(self.folder)} if config is None else config))

    def heard(self, timeout_s: float = DEADLINE_S) -> ToSupervisor | None:
        """The next message from the process; None at its end. Fails when nothing comes in time."""
        readable, _, _ = select.select([self.control], [], [], timeout_s)
        if not readable:
            raise AssertionError("the register said nothing")
        try:
            received = control.receive_at_supervisor(self.control)
        except ConnectionResetError:
            return None
        return received[0] if received else None

    def heard_ready(self) -> tuple[bytes, Models]:
        """The policy key and the models of a good start."""
        ready, models = self.heard(), self.heard()
        assert isinstance(ready, Ready), ready
        assert isinstance(models, Models), models
        return bytes.fromhex(ready.facts["policy_key"]), models

    def heard_failed(self) -> Failed:
        """Why it did not start; and it ended."""
        failed = self.heard()
        assert isinstance(failed, Failed), failed
        assert self.heard() is None
        assert self.process.wait(DEADLINE_S) == 1
        return failed

    def connected(self, role: str) -> socket.socket:
        """A connection in that role, as the supervisor hands it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            control.send(self.control, Accept(role), [theirs.fileno()])
        return ours

    def operator(self) -> OperatorClient:
        """The command line's side."""
        return OperatorClient(self.connected("operator"))

    def stop(self, drain_s: float = 5.0) -> int:
        """Orderly; the exit status."""
        control.send(self.control, Stop(drain_s))
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Ends it, whatever its state, and shows what it printed."""
        self.control.close()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        out, err = self.process.communicate()
        sys.stderr.write(out.decode(errors="replace") + err.decode(errors="replace"))


@contextlib.contextmanager
def running(folder: Path, program: str = PROGRAM) -> Iterator[RunningRegister]:
    """The process, for the length of the block. It has not been told to start yet."""
    register = RunningRegister(folder, program)
    try:
        yield register
    finally:
        register.close()


def eventually(condition: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    """Looks until the condition holds. Fails when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def mode_of(path: Path) -> int:
    """Permission bits."""
    return path.stat().st_mode & 0o777
