"""The operator's stream to the register for one command: the running platform's, or that of one started for it alone.

Rules
- Where the platform runs, its supervisor hands the stream over; nothing is started.
- Where none runs, the command takes the lock, starts a register confined as always, and ends it afterwards. Its key is
  held against the pin, or pinned, just as by the platform.
- Synchronous, in the main thread: a child dies with the thread that launched it. One thread beside it empties the
  register's control channel, which would otherwise fill up and hold the register up.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from tenzij import config
from tenzij.channels.control import (
    Accept,
    BadMessage,
    Failed,
    Ready,
    Stop,
    close_all,
    receive_at_supervisor,
    send,
)
from tenzij.errors import OperatorError
from tenzij.supervisor import operator_socket, tree
from tenzij.supervisor.confinement import launcher
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.events import presentable
from tenzij.supervisor.home import Home, prepared
from tenzij.supervisor.lock import AlreadyRunning, locked
from tenzij.supervisor.process import end_in_words
from tenzij.supervisor.role import Launch, Unfit
from tenzij.supervisor.roles import RegisterRole
from tenzij.supervisor.timing import plan_within

WAIT_S: Final = 10.0  # for another command, or for a platform that is just starting or stopping
_TURN_S: Final = 0.5
_A_SECOND: Final = struct.pack("ll", 1, 0)  # struct timeval


class NoRegister(OperatorError):
    """The register could not be started for this command."""

    code = "no_register"


@contextmanager
def operator_connection(
    settings: config.Config, home: Path, *, launch: Launch | None = None
) -> Iterator[socket.socket]:
    """A stream to the register, as operator. `launch` is another launcher, for tests.

    Raises OperatorError: TENZIJ_HOME cannot be used or is busy, the register cannot start, or signs with another key.
    """
    launch = launch or partial(launcher.launch, confinement=settings.confinement)
    with ExitStack() as held:
        stream = operator_socket.connected(Home(home)) or _platform_or_lock(prepared(home), held)
        if stream is None:
            stream = held.enter_context(_register_alone(settings, Home(home), launch))
        with stream:
            yield stream


def _platform_or_lock(home: Home, held: ExitStack) -> socket.socket | None:
    """A stream to a platform that came up meanwhile; None when the lock is held instead."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            held.enter_context(locked(home, _TURN_S))
            return None
        except AlreadyRunning:
            stream = operator_socket.connected(home)
            if stream is not None:
                return stream
            if time.monotonic() >= until_s:
                raise


@contextmanager
def _register_alone(settings: config.Config, home: Home, launch: Launch) -> Iterator[socket.socket]:
    role = RegisterRole(settings, home, launch)
    launched = role.launch()
    emptier = threading.Thread(target=_empty, args=(launched.control,), name="empties the control channel", daemon=True)
    try:
        _start(role, launched)
        emptier.start()
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            send(launched.control, Accept("operator"), [theirs.fileno()])
        yield ours
    finally:
        _end(launched, settings.supervisor.stop_timeout_s)
        if emptier.is_alive():
            emptier.join()  # its channel is at its end now
        launched.close()


def _start(role: RegisterRole, launched: Launched) -> None:
    """Has the register say that it is ready, and checks what it says. Raises NoRegister."""
    control = launched.control
    control.settimeout(role.start_timeout_s)
    try:
        for message, descriptors in role.first_words(launched):
            send(control, message, descriptors)
        received = receive_at_supervisor(control)
        if received is None:
            raise NoRegister(f"the register {_end_of(launched)}")
        answer, descriptors = received
        if isinstance(answer, Failed):
            close_all(descriptors)
            raise NoRegister(f"the register cannot start: {presentable(answer.reason)}")
        if not isinstance(answer, Ready):
            close_all(descriptors)
            raise NoRegister("the register does not keep to the control channel's rules")
        role.accept(answer, descriptors, launched)
    except TimeoutError:
        raise NoRegister(f"the register was not ready within {role.start_timeout_s:g} seconds") from None
    except BadMessage:
        raise NoRegister("the register does not keep to the control channel's rules") from None
    except (BrokenPipeError, ConnectionError):
        raise NoRegister(f"the register {_end_of(launched)}") from None
    except Unfit as error:
        raise NoRegister(error.reason) from None
    control.settimeout(None)


def _end_of(launched: Launched) -> str:
    """How its process ended that closed its channel."""
    with suppress(subprocess.TimeoutExpired):
        launched.process.wait(1.0)
    words = launched.early_words()
    end = end_in_words(launched.process.returncode) or "closed its control channel"
    return f"{end}: {words}" if words else end


def _empty(control: socket.socket) -> None:
    """Reads and drops what comes, until the end."""
    with suppress(OSError, BadMessage):
        while (received := receive_at_supervisor(control)) is not None:
            close_all(received[1])


def _end(launched: Launched, within_s: float) -> None:
    """Has the process gone: asked first, then by force."""
    plan = plan_within(within_s)
    with suppress(OSError):
        # The thread beside this one reads from it, so it stays blocking; a full channel must not hold this up.
        launched.control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _A_SECOND)
        send(launched.control, Stop(plan.drain_s))
    with suppress(subprocess.TimeoutExpired):
        launched.process.wait(plan.terminate_s)
        return
    tree.signal_below(launched.process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        launched.process.wait(plan.kill_s - plan.terminate_s)
        return
    launched.process.kill()
    launched.process.wait()
