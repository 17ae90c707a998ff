"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import platform

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# Numbers up to 423 differ between processors: (x86_64, aarch64). From 424 on they are the same.
_OLD = {
    "clone": (56, 220),
    "ptrace": (101, 117),
    "personality": (135, 92),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "process_vm_readv": (310, 270),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "execveat": (322, 281),
    "userfaultfd": (323, 282),
}
_NEW = {
    "io_uring_setup": 425,
    "open_tree": 428,
    "fsopen": 430,
    "clone3": 435,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
_COLUMN = {"x86_64": 0, "aarch64": 1}


def number(name: str) -> int:
    """The call's number on this processor."""
    return _NEW[name] if name in _NEW else _OLD[name][_COLUMN[platform.machine()]]


def call(name: str, *arguments: object) -> int:
    """Does a system call. Raises OSError."""
    return raw(number(name), *arguments)


def raw(which: int, *arguments: object) -> int:
    """Does the system call of this number. Raises OSError."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(which), *wide))


def libc(name: str, *arguments: object) -> int:
    """Calls a function of the C library that says -1 and errno. Raises OSError."""
    return _checked(getattr(_libc, name)(*arguments))


def _checked(result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
