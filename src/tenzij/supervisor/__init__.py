"""Starts, confines, restarts and stops every other process; hands connections out. Speaks no HTTP and sees no text.

- The platform: `platform`, `family`, `child`, `lifecycle`, `broker` and what they stand on.
- The confinement: `launcher`, `plan`, `sandbox`, `filters`, `landlock`, `stage` (before bubblewrap), `inside` (after it).
- The self-test: `selftest`, with the attempts to break out in `probes`.

`stage`, `inside`, `landlock` and `probes` need the standard library alone, so nothing may be imported here.
"""
