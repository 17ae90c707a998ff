"""Which files of this machine a sandbox must not show, must not let write, and which devices it must not let open."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tenzij.supervisor.confinement.code_view import code_view
from tenzij.supervisor.confinement.profiles import STATE, WEIGHTS, Profile

DEVICES: Final = (
    *("/dev/full", "/dev/zero", "/dev/ptmx", "/dev/tty", "/dev/mem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/kvm"),
    *("/dev/net/tun", "/dev/loop-control", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/hwrng", "/dev/snapshot"),
)  # never one that acts on being opened, as a watchdog does
MOST_IN_A_FOLDER: Final = 20


def hidden(profile: Profile, home: Path, secret: Path) -> dict[str, str]:
    """What it is, to a path on this machine that shall not be there inside; only what does exist outside."""
    own = {bind.target for bind in profile.binds}
    found: dict[str, str] = {"a secret of the host's": str(secret)}
    found |= _first_in({"the user's home": Path.home(), "root's home": Path("/root"), "TENZIJ_HOME": home})
    found |= _first_in({f"TENZIJ_HOME/{name}": home / name for name in ("ledger", "register", "models", "run")})
    found |= _first_in({"homes": Path("/home"), "services' files": Path("/var/lib"), "/run": Path("/run")})
    found |= _first_in({"the project's other files": code_view().package.parent.parent})
    if STATE not in own:
        found["a folder to keep things in"] = STATE
    for file in _entries(home / "models"):
        if (inside := f"{WEIGHTS}/{file.name}") not in own:
            found[f"other weights, {file.name[:12]}"] = inside
    return found


def _first_in(folders: Mapping[str, Path]) -> dict[str, str]:
    """Of each folder something in it that is no part of the way to the code, which is shown."""
    shown = code_view().shown
    found = {}
    for what, folder in folders.items():
        for path in _entries(folder):
            if not any(code.is_relative_to(path) or path.is_relative_to(code) for code in shown):
                found[what] = str(path)
                break
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:MOST_IN_A_FOLDER]
    except OSError:
        return []


def read_only(profile: Profile) -> dict[str, str]:
    """What it is, to a file or folder inside that shall not be writable."""
    code = code_view()
    found = {"/usr": "/usr", "the root": "/", "/dev": "/dev", "/etc": "/etc", "our code": str(code.package)}
    found |= {f"code, {path}": str(path) for path in code.shown}
    found |= {bind.target: bind.target for bind in profile.binds if not bind.writable}
    return found


def devices(profile: Profile) -> list[str]:
    """Those of this machine that were not granted."""
    return sorted(set(_nodes()) - set(profile.devices))


def _nodes() -> Iterator[str]:
    for path in (*map(Path, DEVICES), *_entries(Path("/sys/block"))):
        node = Path("/dev") / path.name if path.is_relative_to("/sys") else path
        try:
            mode = node.stat().st_mode
        except OSError:
            continue
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            yield str(node)
