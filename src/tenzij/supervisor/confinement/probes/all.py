"""All probes, by theme, in the order in which they are tried."""

from __future__ import annotations

from tenzij.supervisor.confinement.probes import files, handed, itself, needs, network, privileges, processes
from tenzij.supervisor.confinement.probes.probe import Probe

PROBES: tuple[Probe, ...] = tuple(
    probe for theme in (network, handed, files, processes, privileges, needs, itself) for probe in theme.THEME.probes
)


def probes_for(role: str, *, fatal: bool) -> list[Probe]:
    """Those that are tried in one process of this role; each fatal one is tried in a process of its own."""
    return [probe for probe in PROBES if probe.fatal is fatal and (not probe.roles or role in probe.roles)]
