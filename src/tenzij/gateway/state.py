"""What the gateway process holds: the policy version, the keys, the ledger's client, the workers and their engines.

- One owner: the event loop's thread. Each part is replaced whole; a request takes what it needs once and keeps it.
- Closed on failure: without a current policy version and keyring, or without a ledger, nothing but `/health` answers.
- A key that a new keyring no longer takes loses its running answers as well. A keyring comes when keys change, so an
  expired key's answer may go on until then, and `answer_timeout_s` at most.
- One engine for each model for the life of the process: requests come and go, its connections stay.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tenzij import config
from tenzij.channels.control import WorkerState
from tenzij.engines.protocol import Engine
from tenzij.errors import EngineError, LedgerUnavailable, PlatformError, PolicyUnavailable
from tenzij.gateway.leash import Cut, Leash, Reason
from tenzij.gateway.standing import Standing, standing
from tenzij.gateway.turns import Turns
from tenzij.identity.keys import Keyring
from tenzij.identity.refusals import ExpiredKey, KeyRefused
from tenzij.ledger.entries import DecisionEntry, OutcomeEntry
from tenzij.policy.snapshot import Snapshot
from tenzij.types import KeyId, ModelId, Sha256, Verification


class ModelNotReady(EngineError):
    """The model's worker did not become ready in time."""

    status = 503
    code = "model_not_ready"


class WeightsMismatch(EngineError):
    """What runs is not what the policy admitted."""

    status = 503
    code = "weights_mismatch"


class Stopping(PlatformError):
    """The process takes no new requests."""

    code = "stopping"


class DecisionLog(Protocol):
    """The ledger, as requests need it."""

    @property
    def is_ready(self) -> bool:
        """Whether it can record now."""
        ...

    async def record_decision(self, entry: DecisionEntry, key: bytes = b"") -> int:
        """Its index, once durable; `key` is that of its commitment. Raises LedgerUnavailable or EntryTooLarge."""
        ...

    async def record_outcome(self, entry: OutcomeEntry, key: bytes = b"") -> int:
        """Returns once durable, however long that takes."""
        ...


