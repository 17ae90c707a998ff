"""Starts a child process shut in as its profile says: the only place of the platform where a process is started.

Rules
- Called from the supervisor's main thread: a child dies with the *thread* that started it.
- A child inherits one descriptor, its end of the control channel, and no environment.
- What a child needs from a folder without leave for its user id (started as root) is shown to it by `stage.py`.
- Where the machine cannot confine nothing starts, unless the operator set the switch that is named unsafe.
- Memory is limited with RLIMIT_DATA: private writable memory, so not the mapped weights. Shared memory without a file
  cannot be had, and /tmp is small, so nothing goes around it.

What bubblewrap or the interpreter print before the program runs is kept in a pipe, for `Launched.early_words`; from the
program on nothing is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenzij import config
from tenzij.supervisor.confinement import folders, landlock, plan
from tenzij.supervisor.confinement.ability import CannotConfine, unsafe_notice, way_to_confine
from tenzij.supervisor.confinement.code_view import CodeView, code_view
from tenzij.supervisor.confinement.filters import filter_after, filter_before
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.seccomp import as_file

__all__ = ["CannotConfine", "Launched", "launch", "unsafe_notice", "user_of"]

MOST_EARLY_WORDS: Final = 4096


@dataclass(slots=True)
class Launched:
    """A child that was started. Its owner closes it once its process has ended.

    `process` is bubblewrap, with the program as its only child (unconfined: the program itself). Killing it kills the
    program. SIGTERM to it kills as well; an orderly end is asked for on the control channel.
    """

    profile: Profile
    process: subprocess.Popen[bytes]
    control: socket.socket  # the supervisor's end, non-blocking
    confined: bool
    user: int  # its user id, seen from here
    paths: Mapping[str, str]  # for each bind's target, the path at which the program finds it
    _words: int

    def early_words(self) -> str:
        """What was printed before the program ran, so far; empty once read. For a person: printable, cut short.

        Only of use when the process ended and never sent a message: what a program that was taken over prints is not
        to be believed.
        """
        with contextlib.suppress(BlockingIOError, OSError):
            said = os.read(self._words, MOST_EARLY_WORDS).decode("utf-8", "replace")
            return "".join(c if c.isprintable() else " " for c in said).strip()
        return ""

    def close(self) -> None:
        """Closes the control channel and the pipe."""
        self.control.close()
        if self._words >= 0:
            os.close(self._words)
            self._words = -1


def user_of(profile: Profile, confinement: config.Confinement) -> int:
    """The user id of a confined process of this profile, seen from here."""
    return confinement.uid_base + profile.uid_offset if os.geteuid() == 0 else os.geteuid()


def launch(profile: Profile, *, confinement: config.Confinement) -> Launched:
    """Starts the profile's program; returns at once. Its first message is the caller's to send.

    Raises CannotConfine, UnfitFolder (both OperatorError), and RuntimeError outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a child dies with the thread that starts it: launch from the main thread")
    try:
        way = way_to_confine(confinement)
    except CannotConfine:
        if not confinement.unsafe_run_unconfined:
            raise
        return _launch_unconfined(profile)
    user = user_of(profile, confinement)
    way = dataclasses.replace(way, user=None if user == os.geteuid() else user)
    profile = _fit(profile, user)
    with _pair() as (ours, theirs), as_file(filter_before(profile)) as filter_descriptor:
        spec = {
            "threads": plan.threads(profile),
            "filter": filter_after().hex(),
            "grants": plan.grants(profile, way.code),
            "landlock": landlock.abi(),
        }
        command = plan.inside(profile, way.code, theirs.fileno(), spec)
        staged = plan.confined(profile, way, command, filter_descriptor)
        process, words = _start(way.code, staged, (theirs.fileno(), filter_descriptor))
        paths = {bind.target: bind.target for bind in profile.binds}
        return Launched(profile, process, ours, True, user, paths, words)


def _launch_unconfined(profile: Profile) -> Launched:
    profile = _fit(profile, os.geteuid())
    code = code_view()
    with _pair() as (ours, theirs):
        spec = {"threads": 0, "filter": "", "grants": [], "landlock": 0}
        command = plan.inside(profile, code, theirs.fileno(), spec)
        process, words = _start(code, plan.unconfined(profile, command), (theirs.fileno(),))
        paths = {bind.target: str(bind.source) for bind in profile.binds}
        return Launched(profile, process, ours, False, os.geteuid(), paths, words)


def _fit(profile: Profile, user: int) -> Profile:
    """The profile with its files and devices ready for this user."""
    folders.verify_devices(profile.devices, user)
    return dataclasses.replace(profile, binds=folders.prepared(profile.binds, user))


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The control channel's ends. The child's is closed here at the end, ours only when that is an error."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        ours.setblocking(False)
        yield ours, theirs
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()


def _start(code: CodeView, spec: dict[str, Any], passed: tuple[int, ...]) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end from which what it prints can be read without waiting."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(reading, False)
        process = subprocess.Popen(
            plan.stage_command(code, spec),
            pass_fds=passed,
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writing,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return process, reading
