"""The ASGI application: a table of routes, and one place where whatever went wrong becomes an answer.

- An unknown path is 404, a known one with another method 405: both in the shape of OpenAI's errors.
- `HEAD` is answered where `GET` is. There is no CORS: a browser has no business here with a key.
- An exception that is not ours is a 500 that says nothing. It is not logged either: its text may hold a prompt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType

from tenzij.errors import TenzijError
from tenzij.gateway import health, listing
from tenzij.gateway.asgi import Receive, Scope, Send
from tenzij.gateway.chat_request import asked_from_chat
from tenzij.gateway.completion_request import asked_from_completion
from tenzij.gateway.embedding_request import asked_from_embedding
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.faults import INTERNAL, fault_from_error
from tenzij.gateway.journey import Parse, converse
from tenzij.gateway.refusals import ClientGone, MethodNotAllowed, UnknownRoute
from tenzij.gateway.state import Gateway

Handler = Callable[[Gateway, Exchange], Awaitable[None]]


def _conversing(parse: Parse) -> Handler:
    async def handler(gateway: Gateway, exchange: Exchange) -> None:
        await converse(gateway, exchange, parse)

    return handler


ROUTES: Mapping[str, tuple[str, Handler]] = MappingProxyType(
    {
        "/v1/chat/completions": ("POST", _conversing(asked_from_chat)),
        "/v1/completions": ("POST", _conversing(asked_from_completion)),
        "/v1/embeddings": ("POST", _conversing(asked_from_embedding)),
        "/v1/models": ("GET", listing.list_models),
        "/health/live": ("GET", health.live),
        "/health/ready": ("GET", health.ready),
    }
)
_ONE_MODEL = "/v1/models/"


class App:
    """The application around one gateway's state."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises only cancels."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await handler_for(exchange.method, exchange.path)(self._gateway, exchange)
        except ClientGone:
            return
        except TenzijError as error:
            await _fail(exchange, error)
        except Exception:  # noqa: BLE001 - what it is cannot be told: it may quote the request
            self._gateway.internal_errors += 1
            await _fail(exchange, None)


def handler_for(method: str, path: str) -> Handler:
    """Who serves this. Raises UnknownRoute or MethodNotAllowed."""
    if path in ROUTES:
        allowed, handler = ROUTES[path]
    elif path.startswith(_ONE_MODEL) and len(path) > len(_ONE_MODEL):
        allowed, handler = "GET", partial(listing.show_model, name=path.removeprefix(_ONE_MODEL))
    else:
        raise UnknownRoute(f"This path does not exist. There are: {', '.join(ROUTES)}.")
    if method != allowed and (method, allowed) != ("HEAD", "GET"):
        allow = "GET, HEAD" if allowed == "GET" else allowed
        raise MethodNotAllowed(f"This path takes {allow} alone. Send that.", allow=allow)
    return handler


async def _fail(exchange: Exchange, error: TenzijError | None) -> None:
    if not exchange.started:  # else the server cuts the connection: the answer is visibly not whole
        await exchange.fail(INTERNAL if error is None else fault_from_error(error))
