"""Doors to other processes: seeing, reading, tracing, signalling them, and making new ones."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.probe import Held, Surroundings, Theme

THEME = Theme()
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
AT_EMPTY_PATH = 0x1000
TRUE = "/usr/bin/true"


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _read_memory(pid: int, address: int) -> int:
    into = ctypes.create_string_buffer(8)
    here = _Vector(ctypes.addressof(into), 8)
    there = _Vector(address, 8)
    return system.call("process_vm_readv", pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)


def _an_address(pid: int | str) -> int:
    """Of memory that this process has mapped."""
    with Path(f"/proc/{pid}/maps").open("rb") as maps:
        return int(maps.readline().split(b"-")[0], 16)


@THEME.probe("see other processes")
def see_others(_: Surroundings) -> str:
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    if not others:
        raise Held("it is alone")
    return f"sees {len(others)}"


@THEME.probe("read another process's environment")
def read_environment(host: Surroundings) -> str:
    return f"{len(Path(f'/proc/{host.victim}/environ').read_bytes())} bytes read"


@THEME.probe("open another process's memory")
def open_memory(host: Surroundings) -> str:
    with Path(f"/proc/{host.victim}/mem").open("rb", buffering=0) as memory:
        memory.seek(_an_address(host.victim))
        return f"{len(memory.read(8))} bytes read"


@THEME.probe("read another process's memory by a system call")
def read_memory(host: Surroundings) -> str:
    return f"{_read_memory(host.victim, _an_address(host.victim))} bytes read"


@THEME.probe("read memory by a system call at all")
def read_own_memory(_: Surroundings) -> str:
    kept = ctypes.create_string_buffer(8)
    return f"{_read_memory(os.getpid(), ctypes.addressof(kept))} bytes read"


@THEME.probe("trace another process")
def trace(host: Surroundings) -> str:
    system.libc("ptrace", ctypes.c_long(PTRACE_SEIZE), host.victim, None, None)
    with contextlib.suppress(OSError):
        system.libc("ptrace", ctypes.c_long(PTRACE_DETACH), host.victim, None, None)
    return "attached"


@THEME.probe("signal another process")
def signal_victim(host: Surroundings) -> str:
    os.kill(host.victim, 0)
    return "signalled"


@THEME.probe("signal the supervisor")
def signal_supervisor(host: Surroundings) -> str:
    os.kill(host.supervisor, 0)
    return "signalled"


@THEME.probe("signal everybody")
def signal_all(_: Surroundings) -> str:
    os.kill(-1, 0)
    return "signalled"


@THEME.probe("signal its parent")
def signal_parent(_: Surroundings) -> str:
    os.kill(os.getppid(), 0)  # 0 from inside, where no parent is seen: its own group
    return "signalled"


@THEME.probe("hold another process (pidfd)")
def hold(host: Surroundings) -> str:
    os.close(os.pidfd_open(host.victim))
    return "held"


@THEME.probe("take a descriptor from a process (pidfd_getfd)")
def take_descriptor(_: Surroundings) -> str:
    own = os.pidfd_open(os.getpid())
    try:
        os.close(system.call("pidfd_getfd", own, 0, 0))
    finally:
        os.close(own)
    return "taken"


@THEME.probe("compare with another process (kcmp)")
def compare(_: Surroundings) -> str:
    system.call("kcmp", os.getpid(), os.getpid(), 1, 0, 0)
    return "compared"


@THEME.probe("make a process")
def make_process(_: Surroundings) -> str:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@THEME.probe("make a process by another call (clone3)")
def make_process_clone3(_: Surroundings) -> str:
    arguments = (ctypes.c_uint64 * 11)()
    arguments[4] = signal.SIGCHLD
    child = system.call("clone3", ctypes.byref(arguments), ctypes.sizeof(arguments))
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@THEME.probe("execute a program")
def execute(_: Surroundings) -> str:
    """Let through, this process becomes the program and says nothing more, which counts as an open door."""
    arguments = (ctypes.c_char_p * 2)(TRUE.encode(), None)
    system.libc("execv", TRUE.encode(), ctypes.byref(arguments))
    return "executed"


@THEME.probe("execute a program by its descriptor")
def execute_descriptor(_: Surroundings) -> str:
    program = os.open(TRUE, os.O_RDONLY | os.O_CLOEXEC)
    arguments = (ctypes.c_char_p * 2)(TRUE.encode(), None)
    try:
        system.call("execveat", program, b"", ctypes.byref(arguments), None, AT_EMPTY_PATH)
    finally:
        os.close(program)
    return "executed"
