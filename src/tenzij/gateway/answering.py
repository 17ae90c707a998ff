"""The work of one allowed request: the engine's turn, its answer relayed, and the client told when it fails.

- Everything here runs inside a leash, watched for the client's hang-up, from before the engine is awaited to the last
  byte (pitfalls 1 and 2).
- A failure is told once: as a status while nothing was sent, else as an error event that ends the stream without
  `[DONE]`. Nobody is told who hung up or does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tenzij.engines.protocol import Engine, Generation, Usage
from tenzij.gateway.answers import Label, Wording, frame
from tenzij.gateway.decided import Decided
from tenzij.gateway.embedding_answer import embedding_list
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.faults import Fault, fault_from_error
from tenzij.gateway.hangup import watching
from tenzij.gateway.leash import Cut, Leash, Reason
from tenzij.gateway.relay import Relay
from tenzij.gateway.state import Gateway
from tenzij.gateway.tally import Tally
from tenzij.identity.refusals import ExpiredKey, RevokedKey
from tenzij.policy.decision import Local
from tenzij.types import KeyId, RequestId

TELL_TIMEOUT_S = 2.0  # for telling a client of a failure: its not reading may be what failed
STOPPING_TELL_TIMEOUT_S = 0.2  # a stop has no time for clients that do not read

_NOBODY_LISTENS = frozenset({Reason.CLIENT_GONE, Reason.CLIENT_STALLED})

_CUT: dict[Reason, Fault] = {
    Reason.ENGINE_SILENT: Fault(504, "engine_silent", "The model fell silent. Try again."),
    Reason.TOO_LONG: Fault(504, "answer_timeout", "The answer took too long. Ask for a shorter one."),
    Reason.STOPPING: Fault(503, "stopping", "This service is stopping. Try again in a moment."),
    Reason.KEY_REVOKED: fault_from_error(RevokedKey()),
    Reason.KEY_EXPIRED: fault_from_error(ExpiredKey()),
}


class Answering:
    """One allowed request, from its turn to its last byte."""

    def __init__(self, gateway: Gateway, exchange: Exchange, decided: Decided, decision: Local, tally: Tally) -> None:
        self._gateway = gateway
        self._exchange = exchange
        self._decided = decided
        self._decision = decision
        self._tally = tally

    async def run(self) -> None:
        """Serves it; the tally then knows how it ended. Raises only a cancel from elsewhere."""
        try:
            async with self._leashed() as leash:
                engine = await self._gateway.engine(self._decision.model, self._decision.weights)
                async with self._gateway.turns.at(self._decision.model):
                    generation = self._decided.asked.generation
                    if generation is None:
                        await self._embed(engine)
                    else:
                        await self._generate(engine, generation, leash)
        except Exception as error:  # noqa: BLE001 - whatever it is: it has a code, is told, and none of its text is
            self._tally.end_by(error)
            await self._tell(error)

    @contextlib.asynccontextmanager
    async def _leashed(self) -> AsyncIterator[Leash]:
        settings = self._gateway.settings
        leash = Leash(settings.answer_timeout_s, settings.silence_timeout_s)
        self._gateway.take_up(leash, KeyId(self._decided.entry.actor))
        try:
            async with leash, watching(self._exchange, leash):
                yield leash
        finally:
            self._gateway.let_go(leash)

    async def _generate(self, engine: Engine, generation: Generation, leash: Leash) -> None:
        asked = self._decided.asked
        label = Label(
            RequestId(self._decided.entry.request),
            self._gateway.outside.now_ms() // 1000,
            self._decision.model,
            self._decision.weights,
        )
        with_logprobs = generation.logprobs is not None
        wording = Wording(asked.task, label, include_usage=asked.include_usage, with_logprobs=with_logprobs)
        relay = Relay(self._exchange, wording, self._decided.provenance, leash, self._tally)
        if asked.stream:
            await relay.stream(engine.generate(generation), include_usage=asked.include_usage)
        else:
            await relay.whole(engine.generate(generation))

    async def _embed(self, engine: Engine) -> None:
        asked = self._decided.asked
        embedding = await engine.embed(asked.inputs)
        self._tally.usage = Usage(embedding.prompt_tokens, 0)
        shown = embedding_list(embedding, self._decision.model, as_base64=asked.base64_vectors)
        await self._exchange.respond_bytes(200, shown, self._decided.provenance)
        self._tally.complete()

    async def _tell(self, error: Exception) -> None:
        reason = error.reason if isinstance(error, Cut) else None
        if reason in _NOBODY_LISTENS or self._exchange.finished:
            return
        fault = _CUT[reason] if reason is not None else fault_from_error(error)
        timeout_s = STOPPING_TELL_TIMEOUT_S if reason is Reason.STOPPING else TELL_TIMEOUT_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if self._exchange.started:
                    await self._exchange.end_stream(frame(fault.tree()))
                else:
                    await self._exchange.fail(fault, self._decided.provenance)
