"""Serves on the listener that it is handed, with uvicorn, uvloop and httptools, as the gateway does."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
import uvloop

from tenzij.channels.control import Ready, receive_at_child, send


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = f"{asyncio.get_running_loop().__class__.__module__} {await asyncio.to_thread(sum, [1, 2])}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def main(control: socket.socket) -> int:
    received = receive_at_child(control)
    if received is None:
        return 1
    listener = socket.socket(fileno=received[1][0])
    server = uvicorn.Server(uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False))

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(control.fileno(), lambda: setattr(server, "should_exit", True))
        send(control, Ready({}))
        await server.serve([listener])
        loop.remove_reader(control.fileno())

    uvloop.run(serve())
    return 0
