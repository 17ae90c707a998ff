"""Every probe is refused inside every sandbox, and gets through where there is none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor.confinement.conftest import KINDS
from tenzij.config import Config
from tenzij.supervisor.confinement.launcher import launch, user_of
from tenzij.supervisor.confinement.probes import needs
from tenzij.supervisor.confinement.probes.all import PROBES, probes_for
from tenzij.supervisor.confinement.probes.bait import Bait, laid_out
from tenzij.supervisor.confinement.probes.trying import outcomes, surroundings
from tenzij.supervisor.confinement.profiles import Profile

UNCONFINED = Path(__file__).parent / "unconfined.py"
START = partial(launch, confinement=Config().confinement)

# What must work inside works outside as well: these say so instead of getting through.
NEEDS = {probe.name for probe in needs.THEME.probes}

# Doors that many machines do not have. Where they do, the probe is a door like the others.
NOT_EVERYWHERE = {
    "make an SCTP socket",
    "make an ICMP socket",
    "make a vsock socket",
    "make a kernel crypto socket",
    "make an MPTCP socket",
    "connect by MPTCP to the host",
    "connect by IPv6 to the host",
    "use an upper protocol on a socket (TCP_ULP)",
    "use io_uring",
    "measure the machine (perf)",
    "load a BPF map",
    "attach a program to a socket",
    "load a kernel module",
    "load another kernel",
    "catch page faults (userfaultfd)",
    "open the machine's memory or the kernel's log",
    "open another process's memory",
    "read another process's memory by a system call",
    "trace another process",
    "have a terminal",
    "use the x32 calls",
    "use the 32-bit calls",
}

# Doors that only root has.
FOR_ROOT = {
    *("make a raw IP socket", "make a packet socket", "set TCP_REPAIR", "set SO_MARK", "set IP_TRANSPARENT"),
    *("read /etc/shadow", "write where it may only read", "make a device node", "enter a namespace", "become root"),
    *("change its groups", "mount a file system", "mount a fresh /proc", "make the root writable"),
    *("uncover what is below /proc", "change the root", "open a file system", "copy a mount", "change a mount"),
    *("keep capabilities (securebits)", "open a file by its number on the disk", "make a time namespace"),
    *(f"make a {kind} namespace" for kind in ("mount", "cgroup", "uts", "ipc", "pid", "net")),
    *(f"make a process in a {kind} namespace" for kind in ("mount", "cgroup", "uts", "ipc", "pid", "net")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_gets_out_of(kind: str, profiles: dict[str, Profile], home: Path) -> None:
    profile = profiles[kind]
    with laid_out(user_of(profile, Config().confinement)) as bait:
        came = list(outcomes(profile, home, bait, START))
    assert [outcome for outcome in came if not outcome.held] == []
    tried = [probe.name for fatal in (False, True) for probe in probes_for(kind, fatal=fatal)]
    assert [outcome.name for outcome in came] == tried
    assert len(tried) > 120


def _answer(bait: Bait, times: int) -> None:
    for _ in range(times):
        bait.answer()


@pytest.fixture
def outside(profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What came of every probe without a sandbox."""
    monkeypatch.setenv("LEFT_OVER", "1")
    with laid_out(os.geteuid()) as bait:
        told = surroundings(profiles["ledger"], home, bait) | {"own": str(home), "descriptors": 0}
        bait.udp.setblocking(True)
        answering = threading.Thread(target=_answer, args=(bait, 2))
        answering.start()
        asked = json.dumps(told).encode()
        done = subprocess.run([sys.executable, UNCONFINED], input=asked, stdout=subprocess.PIPE, check=True, timeout=60)
        for _ in range(2):  # the thread comes to its end, whatever the probes did
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"done", bait.udp.getsockname())
        answering.join()
    came: dict[str, Any] = json.loads(done.stdout)
    return came


def test_every_probe_gets_through_where_nothing_holds_it(outside: dict[str, Any]) -> None:
    root = os.geteuid() == 0
    expected = {probe.name for probe in PROBES} - NEEDS - NOT_EVERYWHERE - (set() if root else FOR_ROOT)
    stopped = {name: detail for name, (held, detail) in outside.items() if held and name in expected}
    assert stopped == {}
    broken = {name: detail for name, (_, detail) in outside.items() if detail.startswith("the probe itself failed")}
    assert broken == {}
    assert len(expected) > (110 if root else 75)


def test_the_lists_name_probes_that_exist() -> None:
    names = [probe.name for probe in PROBES]
    assert len(names) == len(set(names))
    assert {*names, "use the x32 calls", "use the 32-bit calls"} >= NOT_EVERYWHERE | FOR_ROOT
