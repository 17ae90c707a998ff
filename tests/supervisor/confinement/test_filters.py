"""The filters of system calls, run call by call in a model of the kernel's own machine."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.confinement.bpf import ARCH_I386, X32_BIT, in_words, number, run, verdict
from tenzij.supervisor.confinement import filters
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.syscalls import HARMLESS, WITH_DEVICES

GATEWAY = Profile("gateway", "p", listener=True)
LEDGER = Profile("ledger", "p")
WORKER = Profile("worker:m", "p", listens=True)
PROFILES = {profile.name: profile for profile in (GATEWAY, LEDGER, WORKER)}
ALL = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)

WORD = st.integers(0, (1 << 64) - 1)
INTEGER = st.integers(0, (1 << 32) - 1)
ARGUMENTS = st.lists(WORD, min_size=6, max_size=6)
STREAM = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


def before(profile: Profile, call: str, *arguments: int) -> str:
    return verdict(filters.filter_before(profile), call, *arguments)


_NAMES = """
    connect io_uring_setup io_uring_enter io_uring_register clone3 fork vfork unshare setns ptrace
    process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal kcmp keyctl add_key
    request_key bpf perf_event_open mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig
    fsmount mount_setattr kexec_load kexec_file_load init_module finit_module delete_module personality
    userfaultfd name_to_handle_at open_by_handle_at memfd_create memfd_secret shmget shmat msgget semget
    mq_open mknod mknodat link linkat symlink symlinkat setuid setgid setreuid setregid setresuid setresgid
    setgroups setfsuid setfsgid capset seccomp execveat tkill rt_sigqueueinfo rt_tgsigqueueinfo swapon swapoff
    reboot settimeofday clock_settime adjtimex clock_adjtime acct quotactl syslog sethostname setdomainname
    iopl ioperm modify_ldt lookup_dcookie vhangup uselib inotify_init inotify_init1 fanotify_init
    migrate_pages move_pages vmsplice setsid setpgid process_madvise remap_file_pages chown fchown lchown
    fchownat setxattr fsetxattr ustat nfsservctl
