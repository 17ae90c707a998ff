"""llama.cpp's dialect of OpenAI's API: a generation -> the request's body, its frames -> our events. Pure.

Rules
- A body holds what is named here and nothing else. It always asks for a stream with progress and counts: llama.cpp
  notices a hang-up only when it has something to send.
- Frames are not tokens: one may hold none (a character that is not whole yet) or several. Usage is the last count.
- An answer is whole when its reason to finish, its usage and the end mark were seen. All else is a broken answer.
- Of a frame only text, counts, reason and log probabilities are read; ids, timings, fingerprints stay here.
- A prompt of no tokens means that the chat template failed on the messages: llama.cpp goes on without a prompt then.

The dialect is that of llama.cpp's `tools/server` in October 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tenzij.engines.faults import (
    BrokenAnswer,
    ContextTooLong,
    EngineFailed,
    EngineUnreachable,
    UnfollowableSchema,
    UnusableMessages,
    UnusablePrompt,
)
from tenzij.engines.json_schema import schema_anew
from tenzij.engines.protocol import Counted, Embedding, Event, Finish, Generation, Progress, Text, Usage
from tenzij.errors import TenzijError
from tenzij.types import Task

CHAT_PATH: Final = "/v1/chat/completions"
COMPLETION_PATH: Final = "/v1/completions"
EMBEDDING_PATH: Final = "/v1/embeddings"
END_MARK: Final = b"[DONE]"

_SEEDS: Final = 2**32 - 1  # the one seed above these means "a random one" to llama.cpp
_ALWAYS: Final[Mapping[str, Any]] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
    "timings_per_token": True,
    "cache_prompt": False,
}
_AS_THEY_ARE: Final = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty")
# An input to embed that does not fit a batch, which the worker makes as large as the context.
_TOO_LARGE: Final = re.compile(r"input \(([0-9]{1,9}) tokens\) is too large .* \(current batch size: ([0-9]{1,9})\)$")
_LLGUIDANCE: Final = "%llguidance {}\nstart: %json "


def path_for(generation: Generation) -> str:
    """Where the request goes."""
    return CHAT_PATH if generation.task is Task.CHAT else COMPLETION_PATH


def body_for(generation: Generation) -> bytes:
    """The request's body, JSON. Raises UnfollowableSchema."""
    body: dict[str, Any] = dict(_ALWAYS)
    if generation.task is Task.CHAT:
        body["messages"] = [{"role": each.role, "content": each.content} for each in generation.messages]
    else:
        body["prompt"] = generation.prompt
    body |= {name: value for name in _AS_THEY_ARE if (value := getattr(generation, name)) is not None}
    if generation.seed is not None:
        body["seed"] = generation.seed % _SEEDS
    if generation.stop:
        body["stop"] = list(generation.stop)
    if generation.logprobs is not None:
        count = max(generation.logprobs, 1)  # none would turn log probabilities off as a whole
        body |= {"logprobs": True, "top_logprobs": count} if generation.task is Task.CHAT else {"logprobs": count}
    if generation.response_format is not None:
        body["grammar"] = grammar_for(generation.response_format)
    return msgspec.json.encode(body)


def grammar_for(response_format: Mapping[str, Any]) -> str:
    """The grammar for OpenAI's `response_format`: any JSON object, or a schema. Raises UnfollowableSchema."""
    schema: dict[str, Any] = {"type": "object"}
    if response_format["type"] == "json_schema":
        schema = schema_anew(response_format["json_schema"]["schema"])
    # No space between tokens: small models else fill the answer with it.
    compact = {"x-guidance": {"whitespace_flexible": False}, **schema}
    return _LLGUIDANCE + msgspec.json.encode(compact).decode()


def embedding_body_for(inputs: tuple[str, ...]) -> bytes:
    """The body that asks for embeddings."""
    return msgspec.json.encode({"input": inputs, "encoding_format": "float"})


class _Token(msgspec.Struct):
    token: str
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[_Token] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Timings(msgspec.Struct):
    prompt_n: int
    predicted_n: int


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _PromptProgress(msgspec.Struct):
    total: int
    processed: int


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""  # looked at to tell faults apart, never passed on
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] = []
    timings: _Timings | None = None
    usage: _Usage | None = None
    prompt_progress: _PromptProgress | None = None
    error: _Error | None = None


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _PromptUsage(msgspec.Struct):
    prompt_tokens: int


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _PromptUsage


class _ErrorBody(msgspec.Struct):
    error: _Error


_frame: Final = msgspec.json.Decoder(_Frame)
_embeddings: Final = msgspec.json.Decoder(_Embeddings)
_error_body: Final = msgspec.json.Decoder(_ErrorBody)


