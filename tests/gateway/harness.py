"""A gateway with everything around it played by the test: engine, ledger, register, time, and an ASGI client."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tenzij import config
from tenzij.channels.control import WorkerState
from tenzij.engines.protocol import Embedding, Event, Finish, Generation, Progress, Text, Usage
from tenzij.errors import LedgerUnavailable
from tenzij.gateway.app import App
from tenzij.gateway.asgi import Message, Scope
from tenzij.gateway.state import Gateway, Outside
from tenzij.identity.keys import KeyRecord, Keyring, digest_of, key_from_random
from tenzij.ledger.entries import DecisionEntry, OutcomeEntry, bytes_from_entry
from tenzij.policy.snapshot import Model, Snapshot, UseCase
from tenzij.types import (
    Capability,
    KeyId,
    Level,
    Location,
    ModelId,
    PersonalData,
    Sha256,
    Task,
    UseCaseId,
    Verification,
)

NOW_MS = 1_790_000_000_000
PEPPER = b"p" * 32
MODEL = ModelId("smol")
WEIGHTS = Sha256("ab" * 32)
POLICY = Sha256("cd" * 32)
USE_CASE = UseCaseId("verkenning")


def key_numbered(number: int) -> str:
    return key_from_random(bytes([number]) * 32)


KEY, LOOPBACK_KEY, EXPIRED_KEY, REVOKED_KEY, BROAD_KEY, STRANGER = (key_numbered(number) for number in range(6))


def record(number: int, name: str, **changes: Any) -> KeyRecord:
    given: dict[str, Any] = {
        "id": KeyId(f"k_{name}"),
        "digest": digest_of(key_numbered(number), PEPPER),
        "owner": f"o_{name}",
        "use_cases": (USE_CASE,),
        "expires_ms": NOW_MS + 86_400_000,
        "loopback_only": False,
        "revoked": False,
    }
    return KeyRecord(**(given | changes))


KEYRING = Keyring(
    PEPPER,
    [
        record(0, "gewoon"),
        record(1, "lokaal", loopback_only=True),
        record(2, "verlopen", expires_ms=NOW_MS),
        record(3, "ingetrokken", revoked=True),
        record(4, "breed", use_cases=(USE_CASE, UseCaseId("zaken"))),
    ],
)


def model(name: str = MODEL, **changes: Any) -> Model:
    given: dict[str, Any] = {
        "id": ModelId(name),
        "weights": WEIGHTS,
        "location": Location.OWN,
        "tasks": frozenset({Task.CHAT, Task.COMPLETION}),
        "capabilities": frozenset({Capability.STRUCTURED}),
        "context_tokens": 2048,
        "licence": "Apache-2.0",
    }
    return Model(**(given | changes))


def use_case(name: str = USE_CASE, **changes: Any) -> UseCase:
    given: dict[str, Any] = {
        "id": UseCaseId(name),
        "active": True,
        "floor": Level.OPEN,
        "ceiling": Level.INTERNAL,
        "personal_data": frozenset({PersonalData.UNKNOWN}),
        "refuse_findings": False,
        "models": (MODEL, ModelId("vectors")),
    }
    return UseCase(**(given | changes))


def snapshot(models: Sequence[Model] | None = None, use_cases: Sequence[UseCase] | None = None) -> Snapshot:
    models = models or (model(), model("vectors", tasks=frozenset({Task.EMBEDDING})), model("hidden"))
    use_cases = use_cases or (use_case(), use_case("zaken", models=(ModelId("hidden"),)))
    return Snapshot(
        hash=POLICY,
        rules="1",
        made_ms=NOW_MS,
        use_cases=MappingProxyType({each.id: each for each in use_cases}),
        models=MappingProxyType({each.id: each for each in models}),
    )


class Log:
    """A ledger that keeps what it is given, checked as the real one checks it."""

    def __init__(self) -> None:
        self.is_ready = True
        self.decisions: list[DecisionEntry] = []
        self.outcomes: list[OutcomeEntry] = []
        self.gate = asyncio.Event()  # decisions wait for it
        self.gate.set()
        self.outcome_gate = asyncio.Event()
        self.outcome_gate.set()
        self.asked = asyncio.Event()

    async def record_decision(self, entry: DecisionEntry, key: bytes = b"") -> int:
        bytes_from_entry(entry)
        self.asked.set()
        async with asyncio.timeout(5):
            await self.gate.wait()
        if not self.is_ready:
            raise LedgerUnavailable("The ledger cannot record now.", retry_after_s=2)
        self.decisions.append(entry)
        return len(self.decisions) + len(self.outcomes) - 1

    async def record_outcome(self, entry: OutcomeEntry, key: bytes = b"") -> int:
        bytes_from_entry(entry)
        async with asyncio.timeout(5):
            await self.outcome_gate.wait()
        self.outcomes.append(entry)
        return len(self.decisions) + len(self.outcomes) - 1

    @property
    def entries(self) -> list[DecisionEntry | OutcomeEntry]:
        """Everything that was recorded."""
        return [*self.decisions, *self.outcomes]

    @property
    def outcome(self) -> tuple[str, str | None]:
        """Result and reason of the only outcome, which belongs to the only allowed decision."""
        (decision,) = [entry for entry in self.decisions if entry.is_allowed]
        (outcome,) = self.outcomes
        if outcome.request != decision.request:
            raise AssertionError("the outcome of another request")
        return outcome.result, outcome.reason


class Policy:
    """A feed that is as fresh as the test says."""

    def __init__(self) -> None:
        self.fresh = True

    def is_current(self, within_s: float) -> bool:
        return self.fresh


@dataclass
class Wait:
    """A step of a script: the engine says nothing until the test lets it go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


