"""Notices that the client hung up, at any moment, also while nothing is being sent to it.

The server tells it only to who asks (`receive`), so a task asks for as long as the request runs. Its owner is the scope
that started it: it ends there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tenzij.gateway.exchange import Exchange
from tenzij.gateway.leash import Leash, Reason


@contextlib.asynccontextmanager
async def watching(exchange: Exchange, leash: Leash) -> AsyncIterator[None]:
    """Pulls `leash` when the client hangs up. The body must have been read to its end."""
    watcher = asyncio.get_running_loop().create_task(_watch(exchange, leash), name="hang-up watch")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait({watcher})


async def _watch(exchange: Exchange, leash: Leash) -> None:
    with contextlib.suppress(Exception):  # a connection that cannot be listened to has no client either
        while (await exchange.receive())["type"] != "http.disconnect":
            pass
    if not exchange.finished:  # a server reports the end of an answer like a hang-up
        leash.pull(Reason.CLIENT_GONE)
