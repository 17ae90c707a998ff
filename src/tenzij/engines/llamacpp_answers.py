"""What llama.cpp answers: frames -> our events, one body -> embeddings. Pure.

- Frames are not tokens: one may hold none (a character that is not whole yet) or several. Usage is the last count.
- An answer is whole when its reason to finish, its usage and the end mark were seen. All else is a broken answer.
- Of a frame only text, counts, reason and log probabilities are read; ids, timings and fingerprints stay here.
- A prompt of no tokens means that the chat template failed on the messages: llama.cpp goes on without a prompt then.
- An answer that is held to JSON is JSON: where llama.cpp cannot use a grammar, or no longer, it goes on without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tenzij.engines.faults import BrokenAnswer, UnusableMessages, UnusablePrompt
from tenzij.engines.llamacpp_refusals import LlamaError, fault_from
from tenzij.engines.protocol import Counted, Embedding, Event, Finish, Generation, Progress, Text, Usage
from tenzij.types import Task

END_MARK: Final = b"[DONE]"
_TRUNCATED: Final = "Input data was truncated"  # how msgspec says that nothing is wrong so far


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


class _Frame(msgspec.Struct):
    choices: list[_Choice] = []
    timings: _Timings | None = None
    usage: _Usage | None = None
    prompt_progress: _PromptProgress | None = None
    error: LlamaError | None = None


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _PromptUsage(msgspec.Struct):
    prompt_tokens: int


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _PromptUsage


_frame: Final = msgspec.json.Decoder(_Frame)
_embeddings: Final = msgspec.json.Decoder(_Embeddings)


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
        if self._held_text is not None:
            _verify_is_json("".join(self._held_text), whole=self._reason == "stop")
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


def _as_openai(token: _Token) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}


def _verify_is_json(text: str, *, whole: bool) -> None:
    """Raises BrokenAnswer unless `text` is JSON or, where it need not be whole, the beginning of it."""
    # A number may be cut where it cannot end ("1."); a digit more mends that.
    if not (_is_json(text, whole=whole) or (not whole and _is_json(text + "0", whole=False))):
        raise BrokenAnswer("The model's engine did not hold its answer to JSON.")


def _is_json(text: str, *, whole: bool) -> bool:
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return False
    except msgspec.DecodeError as error:
        return not whole and str(error) == _TRUNCATED
    return True
