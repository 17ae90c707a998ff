"""Reads a request's body: bounded in bytes and in time.

A body that announces itself too large is refused unread. A compressed one is refused: what it unpacks to has no bound.
"""

from __future__ import annotations

import asyncio

from tenzij.gateway.exchange import Exchange
from tenzij.gateway.refusals import BodyTimeout, BodyTooLarge, ClientGone, UnsupportedEncoding


async def read_body(exchange: Exchange, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises BodyTooLarge, BodyTimeout, UnsupportedEncoding, or ClientGone."""
    if (exchange.header("Content-Encoding") or "identity").lower() != "identity":
        raise UnsupportedEncoding("A compressed body is not taken. Send it without Content-Encoding.")
    announced = exchange.header("Content-Length") or ""
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > max_bytes):
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(exchange, max_bytes)
    except TimeoutError:
        raise BodyTimeout(f"The body did not arrive within {timeout_s:g} seconds.") from None


async def _read(exchange: Exchange, max_bytes: int) -> bytes:
    parts = bytearray()
    while True:
        message = await exchange.receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts += message.get("body", b"")
        if len(parts) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(parts)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body may be at most {max_bytes} bytes. Send less, or ask in parts.")
