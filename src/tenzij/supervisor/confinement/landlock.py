"""Landlock: this process tells the kernel what it will never do again. Standard library only; runs inside.

Rules
- It binds the calling thread and what that thread starts: so it is called while there is no other thread.
- Files: only what is granted below. Executing a file is granted nowhere.
- TCP: neither bind nor connect. Abstract Unix sockets and signals: only within the sandbox.
- An older kernel has fewer of these, or none; what it has is used. The filter of system calls holds without it.

Numbers follow `include/uapi/linux/landlock.h`; the year's ABI is the first kernel that has them: 1 in 5.13, 2 in 5.19,
3 in 6.2, 4 in 6.7, 5 in 6.10, 6 in 6.12.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every processor
CREATE_RULESET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))

BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1, 2

READ: Final = READ_FILE | READ_DIR
WRITE: Final = READ | WRITE_FILE | TRUNCATE | REMOVE_FILE | REMOVE_DIR | MAKE_REG | MAKE_DIR | REFER
DEVICE: Final = READ_FILE | WRITE_FILE | IOCTL_DEV
ON_A_FILE: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the rest has a meaning for folders only

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """The kernel's version of Landlock; 0 where it has none or it is switched off."""
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION))
    except OSError:
        return 0


def handled(version: int) -> tuple[int, int, int]:
    """What a kernel of this version is asked to refuse unless granted: on files, on the network, across the scope."""
    files = (1 << 13) - 1  # version 1: EXECUTE … MAKE_SYM
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        files |= right if version >= since else 0
    network = BIND_TCP | CONNECT_TCP if version >= 4 else 0
    scope = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if version >= 6 else 0
    return files, network, scope


def restrict(grants: Iterable[tuple[str, int]], version: int) -> None:
    """Restricts the calling thread to `grants`, each (path, rights), with what Landlock of this version can do.

    A path that does not exist is not granted. Raises OSError when the kernel refuses; nothing is restricted then.
    """
    files, network, scope = handled(version)
    attributes = struct.pack("=QQQ", files, network, scope)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path, rights in grants:
            _grant(ruleset, path, rights & files)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ON_A_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)