Step = Event | Wait | Exception
ANSWER: tuple[Step, ...] = (Progress(5, 5), Text("Hal"), Text("lo"), Finish("stop", Usage(5, 2)))


class ScriptedEngine:
    """Says what the test wrote, and knows how often it was begun and let go."""

    def __init__(self, steps: Sequence[Step] = ANSWER) -> None:
        self.steps: Sequence[Step] = steps
        self.generations: list[Generation] = []
        self.embedded: list[tuple[str, ...]] = []
        self.running = 0
        self._held: list[AsyncGenerator[Event, None]] = []
        self.freed = asyncio.Event()
        self.on_begin: Callable[[], None] = lambda: None

    def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        generator = self._generate(generation)
        self._held.append(generator)  # so that only closing frees it, not its being forgotten
        return generator

    async def _generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        self.on_begin()
        self.generations.append(generation)
        self.running += 1
        try:
            for step in self.steps:
                if isinstance(step, Wait):
                    step.reached.set()
                    await step.go.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.running -= 1
            self.freed.set()

    async def embed(self, inputs: tuple[str, ...]) -> Embedding:
        self.on_begin()
        self.embedded.append(inputs)
        self.running += 1
        try:
            for step in self.steps:
                if isinstance(step, Wait):
                    step.reached.set()
                    await step.go.wait()
                elif isinstance(step, Exception):
                    raise step
        finally:
            self.running -= 1
            self.freed.set()
        return Embedding(tuple((0.5, -1.0) for _ in inputs), 3 * len(inputs))

    async def close(self) -> None:
        pass


class World:
    """One gateway and its surroundings. Made inside the running loop."""

    def __init__(self, steps: Sequence[Step] = ANSWER, **settings: Any) -> None:
        self.log = Log()
        self.policy = Policy()
        self.engine = ScriptedEngine(steps)
        self.now_ms = NOW_MS
        numbers = itertools.count(1)
        outside = Outside(lambda: self.now_ms, lambda size: next(numbers).to_bytes(size, "big"))
        self.gateway = Gateway(
            config.Gateway(**({"engine_wait_s": 0.2} | settings)),
            self.log,
            self.policy,
            lambda _: self.engine,
            outside,
        )
        self.gateway.snapshot = snapshot()
        self.gateway.keyring = KEYRING
        self.workers("ready")
        self.app = App(self.gateway)

    def workers(self, state: str, weights: Sha256 | None = WEIGHTS) -> None:
        names = (MODEL, ModelId("vectors"))
        self.gateway.update_workers([WorkerState(name, state, "", weights, Verification.HASHED) for name in names])

    def asks(self, **changes: Any) -> Asking:
        return Asking(self, **changes)

    async def chat(self, **fields: Any) -> Response:
        return await self.asks(tree=chat(**fields)).response()


