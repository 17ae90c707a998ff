"""The first code of ours inside the sandbox: `python -I -S inside.py DESCRIPTOR SPEC`, SPEC being JSON.

    {"program": module with main(control: socket.socket) -> int,
     "search_path": [folder of packages, …],
     "threads": most threads,
     "filter": the second filter of system calls (`filters.filter_after`) in hex, or "" for none,
     "grants": [[path, rights], …], "landlock": version to use, 0 for none}

Rules
- Standard library only, and no thread, until this process has shut itself in; then the program is imported.
- Not dumpable before anything else: no core file, and its memory is read by nobody without privileges over its
  namespace. (The user who started the platform has those, as its owner.)
- Once the program runs, what it prints is stored nowhere: it may print what it was asked.
- A program that cannot be imported, or that fails, is reported to the supervisor by the type of the exception and our
  own lines that it passed through. Never by its message, which may hold what a caller sent.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import json
import os
import pathlib
import resource
import socket
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
BPF_INSTRUCTION_BYTES = 8
MOST_FRAMES = 12


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _prctl(option: int, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*arguments, *(ctypes.c_ulong(0),) * (4 - len(arguments))]
    if libc.prctl(ctypes.c_int(option), *padded) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def hide() -> None:
    """No core file, no memory for others to read, no privileges to be gained by executing."""
    _prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0))
    _prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def lay_filter(code: bytes) -> None:
    """Lays one more filter of system calls over what is there. Raises OSError when the kernel refuses."""
    program = _Program(len(code) // BPF_INSTRUCTION_BYTES, code)
    _prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program))


def shut_in(spec: dict[str, Any]) -> None:
    """The rest of the confinement, in this order: limits, Landlock, the second filter."""
    if spec["threads"]:
        resource.setrlimit(resource.RLIMIT_NPROC, (spec["threads"], spec["threads"]))
    if spec["landlock"]:
        from tenzij.supervisor.confinement import landlock

        landlock.restrict([(path, rights) for path, rights in spec["grants"]], spec["landlock"])
    if spec["filter"]:
        lay_filter(bytes.fromhex(spec["filter"]))


def drop_output() -> None:
    """From here on what is printed is gone."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def our_frames(error: BaseException) -> Iterator[str]:
    """The lines of ours that `error`, its causes and parts passed through, innermost first: "policy/decide.py:12"."""
    ours = str(pathlib.Path(os.path.realpath(__file__)).parents[2]) + os.sep
    frames: list[str] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(ours):
            frames.append(f"{name[len(ours) :]}:{trace.tb_lineno}")
        trace = trace.tb_next
    yield from reversed(frames)
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for part in (*parts, error.__cause__ or error.__context__):
        if part is not None:
            yield type(part).__name__
            yield from our_frames(part)


def report(control: socket.socket, code: str, what: str, error: BaseException) -> None:
    """Tells the supervisor, as `channels.control.Failed` has it."""
    frames = list(itertools.islice(our_frames(error), MOST_FRAMES))  # a chain of causes can be a ring
    reason = f"{what}: {type(error).__name__}" + (f" ({', '.join(frames)})" if frames else "")
    message = {"type": "failed", "code": code, "reason": reason, "final": False}
    try:
        control.setblocking(True)
        control.send(json.dumps(message).encode())
    except OSError:
        pass  # the supervisor is gone


def main() -> int:
    """Shuts this process in, imports the program and runs it; its exit status."""
    hide()
    control = socket.socket(fileno=int(sys.argv[1]))
    spec = json.loads(sys.argv[2])
    sys.path.extend(spec["search_path"])
    try:
        shut_in(spec)
    except Exception as error:  # noqa: BLE001
        report(control, "not_confined", "the process could not shut itself in", error)
        return 71
    try:
        program = importlib.import_module(spec["program"])
    except BaseException as error:  # noqa: BLE001
        report(control, "not_imported", "the program cannot be imported", error)
        return 72
    drop_output()
    try:
        status: int = program.main(control)
    except Exception as error:  # noqa: BLE001
        report(control, "crashed", "the program failed", error)
        return 73
    return status


if __name__ == "__main__":
    sys.exit(main())