"""
DOORS = [call for call in _NAMES.split() if number(call) >= 0]  # some are other processors' own


@ALL
@given(call=st.sampled_from(DOORS), arguments=ARGUMENTS)
@settings(max_examples=500)
def test_a_door_is_shut_whatever_the_arguments(profile: Profile, call: str, arguments: list[int]) -> None:
    assert before(profile, call, *arguments) in ("ENOSYS", "EPERM")


@ALL
def test_every_door_is_shut(profile: Profile) -> None:
    for argument in (0, 1, (1 << 32) - 1, (1 << 64) - 1):
        assert {before(profile, call, *(argument,) * 6) for call in DOORS} <= {"ENOSYS", "EPERM"}


@ALL
@given(which=st.integers(0, 1023), arguments=ARGUMENTS)
def test_calls_that_nobody_has_thought_of_do_not_exist(profile: Profile, which: int, arguments: list[int]) -> None:
    named = {number(rule.call) for rule in filters.rules_before(profile)}
    if which not in named:
        assert in_words(run(filters.filter_before(profile), which, arguments)) == "ENOSYS"


@ALL
@given(which=st.integers(0, 500), arguments=ARGUMENTS)
def test_foreign_calls_kill(profile: Profile, which: int, arguments: list[int]) -> None:
    program = filters.filter_before(profile)
    assert in_words(run(program, which, arguments, ARCH_I386)) == "killed"
    assert in_words(run(program, which | X32_BIT, arguments)) == "killed"


@pytest.mark.parametrize("profile", [GATEWAY, LEDGER], ids=["gateway", "ledger"])
@given(arguments=ARGUMENTS)
def test_no_socket_is_made_where_none_is_needed(profile: Profile, arguments: list[int]) -> None:
    assert before(profile, "socket", *arguments) == "ENOSYS"
    assert before(profile, "bind", *arguments) == "ENOSYS"
    assert before(profile, "listen", *arguments) == "0"  # answered, not done


@ALL
@given(family=INTEGER, kind=INTEGER, protocol=INTEGER)
def test_sockets_are_unix_streams(profile: Profile, family: int, kind: int, protocol: int) -> None:
    allowed = family == socket.AF_UNIX and kind & 0xF == socket.SOCK_STREAM and kind | STREAM == STREAM and not protocol
    assert (before(profile, "socketpair", family, kind, protocol) == "allowed") is allowed
    assert (before(profile, "socket", family, kind, protocol) == "allowed") is (allowed and profile.listens)


def test_a_worker_makes_unix_streams() -> None:
    for kind in (socket.SOCK_STREAM, STREAM):
        assert before(WORKER, "socket", socket.AF_UNIX, kind, 0) == "allowed"
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        assert before(WORKER, "socket", socket.AF_UNIX, kind, 0) == "ENOSYS"


@ALL
@given(flags=INTEGER, address=WORD)
def test_sending_names_no_peer_and_opens_nothing(profile: Profile, flags: int, address: int) -> None:
    opens = bool(flags & filters.MSG_FASTOPEN)
    assert (before(profile, "sendto", 3, 0, 0, flags, address, 16) == "allowed") is (not opens and not address)
    assert (before(profile, "sendmsg", 3, 0, flags) == "allowed") is not opens
    assert (before(profile, "sendmmsg", 3, 0, 1, flags) == "allowed") is not opens


@ALL
def test_ordinary_sending_is_allowed(profile: Profile) -> None:
    assert before(profile, "sendto", 3, 4096, 10, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT, 0, 0) == "allowed"
    assert before(profile, "sendmsg", 3, 4096, socket.MSG_NOSIGNAL) == "allowed"


@ALL
@given(level=st.one_of(st.integers(0, 300), INTEGER), option=st.one_of(st.integers(0, 100), INTEGER))
def test_options_are_those_of_the_list(profile: Profile, level: int, option: int) -> None:
    listed = option in filters.SOCKET_OPTIONS.get(level, ())
    assert (before(profile, "setsockopt", 3, level, option) == "allowed") is listed


@pytest.mark.parametrize("option", [9, 16, 17, 19, 20, 23, 30, 31, 33, 34, 38])  # TCP_DEFER_ACCEPT … TCP_AO_ADD_KEY
def test_options_that_open_repair_or_relabel_are_refused(option: int) -> None:
    assert before(GATEWAY, "setsockopt", 3, socket.IPPROTO_TCP, option) == "ENOSYS"


THREAD = 0x3D0F00  # what the C library asks for a thread


@ALL
def test_threads_are_made(profile: Profile) -> None:
    assert before(profile, "clone", THREAD) == "allowed"
    assert before(profile, "clone3") == "ENOSYS"  # so that the C library takes clone


@ALL
@given(flags=WORD)
def test_clone_makes_nothing_but_threads(profile: Profile, flags: int) -> None:
    wanted = filters.CLONE_VM | filters.CLONE_THREAD
    thread = flags & wanted == wanted and not flags & (filters.CLONE_NEW_ANY | filters.CLONE_PTRACE)
    assert (before(profile, "clone", flags) == "allowed") is thread


@ALL
@given(flags=INTEGER)
def test_memory_without_a_file_is_not_shared(profile: Profile, flags: int) -> None:
    shared = bool(flags & filters.MAP_SHARED and flags & filters.MAP_ANONYMOUS)
    assert (before(profile, "mmap", 0, 4096, 3, flags) == "allowed") is not shared


@ALL
@given(pid=st.one_of(st.integers(0, 5), WORD), option=st.integers(0, 80), value=st.integers(0, 3))
def test_only_itself_is_concerned(profile: Profile, pid: int, option: int, value: int) -> None:
    assert before(profile, "kill", pid, 9) == "EPERM"
    assert (before(profile, "tgkill", pid, 5, 6) == "allowed") is (pid == 1)
    assert (before(profile, "prlimit64", pid) == "allowed") is (pid == 0)
    if option == filters.PR_SET_DUMPABLE and value != 0:
        assert before(profile, "prctl", option, value) == "ENOSYS"


@ALL
def test_what_shutting_itself_in_needed_is_taken_away(profile: Profile) -> None:
    for call, *arguments in (
        ("execve",),
        ("landlock_create_ruleset",),
        ("landlock_add_rule",),
        ("landlock_restrict_self",),
        ("prctl", filters.PR_SET_SECCOMP),
    ):
        assert before(profile, str(call), *map(int, arguments)) == "allowed"
        assert verdict(filters.filter_after(), str(call), *map(int, arguments)) == "EPERM"
    assert verdict(filters.filter_after(), "read") == "allowed"


def test_devices_get_what_their_drivers_need() -> None:
    profile = replace(WORKER, devices=("/dev/nvidia0",))
    assert before(profile, "ioctl", 3, 0x46) == "allowed"
    assert before(profile, "memfd_create") == "allowed"
    assert before(profile, "connect") == "ENOSYS"
    assert before(WORKER, "ioctl", 3, 0x46) == "ENOSYS"


@given(request=INTEGER)
def test_ioctl_is_for_descriptors_only(request: int) -> None:
    assert (before(GATEWAY, "ioctl", 3, request) == "allowed") is (request in filters.IOCTLS.values())


def test_every_name_in_the_tables_exists() -> None:
    """A name with a slip in it would be passed over, and missed only where it is needed."""
    names = {*HARMLESS, *WITH_DEVICES} | {rule.call for p in PROFILES.values() for rule in filters.rules_before(p)}
    assert [name for name in sorted(names) if number(name) == -1] == []
    assert len(HARMLESS) == len(set(HARMLESS))
