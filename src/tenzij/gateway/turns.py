"""Whose turn it is at a model's engine: as many requests at a time as it has slots; the others wait here, in order.

- Nothing queues inside an engine: it is silent about a request that waits there, and silence means that it is ill.
- Whoever waits leaves as soon as it is cut (its client hung up), and is refused after `wait_s`.
- Being full is never a reason to go elsewhere: wait, or 503 with `Retry-After`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenzij.errors import EngineError
from tenzij.types import ModelId


class ModelBusy(EngineError):
    """No slot of the model's engine came free in time."""

    status = 503
    code = "model_busy"


class Turns:
    """The turns at all engines. `slots` is how many requests each answers at the same time."""

    def __init__(self, slots: int, wait_s: float) -> None:
        self._free: defaultdict[ModelId, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(slots))
        self._wait_s = wait_s

    @asynccontextmanager
    async def at(self, model: ModelId) -> AsyncIterator[None]:
        """A turn at `model`'s engine, first come first served. Raises ModelBusy."""
        slot = self._free[model]
        try:
            async with asyncio.timeout(self._wait_s):
                await slot.acquire()
        except TimeoutError:
            raise ModelBusy(
                "This model is busy. Try again later.", param="model", retry_after_s=max(1, round(self._wait_s))
            ) from None
        try:
            yield
        finally:
            slot.release()
