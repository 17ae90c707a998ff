"""Doors in the process itself: what it inherited, what it would leave behind, how much it may take, foreign calls."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import resource
import socket

from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.probe import Held, Surroundings, Theme

THEME = Theme()
ENVIRONMENT = {"PWD", "LC_CTYPE"}  # set by bubblewrap and by the interpreter
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
PTRACE_TRACEME = 0
X32_BIT = 0x40000000
MAP_NORESERVE = 0x4000  # promised only: nothing is taken until it is touched
GETPID_64, GETPID_32 = 39, 20
INT_80 = bytes([0xB8, GETPID_32, 0, 0, 0, 0xCD, 0x80, 0xC3])  # mov eax, 20; int 0x80; ret


@THEME.probe("inherit environment variables")
def environment(_: Surroundings) -> str:
    inherited = set(os.environ) - ENVIRONMENT
    if not inherited:
        raise Held("none")
    return f"{len(inherited)} inherited"


@THEME.probe("inherit descriptors")
def descriptors(host: Surroundings) -> str:
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        opened = {int(name) for name in os.listdir(listing)} - {0, 1, 2, listing}
    finally:
        os.close(listing)
    opened = {descriptor for descriptor in opened if _is_open(descriptor)}
    if len(opened) <= host.descriptors:
        raise Held(f"{len(opened)} open, all handed over")
    return f"{len(opened) - host.descriptors} more than handed over"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@THEME.probe("leave a core file")
def core(_: Surroundings) -> str:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0):
        raise Held("the limit is 0 and stays 0")
    return "the limit can be raised"


@THEME.probe("be dumpable")
def dumpable(_: Surroundings) -> str:
    if not system.libc("prctl", PR_GET_DUMPABLE, 0, 0, 0, 0):
        raise Held("it is not")
    return "it is"


@THEME.probe("make itself dumpable")
def make_dumpable(_: Surroundings) -> str:
    system.libc("prctl", PR_SET_DUMPABLE, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return "it is"


@THEME.probe("take more memory than granted")
def memory(host: Surroundings) -> str:
    size = host.memory_bytes + (1 << 20)
    mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE).close()
    return "granted"


@THEME.probe("take shared memory that no limit counts")
def shared_memory(_: Surroundings) -> str:
    mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS).close()
    return "granted"


@THEME.probe("take shared memory by other calls")
def other_shared_memory(_: Surroundings) -> str:
    with contextlib.suppress(OSError):
        os.close(os.memfd_create("probe"))
        return "a memory file was made"
    segment = system.libc("shmget", 0, ctypes.c_size_t(4096), 0o1600)
    system.libc("shmctl", segment, 0, None)
    return "a segment was made"


@THEME.probe("have a terminal")
def terminal(_: Surroundings) -> str:
    os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    return "it has"


@THEME.probe("share the host's name")
def host_name(_: Surroundings) -> str:
    if (name := socket.gethostname()) == "tenzij":
        raise Held("it is called tenzij")
    return f"it is called {name[:1]}…"


@THEME.probe("be traced")
def be_traced(_: Surroundings) -> str:
    """The last of all in its process: let through, the next signal stops it."""
    system.libc("ptrace", ctypes.c_long(PTRACE_TRACEME), 0, None, None)
    return "traced"


def x32(_: Surroundings) -> str:
    return f"answered {system.raw(X32_BIT | GETPID_64)}"


def ia32(_: Surroundings) -> str:
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT_80)
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return f"answered {ctypes.CFUNCTYPE(ctypes.c_int)(place)()}"


if platform.machine() == "x86_64":  # the other processors have no calls of another kind that could be tried
    THEME.probe("use the x32 calls", fatal=True)(x32)
    THEME.probe("use the 32-bit calls", fatal=True)(ia32)
