"""What is published, where the feeds look: one writer puts, any number of readers wait for the next.

A reader that is slow skips what came between: only the newest matters.
"""

from __future__ import annotations

import asyncio

from tenzij.register.register import Published


class Board:
    """Lives in one event loop."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._changed = asyncio.Event()

    @property
    def published(self) -> Published:
        """The newest."""
        return self._published

    def put(self, published: Published) -> None:
        """Replaces it; who waits wakes up."""
        self._published = published
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer(self, seen: Published, within_s: float) -> Published:
        """What is published now: at once if it is not `seen`, else after a change or `within_s` seconds."""
        if self._published is seen:
            changed = self._changed
            try:
                async with asyncio.timeout(within_s):
                    await changed.wait()
            except TimeoutError:
                pass
        return self._published