class AnswerReader:
    """Reads the frames of one answer."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._held_text: list[str] | None = [] if generation.response_format and not generation.stop else None
        self.is_whole = False

    def read(self, payload: bytes) -> list[Event]:
        """The events in one frame. Raises BrokenAnswer, or what the engine's refusal means."""
        if self.is_whole:
            raise BrokenAnswer("The model's engine went on after the end of its answer.")
        if payload == END_MARK:
            return [self._finish()]
        try:
            frame = _frame.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BrokenAnswer("The model's engine sent something unreadable.") from None
        if frame.error is not None:
            raise fault_from(frame.error, self._generation)
        events: list[Event] = []
        if frame.prompt_progress is not None:
            events.append(Progress(frame.prompt_progress.processed, frame.prompt_progress.total))
        events.extend(self._count(frame))
        for choice in frame.choices:
            events.extend(self._text(choice))
        return events

    def _count(self, frame: _Frame) -> list[Event]:
        usage = self._usage
        if frame.timings is not None:
            usage = Usage(frame.timings.prompt_n, frame.timings.predicted_n)
        if frame.usage is not None:
            usage = Usage(frame.usage.prompt_tokens, frame.usage.completion_tokens)
        if usage is None or usage == self._usage:
            return []
        self._usage = usage
        return [Counted(usage)] if usage.prompt_tokens else []  # none is read yet

    def _text(self, choice: _Choice) -> list[Event]:
        if choice.delta is not None and (choice.delta.reasoning_content or choice.delta.tool_calls):
            raise BrokenAnswer("The model's engine answered in a form that was not asked for.")
        if choice.finish_reason is not None:
            if choice.finish_reason not in ("stop", "length"):
                raise BrokenAnswer("The model's engine ended its answer in a way that was not asked for.")
            self._reason = choice.finish_reason
        text = (choice.delta.content if choice.delta is not None else choice.text) or ""
        if not text:
            return []
        if self._held_text is not None:
            self._held_text.append(text)
        return [Text(text, self._logprobs(choice.logprobs))]

    def _logprobs(self, given: _Logprobs | None) -> Mapping[str, Any] | None:
        most = self._generation.logprobs
        if most is None or given is None or given.content is None:
            return None
        return {
            "content": [
                {**_as_openai(each), "top_logprobs": [_as_openai(other) for other in each.top_logprobs[:most]]}
                for each in given.content
            ]
        }

    def _finish(self) -> Finish:
        if self._reason is None or self._usage is None:
            raise BrokenAnswer
        if self._usage.prompt_tokens == 0:
            raise UnusableMessages if self._generation.task is Task.CHAT else UnusablePrompt
        if self._reason == "stop" and self._held_text is not None:
            _verify_is_json("".join(self._held_text))
        self.is_whole = True
        return Finish(self._reason, self._usage)


def embedding_from(body: bytes, count: int) -> Embedding:
    """The embeddings of `count` inputs, in their order. Raises BrokenAnswer."""
    try:
        answer = _embeddings.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BrokenAnswer("The model's engine sent something unreadable.") from None
    by_index = {each.index: tuple(each.embedding) for each in answer.data}
    if len(answer.data) != count or by_index.keys() != set(range(count)):
        raise BrokenAnswer("The model's engine sent another number of embeddings than was asked for.")
    return Embedding(tuple(by_index[index] for index in range(count)), answer.usage.prompt_tokens)


def fault_from_body(body: bytes, generation: Generation | None) -> TenzijError:
    """What a refusal by llama.cpp means, from its body; `generation` is None for embeddings."""
    try:
        return fault_from(_error_body.decode(body).error, generation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return EngineFailed()


def fault_from(error: _Error, generation: Generation | None) -> TenzijError:
    """Our error for llama.cpp's."""
    if too_large := _TOO_LARGE.match(error.message):
        return ContextTooLong(int(too_large[2]), int(too_large[1]), _param(generation))
    match error.type:
        case "exceed_context_size_error":
            return ContextTooLong(error.n_ctx, error.n_prompt_tokens, _param(generation))
        case "unavailable_error":
            return EngineUnreachable()
        case "invalid_request_error" if generation is not None and generation.response_format:
            return UnfollowableSchema("the engine cannot make a grammar of it")
        case "invalid_request_error" if generation is not None and generation.task is Task.CHAT:
            return UnusableMessages()
    return EngineFailed()


def _param(generation: Generation | None) -> str:
    if generation is None:
        return "input"
    return "messages" if generation.task is Task.CHAT else "prompt"


def _as_openai(token: _Token) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}


def _verify_is_json(text: str) -> None:
    """Where llama.cpp cannot use a grammar it goes on without: then the answer is none."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BrokenAnswer("The model's engine did not hold its answer to JSON.") from None
