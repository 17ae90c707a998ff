"""Doors to more privilege: users, capabilities, namespaces, mounts, the kernel's own machinery."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from pathlib import Path

from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.probe import Attempt, Held, Surroundings, Theme

THEME = Theme()
NEW = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
MS_REMOUNT, MS_BIND, MNT_DETACH = 0x20, 0x1000, 2
AT_FDCWD = -100
PR_SET_DUMPABLE, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 4, 28, 47


def _unsharing(flag: int) -> Attempt:
    def attempt(_: Surroundings) -> str:
        system.libc("unshare", ctypes.c_int(flag))
        return "made"

    return attempt


def _cloning(flag: int) -> Attempt:
    def attempt(_: Surroundings) -> str:
        child = system.call("clone", flag | signal.SIGCHLD, None, None, None, None)
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        return "made"

    return attempt


for _kind, _flag in NEW.items():
    THEME.probe(f"make a {_kind} namespace")(_unsharing(_flag))
    if _kind != "time":  # clone has no flag for it
        THEME.probe(f"make a process in a {_kind} namespace")(_cloning(_flag))


@THEME.probe("make a process in a user namespace by another call (clone3)")
def clone3_user(_: Surroundings) -> str:
    arguments = (ctypes.c_uint64 * 11)()
    arguments[0], arguments[4] = NEW["user"], signal.SIGCHLD
    child = system.call("clone3", ctypes.byref(arguments), ctypes.sizeof(arguments))
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@THEME.probe("enter a namespace")
def enter(_: Surroundings) -> str:
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        system.libc("setns", descriptor, 0)
    finally:
        os.close(descriptor)
    return "entered"


@THEME.probe("share a namespace with the host")
def shares(host: Surroundings) -> str:
    shared = [kind for kind, number in host.namespaces.items() if Path(f"/proc/self/ns/{kind}").stat().st_ino == number]
    if not shared:
        raise Held(f"{len(host.namespaces)} are its own")
    return f"shares {', '.join(shared)}"


@THEME.probe("become root")
def become_root(_: Surroundings) -> str:
    os.setresuid(0, 0, 0)
    return "became root"


@THEME.probe("change its groups")
def change_groups(_: Surroundings) -> str:
    os.setgroups([0])
    return "changed"


@THEME.probe("have a capability, or be able to have one")
def capabilities(_: Surroundings) -> str:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    held = [line.split(":")[0] for line in lines if line.startswith("Cap") and int(line.split(":")[1], 16)]
    if not held:
        raise Held("none")
    return f"has {', '.join(held)}"


@THEME.probe("gain privileges by executing")
def gain(_: Surroundings) -> str:
    return _unless("NoNewPrivs", "1")


@THEME.probe("run without a filter of system calls")
def unfiltered(_: Surroundings) -> str:
    return _unless("Seccomp", "2")


def _unless(field: str, wanted: str) -> str:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field and value.strip() == wanted:
            raise Held(f"{field} is {wanted}")
    return f"{field} is not {wanted}"


@THEME.probe("run without Landlock")
def unrestricted(host: Surroundings) -> str:
    """Listing the root is granted to nobody, and forbidden by Landlock alone."""
    if not host.landlock:
        raise Held("this kernel has no Landlock; all else holds without it")
    return f"lists the root: {len(os.listdir('/'))} entries"


def _calling(name: str, *arguments: object) -> Attempt:
    def attempt(_: Surroundings) -> str:
        system.libc(name, *arguments)
        return "done"

    return attempt


def _calling_system(name: str, *arguments: object) -> Attempt:
    def attempt(_: Surroundings) -> str:
        system.call(name, *arguments)
        return "done"

    return attempt


def _offering(name: str, *arguments: object) -> Attempt:
    """For calls that nobody may try in earnest: let through, the kernel finds fault with the arguments."""

    def attempt(_: Surroundings) -> str:
        try:
            system.call(name, *arguments)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                raise
        return "the kernel listened"

    return attempt


_ulong = ctypes.c_ulong
for _name, _attempt in {
    "mount a file system": _calling("mount", b"tmpfs", b"/tmp", b"tmpfs", _ulong(0), None),
    "mount a fresh /proc": _calling("mount", b"proc", b"/tmp", b"proc", _ulong(0), None),
    "make the root writable": _calling("mount", None, b"/", None, _ulong(MS_REMOUNT | MS_BIND), None),
    "uncover what is below /proc": _calling("umount2", b"/proc", MNT_DETACH),
    "change the root": _calling("chroot", b"/tmp"),
    "open a file system": _calling_system("fsopen", b"tmpfs", 0),
    "copy a mount": _calling_system("open_tree", AT_FDCWD, b"/usr", 1),
    "change a mount": _calling_system("mount_setattr", AT_FDCWD, b"/usr", 0, (ctypes.c_uint64 * 4)(), 32),
    "keep capabilities (securebits)": _calling("prctl", PR_SET_SECUREBITS, _ulong(1), _ulong(0), _ulong(0), _ulong(0)),
    "use the kernel's keys": _calling_system("keyctl", 0, -3, 1),
    "add to the kernel's keys": _calling_system("add_key", b"user", b"tenzij-probe", b"x", 1, -2),
    "load a BPF map": _calling_system("bpf", 0, (ctypes.c_uint32 * 32)(2, 4, 4, 1), 128),
    "measure the machine (perf)": _calling_system("perf_event_open", (ctypes.c_uint32 * 32)(1, 128), 0, -1, -1, 0),
    "catch page faults (userfaultfd)": _calling_system("userfaultfd", 1),
    "change its personality": _calling_system("personality", 0x0040000),
    "load a kernel module": _offering("init_module", None, 0, b""),
    "load another kernel": _offering("kexec_load", 0, 0, None, 0xDEAD),
}.items():
    THEME.probe(_name)(_attempt)


@THEME.probe("open a file by its number on the disk")
def open_by_handle(_: Surroundings) -> str:
    handle = (ctypes.c_uint32 * 34)(128, 0)
    mount = ctypes.c_int()
    system.call("name_to_handle_at", AT_FDCWD, b"/usr", ctypes.byref(handle), ctypes.byref(mount), 0)
    folder = os.open("/usr", os.O_RDONLY)
    try:
        os.close(system.call("open_by_handle_at", folder, ctypes.byref(handle), os.O_RDONLY))
    finally:
        os.close(folder)
    return "opened"
