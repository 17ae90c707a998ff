"""Asking an engine in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.protocol import Event, Finish, Generation, Message, Text
from tenzij.testing.worker_process import WorkerProcess
from tenzij.types import Task


def chat(text: str, **fields: Any) -> Generation:
    """A chat of one message."""
    return Generation(Task.CHAT, (Message("user", text),), **{"max_tokens": 16, **fields})


def completion(text: str, **fields: Any) -> Generation:
    """A text to complete."""
    return Generation(Task.COMPLETION, prompt=text, **{"max_tokens": 16, **fields})


def schema_format(schema: object) -> dict[str, Any]:
    """OpenAI's `response_format` for a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@asynccontextmanager
async def connected(worker: WorkerProcess) -> AsyncIterator[LlamaCpp]:
    """The adapter over a worker, closed afterwards."""
    engine = LlamaCpp(worker.connect)
    try:
        yield engine
    finally:
        await engine.close()


async def events_of(engine: LlamaCpp, generation: Generation) -> list[Event]:
    """All events of one answer."""
    async with aclosing(engine.generate(generation)) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    """The answer."""
    return "".join(event.text for event in events if isinstance(event, Text))


def finish_of(events: list[Event]) -> Finish:
    """The last event, which must be a finish."""
    last = events[-1]
    if not isinstance(last, Finish):
        raise TypeError(f"the last event is {last}")
    return last
