"""The program that a sandbox runs to be tested: tries probes and reports each on the control channel.

- `Start` brings {"surroundings": …, "probes": [name, …], "accepts": bool} and the descriptors of a TCP socket and of an
  accepted TCP stream, or, when it accepts, of a listener to accept one from.
- Before each probe goes {"trying": name}, after it {"probe": name, "held": bool, "detail": text}: a process that dies
  in between has shown what killed it. The end is {"done": true}.

It speaks the control channel's messages without its module, which is not of the standard library.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from tenzij.supervisor.confinement.probes.all import PROBES
from tenzij.supervisor.confinement.probes.probe import TIMEOUT_S, outcome, surroundings_from

MOST_BYTES = 128 * 1024


def main(control: socket.socket) -> int:
    """Tries what it is told to; 0 once all is reported."""
    payload, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, 4)
    if not payload:
        return 1
    told = json.loads(payload)["config"]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    loose, other = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    stream = _accepted(other) if told["accepts"] else other
    host = surroundings_from(told["surroundings"], loose=loose.dup, stream=stream.dup)
    by_name = {probe.name: probe for probe in PROBES}
    for name in told["probes"]:
        _say(control, {"trying": name})
        came = outcome(by_name[name], host)
        _say(control, {"probe": name, "held": came.held, "detail": came.detail})
    _say(control, {"done": True})
    return 0


def _accepted(listener: socket.socket) -> socket.socket:
    """As an event loop does it: it calls `listen` first, which must be let through without doing anything."""
    listener.settimeout(TIMEOUT_S)
    listener.listen()
    return listener.accept()[0]


def _say(control: socket.socket, facts: dict[str, Any]) -> None:
    control.send(json.dumps({"type": "ready", "facts": facts}).encode())
