"""The ledger as a real process, with the test in the supervisor's place."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ledger.running import until
from tenzij.channels.control import Accept, Failed, Ready, Start, Stop, receive_at_supervisor, send

_PROGRAM = """
import socket, sys
from tenzij.ledger.process import main
sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
"""


class Child:
    """One life of the process. Its control channel is the only descriptor that it inherits."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )

    def start(self, folder: Path, **changes: Any) -> Ready | Failed:
        """Sends `Start`; what the process answers."""
        config = {"folder": str(folder), "organisation": "gemeente-voorbeeld", "node": "node-1", **changes}
        send(self.control, Start(config))
        received = receive_at_supervisor(self.control)
        assert received is not None
        message, descriptors = received
        assert isinstance(message, (Ready, Failed)) and not descriptors
        return message

    async def connect(self, role: str = "gateway") -> socket.socket:
        """A connection to it, as the supervisor hands it to whoever asked."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                send(self.control, Accept(role), [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def stop(self, drain_s: float = 5.0) -> None:
        """Asks for an orderly end."""
        send(self.control, Stop(drain_s))

    async def ended(self) -> int:
        """Its exit status."""
        await until(lambda: self.process.poll() is not None, 20)
        return self.process.returncode

    async def output(self) -> bytes:
        """All that it wrote to stdout and stderr, once it has ended."""
        out, _ = await asyncio.to_thread(self.process.communicate, timeout=20)
        return out

    def clear(self) -> None:
        """Leaves nothing behind."""
        self.control.close()
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait(20)
