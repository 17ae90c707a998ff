"""Waits for the end of its control channel, or, told to be deaf, forever."""

from __future__ import annotations

import signal
import socket


def main(control: socket.socket) -> int:
    if control.recv(100) == b"deaf":
        control.send(b"deaf")
        while True:
            signal.pause()
    return 0
