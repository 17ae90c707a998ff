"""uvicorn, set up for the gateway: on a listener that was handed, with our protocol, and with nothing to say.

- No access log, no `Server` or `Date` header, no proxy headers believed, no WebSocket, no lifespan, no signal handlers.
- uvicorn's loggers are switched off whole: what it writes about a bad request or an exception may hold a prompt.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from typing_extensions import override

from tenzij.gateway.asgi import App
from tenzij.gateway.edge import Edge

LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class Server(uvicorn.Server):
    """Serves `app` until `stop`."""

    def __init__(self, app: App, on_started: Callable[[], None], edge: type[Edge] = Edge) -> None:
        super().__init__(_config(app, edge))
        self._on_started = on_started

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tells that connections are accepted."""
        await super().startup(sockets=sockets)
        self._on_started()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are: the process is told to stop over its control channel."""
        yield

    def stop(self) -> None:
        """Takes no new connections; `serve` returns when those that are busy are done."""
        self.should_exit = True

    def give_up(self) -> None:
        """`serve` returns without waiting any longer."""
        self.should_exit = True
        self.force_exit = True


def _config(app: App, edge: type[Edge]) -> uvicorn.Config:
    config = uvicorn.Config(
        _as_any(app),
        http=edge,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=3600,  # `Edge` has its own
        timeout_graceful_shutdown=None,
    )
    silence(LOGGERS)
    return config


def _as_any(app: App) -> Any:
    return app  # uvicorn's own ASGI types name the same thing in another way


def silence(names: tuple[str, ...]) -> None:
    """Switches loggers off: no handler, no propagation, nothing made into a record."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        logger.disabled = True
