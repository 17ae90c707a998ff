"""Fails with a message that must not leave it."""

from __future__ import annotations

import socket

from tenzij.policy.snapshot_json import snapshot_from_bytes


def main(control: socket.socket) -> int:
    print("CANARY on standard output")
    try:
        snapshot_from_bytes(b'"CANARY"')
    except Exception as error:
        raise KeyError("CANARY in the message") from error
    return 0
