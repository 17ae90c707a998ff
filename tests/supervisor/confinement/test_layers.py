"""Each layer holds without the others where it must, and the probes see when one is gone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from supervisor.confinement.conftest import KINDS
from tenzij.config import Config
from tenzij.supervisor.confinement import landlock, launcher, sandbox
from tenzij.supervisor.confinement.launcher import launch, user_of
from tenzij.supervisor.confinement.probes.bait import laid_out
from tenzij.supervisor.confinement.probes.trying import outcomes
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.seccomp import refusing

START = partial(launch, confinement=Config().confinement)
NOTHING_REFUSED = refusing([])


def open_doors(profile: Profile, home: Path) -> set[str]:
    with laid_out(user_of(profile, Config().confinement)) as bait:
        return {outcome.name for outcome in outcomes(profile, home, bait, START) if not outcome.held}


@pytest.mark.parametrize("version", [0, 2])  # none; and Debian 12's: no network, no scope
@pytest.mark.parametrize("kind", KINDS)
def test_all_holds_with_an_older_landlock_or_none(
    kind: str, version: int, profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = min(version, landlock.abi())
    monkeypatch.setattr(landlock, "abi", lambda: version)
    assert open_doors(profiles[kind], home) == set()


def test_without_the_filter_the_probes_get_through(
    profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "filter_before", lambda _: NOTHING_REFUSED)
    monkeypatch.setattr(launcher, "filter_after", lambda: NOTHING_REFUSED)
    opened = open_doors(profiles["gateway"], home)
    assert {
        "make an IPv4 UDP socket",
        "make a netlink socket",
        "make a socket of any other family",
        "open a socket of the host's by fast open, sendto",  # which Landlock does not stop
        "make a process",
        "be traced",
        "take shared memory by other calls",
    } <= opened
    # The namespaces hold on their own: nothing of the host's is there to be reached.
    assert (
        not {
            "connect by TCP to the host",
            "ask a resolver (DNS)",
            "connect to a Unix socket of the host's",
            "connect to an abstract Unix socket of the host's",
            "see files of the host's",
            "see other processes",
            "signal the supervisor",
            "become root",
            "mount a file system",
            "make a user namespace",
        }
        & opened
    )


def test_without_landlock_and_filter_the_socket_of_the_host_leads_out(
    profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "filter_before", lambda _: NOTHING_REFUSED)
    monkeypatch.setattr(launcher, "filter_after", lambda: NOTHING_REFUSED)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    opened = open_doors(profiles["gateway"], home)
    assert {
        "connect a socket of the host's",
        "connect an accepted stream elsewhere",
        "open an accepted stream elsewhere by TCP fast open",
        "execute a program",
    } <= opened


def test_without_namespaces_the_probes_see_the_host(
    profiles: dict[str, Profile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tuple(argument for argument in sandbox.FIXED if argument not in ("--unshare-all", "--clearenv"))
    monkeypatch.setattr(sandbox, "FIXED", tuple(a for a in shared if a not in ("--as-pid-1", "--hostname", "tenzij")))
    opened = open_doors(profiles["ledger"], home)
    assert {"see other processes", "share a namespace with the host", "share the host's name"} <= opened
