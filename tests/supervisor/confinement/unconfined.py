"""Tries every probe without a sandbox, each in a process of its own: a program, run by `test_probes.py`.

Reads the surroundings as JSON from standard input and writes {name: [held, detail]} to standard output. As root each
gets mount and host name namespaces of its own, so that what it may do leaves no trace on the machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys

from tenzij.supervisor.confinement import stage
from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.all import PROBES
from tenzij.supervisor.confinement.probes.bait import accepted_stream
from tenzij.supervisor.confinement.probes.probe import Probe, Surroundings, outcome, surroundings_from

CLONE_NEWUTS = 0x04000000


def loose() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def stream() -> socket.socket:
    accepted, client = accepted_stream()
    client.detach()  # stays open as long as this process
    return accepted


def tried(probe: Probe, host: Surroundings) -> list[object]:
    """In a child: some of them change the process that gets through, or end it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        if os.geteuid() == 0:
            stage.show([])
            system.libc("unshare", ctypes.c_int(CLONE_NEWUTS))
        came = outcome(probe, host)
        os.write(writing, json.dumps([came.held, came.detail]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return list(json.loads(said)) if said else [False, f"the process ended with status {status}"]


def main() -> None:
    host = surroundings_from(json.load(sys.stdin), loose=loose, stream=stream)
    json.dump({probe.name: tried(probe, host) for probe in PROBES}, sys.stdout)


if __name__ == "__main__":
    main()
