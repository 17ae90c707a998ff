"""The workers that run now, held against the models that the register names.

Rules
- A model that is named gets a worker; one that is no longer named, or whose record changed, loses its worker. The new
  one of a changed record starts when the old one is gone.
- When the register names its models again, workers that were given up are tried again: the operator may have mended it.
- Each worker has a slot of its own, and so a user id of its own, until its process is gone.
- Only whose process is ready is connected to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from tenzij.channels.control import Models, ModelSpec, Refusal, Workers, WorkerState
from tenzij.supervisor.child import Child
from tenzij.supervisor.confinement.profiles import MOST_WORKERS
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.timing import StopPlan, plan_within
from tenzij.supervisor.worker_role import WorkerRole
from tenzij.types import ModelId

MOST_REASON: Final = 200  # so that all workers' states fit in one control message

_SHOWN: Final = {State.FAILING: State.BACKOFF, State.STOPPING: State.STOPPED}


Adopt = Callable[[WorkerRole], tuple[Child, asyncio.Task[None]]]


class WorkerSet:
    """All workers. `role_for` gives a model's role in a slot, `adopt` a child with its running task."""

    def __init__(
        self,
        role_for: Callable[[ModelSpec, int], WorkerRole],
        adopt: Adopt,
        changed: Callable[[], None],
        stop_timeout_s: float,
    ) -> None:
        self._role_for = role_for
        self._adopt = adopt
        self._changed = changed
        self._plan = plan_within(stop_timeout_s)
        self._wanted: dict[ModelId, ModelSpec] = {}
        self._running: dict[ModelId, tuple[Child, WorkerRole]] = {}
        self._stopping = False

    def want(self, models: Models) -> None:
        """Makes it so that these models, and no others, have a worker."""
        self._wanted = {spec.model: spec for spec in models.models}
        for child, role in self._running.values():
            if self._wanted.get(role.spec.model) != role.spec:
                child.stop(self._plan)
            elif child.state is State.GIVEN_UP:
                child.start()
        self._start_missing()
        self._changed()

    def states(self) -> Workers:
        """What the gateway may know."""
        return Workers([self._state(model) for model in sorted({*self._wanted, *self._running})])

    def connection(self, model: str) -> socket.socket:
        """A stream to the model's worker. Raises Refusal."""
        found = self._running.get(ModelId(model))
        if found is None:
            raise Refusal("there is no such worker")
        child, role = found
        if child.state is not State.READY:
            raise Refusal("the worker is not ready")
        return role.connection()

    def stop(self, plan: StopPlan) -> None:
        """Stops all; none is started any more."""
        self._stopping = True
        for child in self.children():
            child.stop(plan)

    def children(self) -> Iterable[Child]:
        """Those that run, or are on their way down."""
        return [child for child, _ in self._running.values()]

    def _start_missing(self) -> None:
        for model, spec in self._wanted.items():
            slot = self._free_slot()
            if self._stopping or model in self._running or slot is None:
                continue
            role = self._role_for(spec, slot)
            child, task = self._adopt(role)
            self._running[model] = (child, role)
            task.add_done_callback(partial(self._gone, model))
            child.start()

    def _gone(self, model: ModelId, _: asyncio.Task[None]) -> None:
        del self._running[model]
        if not self._stopping:
            self._start_missing()
            self._changed()

    def _free_slot(self) -> int | None:
        taken = {role.slot for _, role in self._running.values()}
        return next((slot for slot in range(MOST_WORKERS) if slot not in taken), None)

    def _state(self, model: ModelId) -> WorkerState:
        found = self._running.get(model)
        if found is None:
            return WorkerState(model, State.GIVEN_UP, f"at most {MOST_WORKERS} workers can run at the same time")
        child, role = found
        state = _SHOWN.get(child.state, child.state)
        return WorkerState(model, state, child.reason[:MOST_REASON], role.weights, role.verification)
