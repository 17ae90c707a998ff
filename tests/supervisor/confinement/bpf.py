"""Runs a compiled filter of system calls as the kernel would: classic BPF over `struct seccomp_data`.

Only what libseccomp writes: loads of words, masks, comparisons, returns. Anything else raises.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Sequence
from functools import lru_cache

import pyseccomp

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
ARCH_I386 = 0x40000003
X32_BIT = 0x40000000

ALLOWED = 0x7FFF0000
KILLED = 0x80000000
ERROR = 0x00050000


@lru_cache(maxsize=16)
def _instructions(program: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack("=HBBI", program))


@lru_cache(maxsize=1024)
def number(call: str) -> int:
    found: int = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call)
    return found


def run(program: bytes, which: int, arguments: Sequence[int] = (), arch: int = ARCH) -> int:
    """What the kernel would be told to do."""
    wide = [argument & (1 << 64) - 1 for argument in (*arguments, *(0,) * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", which, arch, 0, *wide)
    instructions = _instructions(program)
    at = accumulator = 0
    while True:
        code, if_true, if_false, k = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x25:
                at += if_true if accumulator > k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x45:
                at += if_true if accumulator & k else if_false
            case 0x06:
                return int(k)
            case _:
                raise ValueError(f"instruction {code:#x} is none that libseccomp writes")


def verdict(program: bytes, call: str, *arguments: int) -> str:
    """ "allowed", "killed", or the name of the error that it is answered with ("0" for a success not done)."""
    return in_words(run(program, number(call), arguments))


def in_words(action: int) -> str:
    if action == ALLOWED:
        return "allowed"
    if action == KILLED:
        return "killed"
    if action & 0xFFFF0000 == ERROR:
        return errno.errorcode.get(action & 0xFFFF, "0")
    raise ValueError(f"action {action:#x}")
