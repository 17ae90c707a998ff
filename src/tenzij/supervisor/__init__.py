"""Starts, confines, restarts and stops every other process; hands connections out. Speaks no HTTP and sees no text.

- The platform: `platform`, `family`, `child`, `lifecycle`, `broker` and what they stand on.
- The confinement and its self-test: `confinement`. It loads this package where only the standard library is, so nothing
  may be imported here.
"""
