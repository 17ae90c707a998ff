"""Work that must come to its end whatever happens to the task that awaits it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T], name: str) -> tuple[T, bool]:
    """The result of `work`, and whether a cancel came meanwhile, which the caller must then pass on.

    Raises what `work` raises. It has no timeout: `work` must have its own end.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})  # unlike `await task`, a cancel here leaves the task alone
        except asyncio.CancelledError:
            cancelled = True
    return task.result(), cancelled
