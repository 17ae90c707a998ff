"""Rules on system calls to a BPF program: the typed face of libseccomp, which the package pyseccomp binds.

Rules
- What no rule allows does not exist: it answers ENOSYS, from which the C library falls back to older calls.
- A call from a foreign ABI (32-bit, x32) kills the process.
- A call that libseccomp does not know on this machine is not allowed: rules for it are passed over.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tenzij.errors import OperatorError

ALL_BITS: Final = (1 << 64) - 1


class NoSeccomp(OperatorError):
    """libseccomp is missing or cannot make the program."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on argument number `index`, from 0: its bits under `mask` equal `value`."""

    index: int
    value: int
    mask: int = ALL_BITS


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens on `call` when all conditions hold: allowed, or answered `error` without being done (0: success)."""

    call: str
    conditions: tuple[Argument, ...] = ()
    error: int | None = None


def _library() -> Any:
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError, AttributeError):
        raise NoSeccomp("the library libseccomp is missing; install it (on Debian: apt install libseccomp2)") from None
    return pyseccomp


def allowing(rules: Iterable[Rule]) -> bytes:
    """The program that allows what `rules` say and nothing else. Raises NoSeccomp."""
    library = _library()
    return _compiled(library, library.ERRNO(errno.ENOSYS), rules)


def refusing(rules: Iterable[Rule]) -> bytes:
    """The program that refuses what `rules` say and nothing else, to lay over another. Raises NoSeccomp."""
    library = _library()
    return _compiled(library, library.ALLOW, rules)


def _compiled(library: Any, default: int, rules: Iterable[Rule]) -> bytes:
    try:
        made = library.SyscallFilter(default)
        made.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
        with contextlib.suppress(OSError):  # only speed: libseccomp before 2.5 has no binary tree
            made.set_attr(library.Attr.CTL_OPTIMIZE, 2)
        for rule in rules:
            _add(library, made, rule)
        with tempfile.TemporaryFile() as file:
            made.export_bpf(file)
            file.seek(0)
            return file.read()
    except OSError as error:
        raise NoSeccomp(f"libseccomp cannot make the filter of system calls: {os.strerror(error.errno or 0)}") from None


def _add(library: Any, made: Any, rule: Rule) -> None:
    number = library.resolve_syscall(library.Arch.NATIVE, rule.call)
    if number == -1:  # __NR_SCMP_ERROR: newer than this libseccomp
        return
    action = library.ALLOW if rule.error is None else library.ERRNO(rule.error)
    conditions = [library.Arg(a.index, library.MASKED_EQ, a.mask, a.value) for a in rule.conditions]
    made.add_rule(action, number, *conditions)


@contextlib.contextmanager
def as_file(program: bytes) -> Iterator[int]:
    """A descriptor from which `program` can be read once, as bubblewrap wants it; closed at the end."""
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, program)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
