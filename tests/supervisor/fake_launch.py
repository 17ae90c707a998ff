"""A launcher for tests: starts a function of `children.py` as a plain process, unconfined, with a control channel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import Profile

_TESTS = Path(__file__).parent.parent
_CODE = """
import importlib, socket, sys
module, _, function = sys.argv[2].partition(":")
sys.exit(getattr(importlib.import_module(module), function)(socket.socket(fileno=int(sys.argv[1]))))
"""


def children(**functions: str) -> dict[str, str]:
    """Programs by role: the functions of `children.py`, with well-behaved ones for the roles that are not named."""
    chosen = {"register": "register", "ledger": "server", "gateway": "gateway", "worker": "worker", **functions}
    return {role: f"supervisor.children:{function}" for role, function in chosen.items()}


def fake_launch(profile: Profile) -> Launched:
    """As `launcher.launch`, without confinement."""
    for bind in profile.binds:
        if bind.writable:
            bind.source.mkdir(mode=0o700, exist_ok=True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", _CODE, str(theirs.fileno()), profile.program],
        pass_fds=[theirs.fileno()],
        env={"PYTHONPATH": str(_TESTS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
        start_new_session=True,
    )
    theirs.close()
    os.close(writing)
    paths = {bind.target: str(bind.source) for bind in profile.binds}
    return Launched(profile, process, ours, False, os.geteuid(), paths, reading)
