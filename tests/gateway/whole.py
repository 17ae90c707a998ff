"""The whole platform, confined, with the fake engine as its worker: for what only real processes can show."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import own
from gateway.harness import eventually
from gateway.served import Peer, connected, request
from tenzij import config
from tenzij.ledger.reader import read_entries
from tenzij.register.operator import OperatorClient
from tenzij.supervisor import operator_socket
from tenzij.supervisor.events import Event, Listening, Serving
from tenzij.supervisor.home import Home
from tenzij.supervisor.platform import Platform

CONTENT = b"GGUF and then some"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FAKE = {"worker": "tenzij.testing.fake_engine"}


def passport(model: str) -> dict[str, Any]:
    """One for any bytes."""
    return {
        "id": model,
        "name": "Fake",
        "licence": "EUPL-1.2",
        "source": "nowhere",
        "languages": ["en"],
        "tasks": ["chat", "completion"],
        "capabilities": [],
        "context_tokens": 2048,
        "chat_template": "none",
        "file": {"sha256": SHA256, "size_bytes": len(CONTENT), "format": "gguf"},
        "producer": {"name": "tenzij", "country": "NL"},
        "openness": {"weights": "open", "data": "open", "code": "open"},
    }


class Whole:
    """What a test sees of it."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.events: list[Event] = []
        self.model = ""
        self.key = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        (listening,) = [event for event in self.events if isinstance(event, Listening)]
        return listening.host, listening.port

    def pid(self, child: str) -> int:
        """The process of a child, by its module."""
        wanted = f"tenzij.{child}".encode()
        found = [pid for pid in own.started() if wanted in _command_line(pid)]
        return found[-1]  # the innermost: the others are its wrappings

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """All entries of a kind in the ledger's files."""
        return [entry for _, entry in read_entries(self.home.path / "ledger") if entry["soort"] == kind]

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Result and reason of each outcome; each decision has one."""
        decisions = [entry["verzoek"] for entry in self.entries("besluit") if entry["resultaat"] == "toegestaan"]
        outcomes = self.entries("uitkomst")
        if sorted(decisions) != sorted(outcome["verzoek"] for outcome in outcomes):
            raise AssertionError(f"{len(decisions)} decisions, {len(outcomes)} outcomes")
        return [(outcome["resultaat"], outcome["reden"]) for outcome in outcomes]

    def operate(self, verb: str, **arguments: object) -> Any:
        """The register's answer to an operator."""
        sock = operator_socket.connected(self.home)
        if sock is None:
            raise AssertionError("the platform does not run")
        with OperatorClient(sock) as operator:
            return operator.call(verb, **arguments)

    async def ready(self) -> None:
        """Returns when the gateway says so."""
        async with asyncio.timeout(30):
            while not await self._says_ready():  # noqa: ASYNC110 - it is another process that gets ready
                await asyncio.sleep(0.05)

    async def _says_ready(self) -> bool:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with connected(self.address) as peer:
                peer.writer.write(request(path="/health/ready", method="GET", key=None))
                return (await peer.response())[0] == 200
        return False

    @contextlib.asynccontextmanager
    async def asks(self, **fields: Any) -> AsyncIterator[Peer]:
        """A connection on which a chat request was sent."""
        tree = {"model": self.model, "messages": [{"role": "user", "content": "een twee drie vier"}]} | fields
        async with connected(self.address) as peer:
            peer.writer.write(request(tree, key=self.key, extra="Connection: close\r\n"))
            yield peer


@contextlib.asynccontextmanager
async def whole(home: Path, model: str, **supervisor: Any) -> AsyncIterator[tuple[Whole, Callable[[], None]]]:
    """A platform that is ready with `model` (see `testing.misbehaviour`); its second part stops it."""
    seen = Whole(home)
    settings = config.Config(
        gateway=config.Gateway(port=0), worker=config.Worker(slots=8), supervisor=config.Supervisor(**supervisor)
    )
    platform = Platform(settings, home, seen.events.append, FAKE)
    _place_weights(home)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(platform.run())
        try:
            await eventually(lambda: any(isinstance(event, Serving) for event in seen.events), 60)
            seen.model = model
            await asyncio.to_thread(seen.operate, "model_add", passport=passport(model))
            key = await asyncio.to_thread(
                seen.operate, "key_create", name="proef", use_cases=["verkenning"], days=1, loopback_only=True
            )
            seen.key = key["key"]
            await seen.ready()
            yield seen, lambda: platform.stop("the test says so")
        finally:
            if not running.done():
                platform.stop("the test is over")
            await asyncio.wait([running])


def _place_weights(home: Path) -> None:
    weights = home / "models" / f"{SHA256}.gguf"
    weights.parent.mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    weights.write_bytes(CONTENT)
    weights.chmod(0o644)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
