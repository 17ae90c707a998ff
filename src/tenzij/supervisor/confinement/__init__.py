"""Shuts a process in before it executes, and tries to break out: `launcher` starts it, `selftest` tests it.

    launcher ▶ stage (as root, before bubblewrap) ▶ bubblewrap ▶ inside (after it) ▶ the program

- `profiles` says what each kind of process may see and do; `plan` and `sandbox` make that into arguments; `filters`,
  `syscalls` and `seccomp` into filters of system calls; `landlock` into file rules. `ability` tries whether all that
  works on this machine.
- `stage`, `inside`, `landlock` and `probes` need the standard library alone, so nothing may be imported here.
"""
