"""How one child is started, as values: the specification for `stage.py`, with bubblewrap and `inside.py` in it.

Rules
- As root every source is first staged below a fresh /run, and bubblewrap runs from there as the child's own user id.
- As an ordinary user bubblewrap gets the real paths.
- Unconfined (unsafe) there is no sandbox, no user id of its own and no filter: a clean environment and limits remain.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenzij.supervisor.confinement import landlock
from tenzij.supervisor.confinement.code_view import CodeView
from tenzij.supervisor.confinement.profiles import Bind, Profile
from tenzij.supervisor.confinement.sandbox import Shown, arguments

DEVICES: Final = ("/dev/null", "/dev/random", "/dev/urandom")  # what every child may open
LOADER_CACHE: Final = Path("/etc/ld.so.cache")  # where libraries are; read-only, no secret
OPEN_FILES: Final = 1024  # each can hold kernel memory that counts in no other limit
CONNECTIONS: Final = 16384  # open files of who accepts clients
STACK_BYTES: Final = 8 << 20
THREADS: Final = 256
WORKER_THREADS: Final = 4096
INTERPRETER: Final = ("-I", "-S", "-B", "-X", "utf8")  # no environment, no site, no bytecode written
RUN: Final = "/run"
HERE: Final = "supervisor/confinement"  # below the package


@dataclass(frozen=True, slots=True)
class Way:
    """What is needed beside the profile: the machine's bubblewrap, the code, and who the child becomes."""

    bubblewrap: Path
    code: CodeView
    user: int | None  # None: the user of this process


def limits(profile: Profile) -> list[tuple[int, int]]:
    """Resource limits, in force before bubblewrap starts."""
    return [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, profile.memory_bytes),
        (resource.RLIMIT_NOFILE, CONNECTIONS if profile.listener else OPEN_FILES),
        (resource.RLIMIT_STACK, STACK_BYTES),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]


def threads(profile: Profile) -> int:
    """The most threads of a child."""
    return WORKER_THREADS if profile.listens else THREADS


def library_folders() -> tuple[list[tuple[str, str]], list[Bind]]:
    """/lib and /lib64 as this machine has them: links into /usr, or folders of their own."""
    links, binds = [], []
    for folder in (Path("/lib"), Path("/lib64")):
        if folder.is_symlink():
            links.append((str(folder.readlink()), str(folder)))
        elif folder.is_dir():
            binds.append(Bind(folder, str(folder)))
    return links, binds


def visible(profile: Profile, code: CodeView) -> list[tuple[Bind, str]]:
    """All that the child sees of the host, with bubblewrap's option for each."""
    read_only = [Bind(Path("/usr"), "/usr"), *library_folders()[1], *(Bind(path, str(path)) for path in code.shown)]
    if LOADER_CACHE.exists():
        read_only.append(Bind(LOADER_CACHE, str(LOADER_CACHE)))
    devices = (Bind(Path(device), device) for device in (*DEVICES, *profile.devices))
    return [
        *((bind, "--ro-bind") for bind in read_only),
        *((bind, "--bind" if bind.writable else "--ro-bind") for bind in profile.binds),
        *((bind, "--dev-bind") for bind in devices),
    ]


def grants(profile: Profile, code: CodeView) -> list[tuple[str, int]]:
    """The same for Landlock: what is bound, /proc to read, /tmp to write."""
    rights = {"--ro-bind": landlock.READ, "--bind": landlock.WRITE, "--dev-bind": landlock.DEVICE}
    granted = [(bind.target, rights[option]) for bind, option in visible(profile, code)]
    tmp = landlock.WRITE | (landlock.MAKE_SOCK if profile.listens else 0)
    return [*granted, ("/proc", landlock.READ), ("/tmp", tmp)]  # noqa: S108


def inside(profile: Profile, code: CodeView, control: int, spec: dict[str, Any]) -> list[str]:
    """The command that runs the program through `inside.py`."""
    whole = {"program": profile.program, "search_path": code.search_path, **spec}
    script = code.package / HERE / "inside.py"
    return [str(code.python), *INTERPRETER, str(script), str(control), json.dumps(whole)]


def confined(profile: Profile, way: Way, command: Sequence[str], filter_descriptor: int) -> dict[str, Any]:
    """The specification for `stage.py` that runs `command` shut in as `profile` says."""
    seen = visible(profile, way.code)
    places = _places(seen, way.user is not None)
    shown = [Shown(places[str(bind.source)], bind.target, option) for bind, option in seen]
    bubblewrap = _at(way.bubblewrap, places)
    return {
        "parent": os.getpid(),
        "limits": limits(profile),
        "user": way.user,
        "staged": [(source, place) for source, place in places.items() if source != place],
        "argv": [bubblewrap, *arguments(shown, library_folders()[0], filter_descriptor), "--", *command],
    }


def unconfined(profile: Profile, command: Sequence[str]) -> dict[str, Any]:
    """The specification for `stage.py` that runs `command` without a sandbox."""
    return {"parent": os.getpid(), "limits": limits(profile), "user": None, "staged": [], "argv": list(command)}


def _places(seen: Sequence[tuple[Bind, str]], staged: bool) -> dict[str, str]:
    sources = dict.fromkeys(str(bind.source) for bind, _ in seen)
    return {source: f"{RUN}/{number}" if staged else source for number, source in enumerate(sources)}


def _at(path: Path, places: dict[str, str]) -> str:
    """Where `path` is once its folder is staged; /usr is where it was."""
    for source, place in places.items():
        if path.is_relative_to(source) and source != "/usr":
            return str(Path(place) / path.relative_to(source))
    return str(path)


def stage_command(code: CodeView, spec: dict[str, Any]) -> list[str]:
    """The command that runs `stage.py` with a specification."""
    return [
        str(code.python),
        *INTERPRETER,
        str(code.package / HERE / "stage.py"),
        json.dumps(spec),
    ]
