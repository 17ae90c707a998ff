"""What a fake engine answers: llama.cpp's frames, made from a request's body. Pure.

- A token is a word with the space after it.
- The answer is what `answer_for` gives: the caller's own script, JSON where a grammar is asked for, or an echo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

BATCH_TOKENS: Final = 64
VECTOR_LENGTH: Final = 8
DONE: Final = b"data: [DONE]\n\n"


def event(frame: Mapping[str, Any]) -> bytes:
    """One frame as a server-sent event."""
    return b"data: " + json.dumps(frame, ensure_ascii=False).encode() + b"\n\n"


def tokens_of(text: str) -> list[str]:
    """The words of a text, each with the space after it."""
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + ([words[-1]] if words[-1] else [])


def prompt_of(body: Mapping[str, Any]) -> str:
    """All text that was asked."""
    if "messages" in body:
        return " ".join(str(message.get("content")) for message in body["messages"])
    return str(body.get("prompt", ""))


def answer_for(body: Mapping[str, Any], script: Sequence[str] | None) -> list[str]:
    """The pieces of the answer, before `max_tokens`."""
    if script is not None:
        return list(script)
    if "grammar" in body:
        return ["{", "}"]
    last = body["messages"][-1]["content"] if body.get("messages") else body.get("prompt", "")
    return tokens_of(f"You said: {last}")


class FakeAnswer:
    """The frames of one answer."""

    def __init__(self, body: Mapping[str, Any], script: Sequence[str] | None, *, counted: bool = True) -> None:
        self._body = body
        self._counted = counted
        self._is_chat = "messages" in body
        self._prompt_tokens = len(tokens_of(prompt_of(body))) + 1
        pieces = answer_for(body, script)
        limit = body.get("max_tokens")
        self._pieces = pieces[:limit]
        self._reason = "length" if len(self._pieces) < len(pieces) else "stop"

    def prefill(self) -> Iterator[bytes]:
        """Progress over the prompt, a frame for each batch."""
        for done in (*range(0, self._prompt_tokens, BATCH_TOKENS), self._prompt_tokens):
            progress = {"total": self._prompt_tokens, "cache": 0, "processed": done, "time_ms": done}
            yield event(self._frame(done, 0, "", None) | {"prompt_progress": progress})

    def pieces(self) -> Iterator[bytes]:
        """The text, a frame for each piece."""
        for count, piece in enumerate(self._pieces, 1):
            yield event(self._frame(self._prompt_tokens, count, piece, None))

    def finish(self) -> bytes:
        """The reason."""
        return event(self._frame(self._prompt_tokens, len(self._pieces), "", self._reason))

    def usage(self) -> bytes:
        """The last count."""
        count = len(self._pieces)
        usage = {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": count,
            "total_tokens": self._prompt_tokens + count,
        }
        return event({"choices": [], "object": "chunk", "usage": usage, "timings": self._timings(count)})

    def _frame(self, prompt_n: int, predicted_n: int, text: str, reason: str | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
        if self._is_chat:
            choice["delta"] = {"content": text} if text else {}
        else:
            choice["text"] = text
        if text and self._body.get("logprobs"):
            token = {"id": 7, "token": text, "bytes": list(text.encode()), "logprob": -0.5}
            choice["logprobs"] = {"content": [{**token, "top_logprobs": [token]}]}
        frame = {"id": "chatcmpl-fake", "model": "/weights/fake.gguf", "created": 1, "choices": [choice]}
        return frame | {"timings": self._timings(predicted_n, prompt_n)} if self._counted else frame

    def _timings(self, predicted_n: int, prompt_n: int | None = None) -> dict[str, Any]:
        read = self._prompt_tokens if prompt_n is None else prompt_n
        return {"cache_n": 0, "prompt_n": read, "predicted_n": predicted_n, "predicted_ms": 1.5}


def embeddings_for(body: Mapping[str, Any]) -> bytes:
    """A vector for each input, always the same for the same text."""
    inputs = body["input"]
    vectors = [
        {"index": index, "embedding": [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:VECTOR_LENGTH]]}
        for index, text in enumerate(inputs)
    ]
    tokens = sum(len(tokens_of(text)) for text in inputs)
    return json.dumps({"data": vectors, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).encode()


def error_body(status: int, kind: str, message: str, **more: int) -> bytes:
    """An error as llama.cpp sends it."""
    return json.dumps({"error": {"code": status, "type": kind, "message": message, **more}}).encode()
