"""The self-test behind `tenzij check`: tries to break out of every kind of process, and looks at what they need.

Rules
- Each kind of process is started with its own profile, from the same builders as the platform's, with the probes as
  its program. So it can run beside a running platform, and tests the very confinement that the platform uses.
- Where processes would run unconfined nothing is tried: the one finding that says so did not hold.
- The weights below TENZIJ_HOME are held against the hash that is their name.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tenzij.config import Config
from tenzij.supervisor import home as homes
from tenzij.supervisor.confinement import profiles
from tenzij.supervisor.confinement.ability import CannotConfine, unsafe_notice, way_to_confine
from tenzij.supervisor.confinement.launcher import launch, user_of
from tenzij.supervisor.confinement.probes.bait import laid_out
from tenzij.supervisor.confinement.probes.trying import outcomes
from tenzij.types import ModelId

MODEL = ModelId("self-test")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried or looked at. `process`: from inside which, or "platform"."""

    process: str
    probe: str
    held: bool
    detail: str


def run_selftest(config: Config, home: Path) -> list[Finding]:
    """All findings; TENZIJ_HOME is made where missing. From the main thread, as it starts processes.

    Raises CannotConfine where nothing would start, and BadHome.
    """
    try:
        way_to_confine(config.confinement)
    except CannotConfine:
        if not config.confinement.unsafe_run_unconfined:
            raise
        return [_switch(config), *_weights(home)]
    homes.prepared(home)
    return [_switch(config), *_weights(home), *_broken_out(config, home)]


def _switch(config: Config) -> Finding:
    notice = unsafe_notice(config.confinement)
    confined = notice is None or not notice.startswith("UNSAFE")
    return Finding("platform", "every process is confined", confined, notice or "and no switch says otherwise")


def _weights(home: Path) -> Iterator[Finding]:
    for file in sorted((home / "models").glob("*.gguf")):
        probe = f"weights match their name: {file.name[:12]}…"
        try:
            with file.open("rb") as opened:
                same = hashlib.file_digest(opened, "sha256").hexdigest() == file.stem
        except OSError as error:
            yield Finding("platform", probe, False, f"cannot be read: {error.strerror}")
            continue
        yield Finding("platform", probe, same, "SHA-256 is the same" if same else "SHA-256 differs: do not use them")


def _broken_out(config: Config, home: Path) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="tenzij-check-") as folder:
        for profile in tried_profiles(config, home, Path(folder)):
            with laid_out(user_of(profile, config.confinement)) as bait:
                start = partial(launch, confinement=config.confinement)
                for came in outcomes(profile, home, bait, start):
                    yield Finding(profile.name.partition(":")[0], came.name, came.held, came.detail)


def tried_profiles(config: Config, home: Path, spare: Path) -> list[profiles.Profile]:
    """One profile of each kind. A worker gets the first weights there are, or a file made in `spare`."""
    weights = sorted((home / "models").glob("*.gguf"))
    if not weights:
        (spare / "models").mkdir()
        weights = [spare / "models" / "none.gguf"]
        weights[0].write_bytes(b"no weights")
        weights[0].chmod(0o444)
    worker = partial(profiles.profile_for_worker, MODEL, weights[0].name, weights[0].parent.parent, slot=0)
    return [
        worker(worker=config.worker),
        profiles.profile_for_gateway(config.confinement),
        profiles.profile_for_ledger(home, config.confinement),
        profiles.profile_for_register(home, config.confinement),
    ]
