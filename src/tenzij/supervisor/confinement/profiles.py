"""What each kind of child process may see and do: its profile. The platform and the self-test build them here alike.

Rules
- A profile says what is granted. All else is refused by `sandbox.py`, `filters.py` and `landlock.py` for every profile.
- A writable bind is one process's own folder; no two profiles share one.
- Each profile has a user id of its own when the platform is started as root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenzij import config
from tenzij.types import ModelId

STATE: Final = "/state"  # where ledger and register see their own folder
WEIGHTS: Final = "/weights"  # where a worker sees its model's file

MIB: Final = 1 << 20
FIRST_WORKER_OFFSET: Final = 10
MOST_WORKERS: Final = 90  # user ids uid_base+10 … uid_base+99


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host, shown at `target`: read-only unless `writable`."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One child process: what it runs and what it is granted."""

    name: str  # "gateway", "ledger", "register", "worker:<model id>"
    program: str  # module with main(control: socket.socket) -> int
    binds: tuple[Bind, ...] = ()
    devices: tuple[str, ...] = ()  # device nodes that it may open, "/dev/nvidia0"
    listener: bool = False  # may accept TCP streams on a listener that it is handed
    listens: bool = False  # may bind and listen on Unix stream sockets, in its private /tmp
    uid_offset: int = 0  # added to confinement.uid_base when started as root
    memory_bytes: int = 1024 * MIB  # private writable memory; mapped weights do not count


def profile_for_gateway(confinement: config.Confinement) -> Profile:
    """The HTTP edge: no file of its own, one TCP listener that it is handed."""
    return Profile(
        name="gateway",
        program="tenzij.gateway.process",
        listener=True,
        uid_offset=1,
        memory_bytes=confinement.memory_mib * MIB,
    )


def profile_for_ledger(home: Path, confinement: config.Confinement) -> Profile:
    """The log's writer: `ledger` below TENZIJ_HOME at /state."""
    return Profile(
        name="ledger",
        program="tenzij.ledger.process",
        binds=(Bind(home / "ledger", STATE, writable=True),),
        uid_offset=2,
        memory_bytes=confinement.memory_mib * MIB,
    )


def profile_for_register(home: Path, confinement: config.Confinement) -> Profile:
    """Keys, models and policy: `register` below TENZIJ_HOME at /state."""
    return Profile(
        name="register",
        program="tenzij.register.process",
        binds=(Bind(home / "register", STATE, writable=True),),
        uid_offset=3,
        memory_bytes=confinement.memory_mib * MIB,
    )


def profile_for_worker(model: ModelId, file: str, home: Path, worker: config.Worker, slot: int) -> Profile:
    """One model's engine: `models/<file>` below TENZIJ_HOME at /weights/<file>, read-only.

    `slot` is this worker's number among all workers, from 0: it gives the user id.

    Raises ValueError when `file` is a path or `slot` is beyond `MOST_WORKERS`.
    """
    if "/" in file or file in ("", ".", ".."):
        raise ValueError("a weights file is a name below TENZIJ_HOME/models, never a path")
    if not 0 <= slot < MOST_WORKERS:
        raise ValueError(f"at most {MOST_WORKERS} workers can run at the same time")
    return Profile(
        name=f"worker:{model}",
        program="tenzij.engines.llamacpp_worker",
        binds=(Bind(home / "models" / file, f"{WEIGHTS}/{file}"),),
        devices=worker.devices,
        listens=True,
        uid_offset=FIRST_WORKER_OFFSET + slot,
        memory_bytes=worker.memory_mib * MIB,
    )
