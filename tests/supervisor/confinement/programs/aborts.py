"""Ends as an engine does that finds itself broken."""

from __future__ import annotations

import os
import socket


def main(control: socket.socket) -> int:
    os.abort()
