"""What goes back to a client: OpenAI's objects and stream frames, as bytes. Pure.

- A frame is `data: <JSON>` and a blank line; frames of one answer share their head, encoded once.
- The first frame of a chat carries the role, the last one before usage the reason why the answer ended. With
  `include_usage` each frame has `usage: null` but the last, which has no choices.
- Cached-token counts, timings and whatever else an engine tells stay here: an answer says nothing about another caller.
- Where the model runs and its weights' hash are in the headers; `system_fingerprint` repeats the hash's beginning.

OpenAI API reference, "The chat completion chunk object", "The completion object".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tenzij.engines.protocol import Usage
from tenzij.gateway import logprobs
from tenzij.types import ModelId, RequestId, Sha256, Task

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode

Logprobs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """What every object of one answer repeats."""

    request: RequestId
    created_s: int  # seconds since 1970, UTC
    model: ModelId
    weights: Sha256


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that is complete."""

    text: str
    reason: str
    usage: Usage
    logprobs: Sequence[Logprobs] = ()


class Wording:
    """Writes one answer in the shape that its task has: chat or text completion."""

    def __init__(self, task: Task, label: Label, *, include_usage: bool = False, with_logprobs: bool = False) -> None:
        self._chat = task is Task.CHAT
        self._label = label
        self._usage_field = {"usage": None} if include_usage else {}
        self._with_logprobs = with_logprobs
        self._offset = 0

    def whole(self, answer: Whole) -> bytes:
        """The one object of an answer that is not streamed."""
        shown = self._logprobs(answer.logprobs)
        choice: dict[str, Any] = {"index": 0, "logprobs": shown, "finish_reason": answer.reason}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": answer.text, "refusal": None}
        else:
            choice["text"] = answer.text
        kind = "chat.completion" if self._chat else "text_completion"
        return _encode(self._head(kind) | {"choices": [choice], "usage": _usage(answer.usage)})

    def opening(self) -> bytes:
        """The frame before any text; empty for a text completion, which has none."""
        return self._frame({"role": "assistant", "content": "", "refusal": None}) if self._chat else b""

    def piece(self, text: str, piece_logprobs: Logprobs | None) -> bytes:
        """The frame for one piece of text."""
        shown = self._logprobs([] if piece_logprobs is None else [piece_logprobs])
        self._offset += len(text)
        return self._frame({"content": text} if self._chat else text, shown)

    def ending(self, reason: str) -> bytes:
        """The frame that says why the answer ended."""
        return self._frame({} if self._chat else "", None, reason)

    def usage(self, usage: Usage) -> bytes:
        """The frame with the tokens used, for who asked it."""
        return frame(self._head(self._chunk_kind) | {"choices": [], "usage": _usage(usage)})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _head(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl-" if self._chat else "cmpl-"
        return {
            "id": prefix + self._label.request,
            "object": kind,
            "created": self._label.created_s,
            "model": self._label.model,
            "system_fingerprint": "sha256-" + self._label.weights[:16],
        }

    def _frame(self, content: object, shown: object = None, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta" if self._chat else "text": content, "logprobs": shown, "finish_reason": reason}
        return frame(self._head(self._chunk_kind) | {"choices": [choice]} | self._usage_field)

    def _logprobs(self, pieces: Sequence[Logprobs]) -> dict[str, Any] | None:
        if not self._with_logprobs:
            return None
        return logprobs.chat_shape(pieces) if self._chat else logprobs.completion_shape(pieces, self._offset)


def frame(tree: object) -> bytes:
    """One server-sent event with `tree` as its JSON."""
    return b"data: " + _encode(tree) + b"\n\n"


def _usage(usage: Usage) -> dict[str, int]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }
