"""The TCP listener for clients: bound here, before anything is confined, and handed to the gateway.

It lives as long as the platform, so that a gateway that is restarted misses no connection: they wait in its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import Final

from tenzij import config
from tenzij.errors import OperatorError

BACKLOG: Final = 1024
RETRIES: Final = 20
RETRY_PAUSE_S: Final = 0.05


class CannotListen(OperatorError):
    """The address cannot be had."""

    code = "cannot_listen"


class PortTaken(CannotListen):
    """Somebody else listens there."""


async def bound_soon(gateway: config.Gateway) -> socket.socket:
    """As `bound`, but a port that is taken may still come free: by the gateway of a platform killed a moment ago."""
    for _ in range(RETRIES):
        with contextlib.suppress(PortTaken):
            return bound(gateway)
        await asyncio.sleep(RETRY_PAUSE_S)
    return bound(gateway)


def bound(gateway: config.Gateway) -> socket.socket:
    """A listening socket on `gateway.host` and `gateway.port`. Raises CannotListen."""
    family, address = _resolved(gateway.host, gateway.port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # no wait for connections of the run before
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _cannot_listen(error, gateway) from None
    return sock


def address_of(sock: socket.socket) -> tuple[str, int]:
    """Host and port that it is bound to."""
    host, port = sock.getsockname()[:2]
    return str(host), int(port)


def _resolved(host: str, port: int) -> tuple[int, tuple[str, int] | tuple[str, int, int, int]]:
    """The first address that the system gives for `host`; for "localhost" IPv4 if there is one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotListen(f"gateway.host: no address is known for {host}; write the address itself") from None
    if host == "localhost":
        found.sort(key=lambda info: info[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # typeshed allows for families that cannot come here


def _cannot_listen(error: OSError, gateway: config.Gateway) -> CannotListen:
    where = f"port {gateway.port} on {gateway.host}"
    match error.errno:
        case errno.EADDRINUSE:
            return PortTaken(f"{where} is in use by another program: stop that one, or set gateway.port (0: any)")
        case errno.EACCES | errno.EPERM:
            return CannotListen(f"{where} may not be used by you: set gateway.port to one above 1023")
        case errno.EADDRNOTAVAIL:
            return CannotListen(f"gateway.host: {gateway.host} is not an address of this machine")
        case _:
            return CannotListen(f"{where} cannot be listened on: {error.strerror}")
