"""HTTP over sockets that are handed, not made: this process may not connect to anything itself.

- `connect()` gives a connected, non-blocking stream socket, from the supervisor; it may raise `Refusal` or OSError.
- One connection for each request. llama.cpp closes a connection after a stream without saying that it will, so one that
  is used again fails at times; and a connection that carries one request cannot mix up two callers.
- No limit on connections (aiohttp's usual 100 would queue requests unseen): who may ask at the same time is decided
  before.
- No proxy, cookie, redirect, compression or header of a client: see `session_over`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from typing_extensions import override

from tenzij.channels.control import Refusal

Connect = Callable[[], Awaitable[socket.socket]]


class HandedConnector(aiohttp.BaseConnector):
    """Connections over the sockets that `connect` gives, whatever the address."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(force_close=True, limit=0)
        self._connect_peer = connect

    @override
    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        try:
            sock = await self._connect_peer()
        except (Refusal, OSError) as error:
            raise aiohttp.ClientConnectionError from error
        try:
            _, protocol = await self._loop.create_connection(self._factory, sock=sock)
        except BaseException:
            sock.close()
            raise
        return protocol


def session_over(connect: Connect) -> aiohttp.ClientSession:
    """A session for the life of the process, over connections from `connect`. Made inside the running loop."""
    return aiohttp.ClientSession(
        "http://engine",
        connector=HandedConnector(connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        trust_env=False,
        raise_for_status=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )
