"""A supervisor of one worker, for tests: starts the program as a child, unconfined, and speaks the control channel.

What the real supervisor does more (confine, check who listens, restart) is not here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenzij.channels.control import Failed, Ready, Start, Stop, close_all, receive_at_supervisor, send

LLAMACPP = "tenzij.engines.llamacpp_worker"
FAKE = "tenzij.testing.fake_engine"
_RUN = (
    "import importlib, socket, sys; "
    "sys.exit(importlib.import_module(sys.argv[1]).main(socket.socket(fileno=int(sys.argv[2]))))"
)


def worker_config(weights: Path, sha256: str, **changes: Any) -> dict[str, Any]:
    """A worker's configuration, as the supervisor sends it, with `changes`."""
    return {
        "model": "smollm2-135m-instruct",
        "weights": sha256,
        "size_bytes": weights.stat().st_size,
        "file": str(weights),
        "tasks": ["chat", "completion"],
        "context_tokens": 4096,
        "slots": 2,
        "threads": 1,  # on a busy machine, several wait for each other
        "batch_tokens": 64,
        "gpu_layers": 0,
        "hash": True,
        **changes,
    }


class WorkerProcess:
    """One worker as a child process. Use as a context manager: leaving it kills the child."""

    def __init__(self, program: str, *, output: int = subprocess.DEVNULL) -> None:
        self.control, childs_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with childs_end:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _RUN, program, str(childs_end.fileno())],
                pass_fds=[childs_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.endpoint: int | None = None  # the O_PATH descriptor of the worker's socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.control.close()
        if self.endpoint is not None:
            os.close(self.endpoint)
            self.endpoint = None

    def start(self, config: dict[str, Any]) -> None:
        """Sends the worker its configuration."""
        send(self.control, Start(config))

    def outcome(self, timeout_s: float = 60.0) -> Ready | Failed | None:
        """What the worker says first; None when it ends without a word. Raises TimeoutError."""
        self.control.settimeout(timeout_s)
        try:
            received = receive_at_supervisor(self.control)
        except ConnectionResetError:  # it ended with what was sent to it unread
            return None
        if received is None:
            return None
        message, descriptors = received
        if isinstance(message, Ready) and len(descriptors) == 1:
            self.endpoint = descriptors[0]
            return message
        close_all(descriptors)
        if not isinstance(message, Ready | Failed):
            raise TypeError(f"a worker said {type(message).__name__}")
        return message

    def stop(self, timeout_s: float = 5.0) -> int:
        """Tells it to stop; its exit status. Raises subprocess.TimeoutExpired."""
        send(self.control, Stop(drain_s=0.0))
        return self.process.wait(timeout_s)

    async def connect(self) -> socket.socket:
        """A connected, non-blocking stream socket to the engine, as the real supervisor hands it."""
        if self.endpoint is None:
            raise ConnectionRefusedError("the worker handed no socket")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"/proc/self/fd/{self.endpoint}")
        except BaseException:
            connection.close()
            raise
        connection.setblocking(False)
        return connection
