"""Who may be connected to whom, and the connecting: the supervisor makes every connection between its children.

Rules
- `MAY_REACH` is the whole table. What is not in it is refused.
- To a server (ledger, register) goes one end of a fresh pair, with the asker's kind as role; the asker gets the other.
  So a role cannot be forged, and one asker's stream is never another's.
- To a worker the supervisor connects itself and checks who listens there (`worker_socket.py`).
- Every ask is answered at once: with a connection, or with a sentence why not. Asking again is the asker's business.
- A server is not flooded: each asker has an allowance for each.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tenzij.channels.control import Accept, Connect, Connected, Refusal
from tenzij.supervisor.allowance import Allowance
from tenzij.supervisor.child import Child
from tenzij.supervisor.lifecycle import State

MAY_REACH: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "gateway": frozenset({"ledger", "register", "worker"}),
        "register": frozenset(),  # its own changes will be recorded in the ledger; not yet
        "ledger": frozenset(),
        "worker": frozenset(),
    }
)

SERVER_BURST: Final = 20  # connections that one asker gets to one server at once …
SERVER_PER_S: Final = 2.0  # … and then each second; each needs one, and a new one after a failure


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a child asks for. `model` is empty but for a worker."""

    kind: str
    model: str = ""


def target_for(asker: str, to: str) -> Target:
    """Whom a child of kind `asker` means by `to`. Raises Refusal unless it may reach that."""
    kind, colon, model = to.partition(":")
    if kind not in MAY_REACH.get(asker, frozenset()) or bool(colon) is not (kind == "worker"):
        raise Refusal(f"a {asker} may not reach that")
    return Target(kind, model)


class Broker:
    """Answers what children ask. `to_worker` gives a stream to a model's worker, or raises Refusal."""

    def __init__(self, servers: Mapping[str, Child], to_worker: Callable[[str], socket.socket]) -> None:
        self._servers = servers
        self._to_worker = to_worker
        self._loop = asyncio.get_running_loop()
        self._allowances: dict[tuple[str, str], Allowance] = {}

    def answer(self, asker: Child, ask: Connect) -> None:
        """Sends the asker its connection, or why it gets none."""
        try:
            target = target_for(asker.role.kind, ask.to)
            made = self._to_worker(target.model) if target.kind == "worker" else self._to_server(asker, target.kind)
        except Refusal as error:
            asker.send(Connected(ask.ask, error=str(error)))
        except OSError as error:  # e.g. no descriptors left
            asker.send(Connected(ask.ask, error=f"no connection can be made: {error.strerror}"))
        else:
            asker.send(Connected(ask.ask), [made.detach()])

    def _to_server(self, asker: Child, kind: str) -> socket.socket:
        server = self._servers[kind]
        if server.state is not State.READY:
            raise Refusal(f"the {kind} is not ready")
        allowance = self._allowances.setdefault(
            (asker.name, kind), Allowance(SERVER_BURST, SERVER_PER_S, self._loop.time())
        )
        if not allowance.take(self._loop.time()):
            raise Refusal(f"too many connections to the {kind} in a short time")
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        server.send(Accept(asker.role.kind), [theirs.detach()])
        return ours