def chat(**fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Dag"}]}
    return {name: value for name, value in (given | fields).items() if value is not ...}


@dataclass(frozen=True)
class Response:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pieces: tuple[bytes, ...]  # one for each send

    @property
    def tree(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error = self.tree["error"]
        if not isinstance(error, dict):
            raise AssertionError("no error object")
        return error

    @property
    def events(self) -> list[Any]:
        """The stream's events, each whole, in order; "[DONE]" as it is."""
        *events, rest = self.body.decode().split("\n\n")
        if rest:
            raise AssertionError("the stream does not end in a blank line")
        data = [event.removeprefix("data: ") for event in events]
        return [each if each == "[DONE]" else json.loads(each) for each in data]


class Asking:
    """One request over plain ASGI, in a task of its own, with a client that can hang up and refuse to read."""

    def __init__(
        self,
        world: World,
        path: str = "/v1/chat/completions",
        *,
        method: str = "POST",
        tree: Any = ...,
        body: bytes | Sequence[bytes] | None = None,
        key: str | None = KEY,
        headers: Sequence[tuple[str, str]] = (),
        host: str = "127.0.0.1",
        stalled_body: bool = False,
        reads_until: int | None = None,
    ) -> None:
        if body is None:
            body = b"" if method == "GET" else json.dumps(chat() if tree is ... else tree).encode()
        self._parts = [body] if isinstance(body, bytes) else list(body)
        self._stalled_body = stalled_body
        self._reads_until = reads_until  # after so many messages it reads no more
        shown = [*headers, *([("Authorization", f"Bearer {key}")] if key else [])]
        self._scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in shown],
            "client": (host, 40000),
        }
        self.hung_up = asyncio.Event()
        self.reads = asyncio.Event()  # cleared: `send` blocks, as with a full buffer
        self.reads.set()
        self.sent: list[Message] = []
        self.finished = asyncio.Event()
        self.got = asyncio.Condition()
        self.task = asyncio.get_running_loop().create_task(self._run(world.app))

    async def _run(self, app: App) -> None:
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._parts:
            body = self._parts.pop(0)
            more = bool(self._parts) or self._stalled_body
            return {"type": "http.request", "body": body, "more_body": more}
        waiting = [asyncio.ensure_future(event.wait()) for event in (self.hung_up, self.finished)]  # noqa: TID251
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self.hung_up.is_set():
            await self.reads.wait()
        self.sent.append(message)
        if len(self.sent) == self._reads_until:
            self.reads.clear()
        async with self.got:
            self.got.notify_all()
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.finished.set()

    async def response(self) -> Response:
        """The response, once the application is done with the request."""
        async with asyncio.timeout(5):
            await self.task
        return self.so_far()

    async def until_sent(self, count: int) -> None:
        async with asyncio.timeout(5), self.got:
            await self.got.wait_for(lambda: len(self.sent) >= count)

    def so_far(self) -> Response:
        start, *rest = self.sent
        pieces = tuple(message["body"] for message in rest)
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Response(start["status"], headers, b"".join(pieces), pieces)


async def soon(event: asyncio.Event, within_s: float = 1.0) -> None:
    """Waits for `event`, and fails when it takes longer."""
    async with asyncio.timeout(within_s):
        await event.wait()


async def eventually(condition: Callable[[], object], within_s: float = 1.0) -> None:
    """Lets everything run until `condition` holds, and fails when that takes longer."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event of its own
            await asyncio.sleep(0.001)
