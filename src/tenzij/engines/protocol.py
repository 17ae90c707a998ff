"""What the gateway says to an engine and hears from it, whatever the kind.

- A request holds only what was parsed and checked; an engine's adapter writes it anew.
- Events come in order: any number of Progress, then Text, then one Finish. Usage is the engine's last reported count.
- Errors are our own sentences: nothing that an engine said is passed on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenzij.types import Task


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat, its content one text."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A chat or completion to run. `messages` for Task.CHAT, `prompt` for Task.COMPLETION."""

    task: Task
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    max_tokens: int | None = None  # None: until the model stops or the context is full
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: int | None = None  # number of alternatives to report with each token; None: no logprobs
    response_format: Mapping[str, Any] | None = None  # OpenAI's object, checked
    extra: Mapping[str, Any] = field(default_factory=dict)  # nothing from a client; for adapters' tests


@dataclass(frozen=True, slots=True)
class Progress:
    """The prompt is being read: `done` of `total` tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, never empty.

    `logprobs` where asked for, in the shape that OpenAI has for chats, for completions as well:
    `{"content": [{"token", "logprob", "bytes", "top_logprobs": […]}, …]}`.
    """

    text: str
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The engine's count so far; replaces the one before. Sent with any frame that carries one."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is whole. `reason` is OpenAI's finish_reason: "stop" or "length"."""

    reason: str
    usage: Usage


Event = Progress | Text | Counted | Finish


@dataclass(frozen=True, slots=True)
class Embedding:
    """Vectors in the order of the inputs, and the tokens read."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int


class Engine(Protocol):
    """A model's engine as the gateway holds it: one for each worker, for the life of the process."""

    def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """Runs it. Closing the generator (`contextlib.aclosing`) or cancelling hangs up, which frees the engine.

        Raises EngineError (or a CallerError when the engine refuses what the caller asked: context too long, schema
        that it cannot follow).
        """
        ...

    async def embed(self, inputs: tuple[str, ...]) -> Embedding:
        """Embeds each input. Raises as `generate`."""
        ...

    async def close(self) -> None:
        """Closes the pooled connections."""
        ...
