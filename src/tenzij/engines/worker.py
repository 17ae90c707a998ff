"""What every worker program does, whatever engine it runs: verify the weights, start, hand over the socket, stop.

Rules
- The order is fixed: nothing parses the weights before they were held against their passport.
- The engine listens on a Unix socket in a new folder of mode 0700. Its `O_PATH` descriptor goes to the supervisor
  and its name is removed at once: after that, only who holds the descriptor can connect.
- What an engine prints is dropped. It may print what it was asked: llama.cpp writes grammars made from a caller's
  schema to stderr whatever its verbosity.
- The environment is emptied: llama.cpp alone reads more than a hundred variables, and none of them is ours.
- A failure is a code and a sentence of ours; `final` when trying again cannot help.

A worker keeps nothing, so it stops at once when it is told to, or when the supervisor is gone: draining is the
gateway's.
"""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tenzij.channels.control import BadMessage, Failed, Ready, Start, Stop, ToSupervisor, receive_at_child, send
from tenzij.engines.weights import (
    WeightsMismatch,
    WeightsUnreadable,
    open_weights,
    verify_weights,
    weights_identity,
)
from tenzij.types import Sha256, Task, Verification

SOCKET_NAME: Final = "engine.sock"  # llama.cpp takes a name for a Unix socket by this ending
GENERATING: Final = frozenset({Task.CHAT, Task.COMPLETION})


class WorkerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration in a worker's `Start`."""

    model: str
    weights: str  # SHA-256 that the passport states
    size_bytes: int
    file: str
    tasks: list[Task]
    context_tokens: int  # of each request
    slots: int  # requests at the same time
    threads: int  # 0: one for each processor but one
    batch_tokens: int
    gpu_layers: int
    hash: bool  # hash the weights, or trust that they are unchanged

    @property
    def is_embedding(self) -> bool:
        """Whether the engine is started for embeddings; it cannot generate then."""
        return Task.EMBEDDING in self.tasks

    @property
    def thread_count(self) -> int:
        """Threads to compute with.

        One processor stays free for the other processes: the engine's threads wait for each other by spinning, so one
        that has to share its processor holds up all (on a busy machine with two processors, two threads were 2 to 20
        times slower than one).
        """
        return self.threads or max(1, len(os.sched_getaffinity(0)) - 1)


class CannotStart(Exception):
    """This worker cannot serve: `code` and `reason` go to the supervisor as `Failed`."""

    def __init__(self, code: str, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.failed = Failed(code, reason, final)


StartEngine = Callable[[WorkerConfig, str, str], None]
"""Serves the weights at the first path on a Unix socket at the second; returns once it answers. Raises CannotStart."""


def run_worker(control: socket.socket, start_engine: StartEngine) -> int:
    """Runs one worker until it is told to stop; the exit status."""
    try:
        config = receive_config(control)
        if config is None:
            return 0
        ready, endpoint = started(config, start_engine)
    except CannotStart as error:
        tell(control, error.failed)
        return 1
    if tell(control, ready, endpoint):
        os.close(endpoint)
        wait_for_stop(control)
    return 0


def receive_config(control: socket.socket) -> WorkerConfig | None:
    """The configuration, from the first message; None when the supervisor is gone. Raises CannotStart."""
    control.setblocking(True)
    start = _receive(control)
    if not isinstance(start, Start):
        return None
    try:
        config = msgspec.convert(start.config, WorkerConfig)
    except msgspec.ValidationError as error:
        raise CannotStart("bad_start", f"the worker's configuration is wrong: {error}", final=True) from None
    if config.is_embedding and not GENERATING.isdisjoint(config.tasks):
        reason = "the passport names embedding beside generating tasks; a model is for one or the other"
        raise CannotStart("bad_tasks", reason, final=True)
    return config


def started(config: WorkerConfig, start_engine: StartEngine) -> tuple[Ready, int]:
    """Verifies the weights and starts the engine: what to tell the supervisor, and the socket. Raises CannotStart."""
    drop_output()
    os.environ.clear()
    descriptor = _opened(config)
    before = weights_identity(descriptor)
    _verify(config, descriptor)
    folder = Path(tempfile.mkdtemp(prefix="tenzij-"))
    path = folder / SOCKET_NAME
    try:
        start_engine(config, f"/proc/self/fd/{descriptor}", str(path))
        endpoint = endpoint_at(path)
    finally:
        path.unlink(missing_ok=True)
        folder.rmdir()
    if weights_identity(descriptor) != before:
        os.close(endpoint)
        raise CannotStart("weights_changed", "the weights were written to while they were loaded")
    os.close(descriptor)  # the engine maps the file; it needs no descriptor any more
    verification = Verification.HASHED if config.hash else Verification.UNCHANGED
    return Ready({"weights": config.weights if config.hash else None, "verification": verification}), endpoint


def tell(control: socket.socket, message: ToSupervisor, *descriptors: int) -> bool:
    """Whether the supervisor was still there to be told."""
    try:
        send(control, message, descriptors)
    except OSError:
        return False
    return True


def wait_for_stop(control: socket.socket) -> None:
    """Returns once the supervisor says so, or is gone."""
    while (message := _receive(control)) is not None:
        if isinstance(message, Stop):
            return


def drop_output() -> None:
    """From here on, what this process prints is gone."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def endpoint_at(path: Path) -> int:
    """An `O_PATH` descriptor of the listening socket at `path`. Raises CannotStart when that is something else."""
    try:
        endpoint = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CannotStart("engine_start_failed", f"the engine made no socket: {error.strerror}") from None
    if not stat.S_ISSOCK(os.fstat(endpoint).st_mode):
        os.close(endpoint)
        raise CannotStart("engine_start_failed", "where the engine's socket should be is something else")
    return endpoint


def _opened(config: WorkerConfig) -> int:
    try:
        return open_weights(config.file)
    except WeightsUnreadable as error:
        raise CannotStart(error.code, error.message, final=True) from None


def _verify(config: WorkerConfig, descriptor: int) -> None:
    try:
        verify_weights(descriptor, Sha256(config.weights), config.size_bytes, hashed=config.hash)
    except WeightsMismatch as error:
        raise CannotStart(error.code, error.message, final=True) from None
    except OSError as error:
        raise CannotStart("weights_unreadable", f"the weights cannot be read: {error.strerror}") from None


def _receive(control: socket.socket) -> object | None:
    """The next message; None when the supervisor is gone or talks nonsense. A worker is sent no descriptors."""
    try:
        received = receive_at_child(control)
    except (OSError, BadMessage):
        return None
    return None if received is None else received[0]