class PolicySource(Protocol):
    """The register's feed, as requests need it."""

    def is_current(self, within_s: float) -> bool:
        """Whether it gave a sign of life within that time, and a policy version and keyring before."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What is not decided by values: the time and randomness. Tests give their own."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random_bytes: Callable[[int], bytes] = os.urandom


class Gateway:
    """The process's state. Made inside the running loop."""

    def __init__(
        self,
        settings: config.Gateway,
        log: DecisionLog,
        policy: PolicySource,
        engine_for_model: Callable[[ModelId], Engine],
        outside: Outside | None = None,
        slots: int = 4,
    ) -> None:
        self.settings = settings
        self.turns = Turns(slots, settings.engine_wait_s)
        self.log = log
        self.outside = outside or Outside()
        self.snapshot: Snapshot | None = None
        self.keyring: Keyring | None = None
        self.stopping = False
        self.unauthenticated: Counter[str] = Counter()  # by code; counted, never logged one by one
        self.internal_errors = 0  # exceptions that are not ours
        self.in_flight: dict[Leash, KeyId] = {}  # with the key whose request it is
        self._policy = policy
        self._engine_for_model = engine_for_model
        self._engines: dict[ModelId, Engine] = {}
        self._workers: dict[ModelId, WorkerState] = {}
        self._changed = asyncio.Event()

    def verify_running(self) -> None:
        """Raises Stopping when the process is about to end."""
        if self.stopping:
            raise Stopping("This service is stopping. Try again in a moment.", retry_after_s=5)

    def open_policy(self) -> tuple[Snapshot, Keyring]:
        """The policy version and keyring to decide by. Raises PolicyUnavailable."""
        snapshot, keyring = self.snapshot, self.keyring
        if snapshot is None or keyring is None or not self._policy.is_current(self.settings.policy_stale_after_s):
            raise PolicyUnavailable(
                "There is no current policy version, so everything is refused. Try again in a minute.", retry_after_s=5
            )
        return snapshot, keyring

    def replace_keyring(self, keyring: Keyring) -> None:
        """From here on `keyring` counts, also for what is in flight: each that is cut still gets its outcome."""
        self.keyring = keyring
        for leash, key in list(self.in_flight.items()):
            if (reason := self._end_of(key)) is not None:
                leash.pull(reason)

    def take_up(self, leash: Leash, key: KeyId) -> None:
        """Puts a request of `key` in flight. Raises Cut if the key ended while the decision was recorded."""
        if (reason := self._end_of(key)) is not None:
            raise Cut(reason)
        self.in_flight[leash] = key

    def let_go(self, leash: Leash) -> None:
        """The request is no longer in flight."""
        self.in_flight.pop(leash, None)

    def _end_of(self, key: KeyId) -> Reason | None:
        try:
            if self.keyring is not None:
                self.keyring.verify_valid(key, self.outside.now_ms())
        except ExpiredKey:
            return Reason.KEY_EXPIRED
        except KeyRefused:  # revoked, or gone
            return Reason.KEY_REVOKED
        return None

    def verify_ledger(self) -> None:
        """Raises LedgerUnavailable unless the ledger can record."""
        if not self.log.is_ready:
            raise LedgerUnavailable(
                "The ledger cannot record now, so nothing may happen. Try again in a minute.", retry_after_s=5
            )

    def update_workers(self, workers: list[WorkerState]) -> None:
        """Takes over the state of all workers; whoever waits for one looks again."""
        self._workers = {worker.model: worker for worker in workers}
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def standing_of(self, model: ModelId, weights: Sha256) -> Standing:
        """Whether the model's worker can take a request now."""
        return standing(self._workers.get(model), weights)

    def verification_of(self, model: ModelId) -> Verification | None:
        """How the weights that the model's worker has loaded were verified; None when not known."""
        worker = self._workers.get(model)
        return None if worker is None else worker.verification

    async def engine(self, model: ModelId, weights: Sha256) -> Engine:
        """The engine of `model`, once its worker is ready with `weights`; waits `engine_wait_s` at most.

        Raises ModelNotReady or WeightsMismatch.
        """
        try:
            async with asyncio.timeout(self.settings.engine_wait_s):
                while (found := self.standing_of(model, weights)) is Standing.COMING:
                    await self._changed.wait()
        except TimeoutError:
            found = Standing.ABSENT
        if found is Standing.OTHER_WEIGHTS:
            raise WeightsMismatch(
                "This model runs with weights that the policy did not admit, so it is not used. "
                "Tell who runs this machine.",
                param="model",
                retry_after_s=60,
            )
        if found is not Standing.READY:
            raise ModelNotReady(
                "This model is not ready. Try again later.",
                param="model",
                retry_after_s=max(1, round(self.settings.engine_wait_s)),
            )
        if model not in self._engines:
            self._engines[model] = self._engine_for_model(model)
        return self._engines[model]

    def not_ready_reasons(self) -> list[str]:
        """Codes of what is missing for answering requests; empty when ready."""
        reasons = ["stopping"] if self.stopping else []
        try:
            snapshot, _ = self.open_policy()
        except PolicyUnavailable:
            return [*reasons, "policy", *([] if self.log.is_ready else ["ledger"])]
        if not self.log.is_ready:
            reasons.append("ledger")
        if not any(self.standing_of(m.id, m.weights) is Standing.READY for m in snapshot.models.values()):
            reasons.append("models")
        return reasons

    def cut_all(self, reason: Reason) -> None:
        """Ends what is in flight; each still gets its outcome."""
        for leash in list(self.in_flight):
            leash.pull(reason)

    async def close(self) -> None:
        """Closes the engines' connections."""
        for engine in self._engines.values():
            await engine.close()
