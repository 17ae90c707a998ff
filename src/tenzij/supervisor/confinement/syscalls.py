"""System calls that are harmless whatever their arguments: what CPython, asyncio, uvloop, SQLite and llama.cpp need.

- They reach only what the process has already: its memory, its descriptors, the files that it sees, its own signals.
- A name that does not exist on this machine's processor is passed over.
- Left out on purpose: everything that makes links, device nodes, processes or namespaces, changes who one is, mounts,
  traces, loads, locks memory, or watches others. Calls with conditions on their arguments are in `filters.py`.
"""

from __future__ import annotations

from typing import Final

_FILES: Final = """
    open openat close close_range read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek
    stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents64 getdents
    getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate truncate fallocate
    fsync fdatasync sync_file_range flock chmod fchmod fchmodat utimensat futimesat fadvise64 copy_file_range umask
    sendfile splice tee
"""
_DESCRIPTORS: Final = """
    dup dup2 dup3 pipe pipe2 eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    recvfrom recvmsg recvmmsg getsockname getpeername getsockopt shutdown
"""
_MEMORY: Final = """
    munmap mprotect mremap madvise brk msync mincore munlock munlockall get_mempolicy membarrier
"""
_THREADS_AND_TIME: Final = """
    exit exit_group futex futex_waitv set_robust_list get_robust_list set_tid_address rseq arch_prctl restart_syscall
    sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_get_priority_max
    sched_get_priority_min getpriority nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending rt_sigsuspend sigaltstack pause
    wait4 waitid getcpu getrandom
"""
_ABOUT_ITSELF: Final = """
    getpid getppid gettid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid getgroups
    getrlimit setrlimit getrusage capget sysinfo uname
"""

HARMLESS: Final = tuple(f"{_FILES} {_DESCRIPTORS} {_MEMORY} {_THREADS_AND_TIME} {_ABOUT_ITSELF}".split())

WITH_DEVICES: Final = ("mlock", "mlock2", "mlockall", "memfd_create", "mbind", "set_mempolicy")
