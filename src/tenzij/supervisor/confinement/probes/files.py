"""Doors to files: seeing what is not its own, writing what it may only read, devices, the kernel's settings."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from tenzij.supervisor.confinement.probes.probe import Held, Surroundings, Theme

THEME = Theme()
NAME = "tenzij-probe"
SETTINGS = ("/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/self/oom_adj")
IN_ETC = {"ld.so.cache"}
MEMORY_DEVICES = ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/proc/kcore", "/proc/kmsg")


@THEME.probe("see files of the host's")
def see_hidden(host: Surroundings) -> str:
    seen = [what for what, path in host.hidden.items() if _is_there(path)]
    if not seen:
        raise Held(f"{len(host.hidden)} looked for, none there")
    return f"sees {', '.join(seen)}"


@THEME.probe("read /etc/shadow")
def read_shadow(_: Surroundings) -> str:
    return f"{len(Path('/etc/shadow').read_bytes())} bytes read"


@THEME.probe("see the host's settings in /etc")
def see_etc(_: Surroundings) -> str:
    names = {name for name in ("passwd", "hostname", "resolv.conf", "ssl", "ssh") if _is_there(f"/etc/{name}")}
    with contextlib.suppress(OSError):
        names |= set(os.listdir("/etc")) - IN_ETC
    if not names:
        raise Held("there is nothing")
    return f"sees {len(names)} of them"


@THEME.probe("see the host's devices and drivers in /sys")
def see_sys(_: Surroundings) -> str:
    return f"{len(os.listdir('/sys'))} entries"


def _is_there(path: str) -> bool:
    try:
        Path(path).lstat()
    except OSError:
        return False
    return True


@THEME.probe("write where it may only read")
def write_read_only(host: Surroundings) -> str:
    written = [what for what, path in host.read_only.items() if _can_write(Path(path))]
    if not written:
        raise Held(f"{len(host.read_only)} tried, none can be written")
    return f"can write {', '.join(written)}"


def _can_write(path: Path) -> bool:
    try:
        if path.is_dir():
            made = path / NAME
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            made.unlink()
        else:
            os.close(os.open(path, os.O_WRONLY))  # nothing is written, being let is enough
    except OSError:
        return False
    return True


@THEME.probe("write the kernel's settings")
def write_settings(_: Surroundings) -> str:
    opened = []
    for path in SETTINGS:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            opened.append(path)
    if not opened:
        raise Held("none of them")
    return f"may write {', '.join(opened)}"


@THEME.probe("open the machine's memory or the kernel's log")
def open_memory(_: Surroundings) -> str:
    opened = []
    for path in MEMORY_DEVICES:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            opened.append(path)
    if not opened:
        raise Held("none of them")
    return f"opened {', '.join(opened)}"


@THEME.probe("open a device that was not granted")
def open_devices(host: Surroundings) -> str:
    opened = []
    for path in host.devices:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
            opened.append(path)
    if not opened:
        raise Held(f"{len(host.devices)} tried, none opened")
    return f"opened {', '.join(opened[:4])}"


@THEME.probe("make a device node")
def make_node(_: Surroundings) -> str:
    path = Path("/tmp") / NAME  # noqa: S108  its own
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 1))
    path.unlink()
    return "made"


@THEME.probe("fill memory through /tmp")
def fill_tmp(host: Surroundings) -> str:
    path = Path("/tmp") / NAME  # noqa: S108  its own
    piece = bytes(1 << 20)
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range((host.tmp_bytes >> 20) + 2):
                file.write(piece)
    finally:
        path.unlink(missing_ok=True)
    return "more than was granted"
