"""llama.cpp's dialect: bodies hold what is named and nothing else, frames become events, refusals become ours."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.asking import chat, completion, schema_format
from tenzij.engines.faults import (
    BrokenAnswer,
    ContextTooLong,
    EngineFailed,
    EngineUnreachable,
    UnfollowableSchema,
    UnusableMessages,
    UnusablePrompt,
)
from tenzij.engines.llamacpp_answers import AnswerReader, embedding_from
from tenzij.engines.llamacpp_refusals import fault_from_body
from tenzij.engines.llamacpp_requests import body_for, embedding_body_for, path_for
from tenzij.engines.protocol import Counted, Event, Finish, Generation, Message, Progress, Text, Usage
from tenzij.errors import TenzijError
from tenzij.types import Task

ALWAYS = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
    "timings_per_token": True,
    "cache_prompt": False,
}
CANARY = "kanarie-3f9a"


def body(generation: Generation) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(body_for(generation))
    return decoded


def test_a_bare_chat_holds_the_messages_and_what_is_always_asked() -> None:
    generation = Generation(Task.CHAT, (Message("system", "wees kort"), Message("user", "hoi")))
    assert path_for(generation) == "/v1/chat/completions"
    assert body(generation) == ALWAYS | {
        "messages": [{"role": "system", "content": "wees kort"}, {"role": "user", "content": "hoi"}]
    }


def test_a_full_completion_holds_every_field_and_no_extra() -> None:
    generation = completion(
        "Er was eens",
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        seed=7,
        stop=("\n", "einde"),
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logprobs=3,
        extra={"cache_prompt": True, "n_probs": 9, "id_slot": 1},
    )
    assert path_for(generation) == "/v1/completions"
    assert body(generation) == ALWAYS | {
        "prompt": "Er was eens",
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["\n", "einde"],
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logprobs": 3,
    }


@given(st.integers())
def test_no_seed_becomes_the_one_that_means_random(seed: int) -> None:
    sent = body(chat("x", seed=seed))["seed"]
    assert 0 <= sent < 2**32 - 1
    if 0 <= seed < 2**32 - 1:
        assert sent == seed


@pytest.mark.parametrize(("asked", "sent"), [(0, 1), (1, 1), (20, 20)])
def test_logprobs_of_a_chat(asked: int, sent: int) -> None:
    found = body(chat("x", logprobs=asked))
    assert (found["logprobs"], found["top_logprobs"]) == (True, sent)


def test_a_json_object_is_asked_by_grammar() -> None:
    grammar = body(chat("x", response_format={"type": "json_object"}))["grammar"]
    assert grammar == '%llguidance {}\nstart: %json {"x-guidance":{"whitespace_flexible":false},"type":"object"}'


def test_a_schema_is_written_anew_into_the_grammar() -> None:
    schema = {"type": "object", "title": CANARY, "properties": {"a\n%": {"type": "integer"}}, "required": ["a\n%"]}
    generation = chat("x", response_format=schema_format(schema))
    head, _, sent = body(generation)["grammar"].partition("%json ")
    assert head == "%llguidance {}\nstart: "
    assert json.loads(sent) == {
        "x-guidance": {"whitespace_flexible": False},
        "type": "object",
        "properties": {"a\n%": {"type": "integer"}},
        "required": ["a\n%"],
    }
    assert "\n" not in sent
    assert CANARY not in sent


def test_a_bad_schema_never_leaves() -> None:
    with pytest.raises(UnfollowableSchema):
        body_for(chat("x", response_format=schema_format({"type": "string", "minLength": 5, "maxLength": 3})))


# Frames: golden lines, as xllamacpp 2026.10 sent them for SmolLM2.
def golden(name: str) -> list[bytes]:
    lines = (Path(__file__).parent / "golden" / name).read_bytes().split(b"\n\n")
    return [line.removeprefix(b"data: ") for line in lines if line]


def read_all(generation: Generation, payloads: list[bytes]) -> list[Event]:
    reader = AnswerReader(generation)
    events = [event for payload in payloads for event in reader.read(payload)]
    assert reader.is_whole is isinstance(events[-1], Finish)
    return events


def test_a_golden_chat_with_characters_of_several_tokens() -> None:
    events = read_all(chat("x", logprobs=1), golden("chat.sse"))
    assert events[:3] == [Progress(0, 37), Progress(37, 37), Counted(Usage(37, 0))]
    texts = [event for event in events if isinstance(event, Text)]
    assert "".join(each.text for each in texts) == "これは、ブラ"
    assert events[-1] == Finish("length", Usage(37, 12)), "twelve tokens in six frames"
    logprobs = texts[0].logprobs
    if logprobs is None:
        raise AssertionError("logprobs were asked for")
    first = logprobs["content"][0]
    assert first.keys() == {"token", "logprob", "bytes", "top_logprobs"}, "no token ids"
    assert first["bytes"] == [227, 129, 147]


def test_a_golden_completion() -> None:
    events = read_all(completion("x", logprobs=0), golden("completion.sse"))
    assert [event.text for event in events if isinstance(event, Text)] == [" Paris", ".", "\n"]
    assert events[-1] == Finish("length", Usage(5, 3))
    with_logprobs = next(event for event in events if isinstance(event, Text))
    if with_logprobs.logprobs is None:
        raise AssertionError("logprobs were asked for")
    assert with_logprobs.logprobs["content"][0]["top_logprobs"] == []


def test_logprobs_that_were_not_asked_for_stay_here() -> None:
    events = read_all(chat("x"), golden("chat.sse"))
    assert all(event.logprobs is None for event in events if isinstance(event, Text))


def frame(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def choice(text: str = "", reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": reason, "delta": {"content": text}}]}


TIMINGS = {"timings": {"prompt_n": 3, "predicted_n": 1}}
DONE = b"[DONE]"


@pytest.mark.parametrize(
    "payloads",
    [
        [frame(**choice("a"), **TIMINGS), DONE],
        [frame(**choice("a", "stop")), DONE],
        [frame(**choice("a", "tool_calls"), **TIMINGS), DONE],
        [frame(**choice("a", "stop"), **TIMINGS), DONE, DONE],
        [frame(choices=[{"delta": {"reasoning_content": "hm"}}])],
        [frame(choices=[{"delta": {"tool_calls": [{}]}}])],
        [b"{"],
        [b""],
        [b"[]"],
        [b"\xff"],
        [b'{"choices": ' + b"[" * 100_000],
        [frame(choices=[{"delta": {"content": 1}}])],
        [frame(timings={"prompt_n": "3"})],
    ],
    ids=lambda payloads: payloads[0][:60].decode("latin-1"),
)
def test_what_is_not_an_answer_is_broken(payloads: list[bytes]) -> None:
    reader = AnswerReader(chat("x"))
    with pytest.raises(BrokenAnswer):
        for payload in payloads:
            reader.read(payload)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda each: st.lists(each)))
def test_any_json_gives_events_or_our_error(value: Any) -> None:
    for payload in (json.dumps(value), json.dumps({"choices": value}), json.dumps({"error": value})):
        with contextlib.suppress(TenzijError):
            AnswerReader(chat("x")).read(payload.encode())


@pytest.mark.parametrize(("generation", "fault"), [(chat("x"), UnusableMessages), (completion(""), UnusablePrompt)])
def test_a_prompt_of_no_tokens_is_the_callers_fault(generation: Generation, fault: type[TenzijError]) -> None:
    reader = AnswerReader(generation)
    reader.read(frame(choices=[{"finish_reason": "length", "delta": {}}], timings={"prompt_n": 0, "predicted_n": 0}))
    with pytest.raises(fault):
        reader.read(DONE)


@pytest.mark.parametrize(
    ("stop", "text", "reason", "is_whole"),
    [
        ((), '{"a": 1}', "stop", True),
        ((), "A classic example", "stop", False),
        ((), '{"a": ', "length", True),  # cut by max_tokens
        *(((), f'{{"a": {cut}', "length", True) for cut in ("-", "1", "1.", "1e", "1e+", "tru", '"\\', '"\\u00', "[")),
        ((), '"x"\n\nYes', "length", False),  # the grammar was given up on the way
        ((), "A classic", "length", False),
        ((), '{"a": 1}}', "length", False),
        (("x",), '{"a": ', "stop", True),  # cut by a stop sequence
    ],
)
def test_an_answer_that_is_held_to_json_is_json(stop: tuple[str, ...], text: str, reason: str, is_whole: bool) -> None:
    reader = AnswerReader(chat("x", response_format={"type": "json_object"}, stop=stop))
    reader.read(frame(**choice(text[:3]), **TIMINGS))
    reader.read(frame(**choice(text[3:], reason)))
    if is_whole:
        assert reader.read(DONE) == [Finish(reason, Usage(3, 1))]
    else:
        with pytest.raises(BrokenAnswer, match="did not hold its answer to JSON"):
            reader.read(DONE)


HELD = chat("x", response_format={"type": "json_object"})


@pytest.mark.parametrize(
    ("error", "generation", "fault"),
    [
        ({"type": "exceed_context_size_error", "n_prompt_tokens": 6031, "n_ctx": 4096}, chat("x"), ContextTooLong),
        ({"type": "exceed_context_size_error"}, completion("x"), ContextTooLong),
        ({"type": "unavailable_error"}, chat("x"), EngineUnreachable),
        ({"type": "invalid_request_error"}, chat("x"), UnusableMessages),
        ({"type": "invalid_request_error"}, HELD, UnfollowableSchema),
        ({"type": "invalid_request_error"}, completion("x"), EngineFailed),
        ({"type": "invalid_request_error"}, None, EngineFailed),
        ({"type": "server_error"}, chat("x"), EngineFailed),
        ({"type": "server_error"}, None, EngineFailed),
        ({"type": CANARY}, chat("x"), EngineFailed),
    ],
)
def test_refusals_become_ours_without_a_word_of_theirs(
    error: dict[str, Any], generation: Generation | None, fault: type[TenzijError]
) -> None:
    found = fault_from_body(frame(error={**error, "message": CANARY, "code": 400}), generation)
    assert type(found) is fault
    assert CANARY not in str(found)
    assert CANARY not in repr(vars(found))


def test_too_long_a_prompt_says_the_limit_and_the_count() -> None:
    error = {"type": "exceed_context_size_error", "n_prompt_tokens": 6031, "n_ctx": 4096}
    found = fault_from_body(frame(error=error), chat("x"))
    assert "4096" in found.message
    assert "6031" in found.message
    assert (found.status, found.code, found.param) == (400, "context_length_exceeded", "messages")


def test_too_large_an_input_to_embed_is_told_by_its_sentence() -> None:
    said = "input (301 tokens) is too large to process. increase the physical batch size (current batch size: 256)"
    found = fault_from_body(frame(error={"type": "server_error", "message": said}), None)
    assert type(found) is ContextTooLong
    assert ("256" in found.message, "301" in found.message, found.param) == (True, True, "input")
    echoed = frame(error={"type": "server_error", "message": f"{CANARY} {said} {CANARY}"})
    assert type(fault_from_body(echoed, None)) is EngineFailed


@pytest.mark.parametrize("garbage", [b"", b"<html>", b"\xff", b'{"error": "no"}', b"[" * 100_000])
def test_unreadable_refusals_are_the_engines_fault(garbage: bytes) -> None:
    assert type(fault_from_body(garbage, chat("x"))) is EngineFailed


def test_embeddings_come_in_the_order_of_the_inputs() -> None:
    assert json.loads(embedding_body_for(("a", "b"))) == {"input": ["a", "b"], "encoding_format": "float"}
    data = [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": [0.25, 2]}]
    found = embedding_from(frame(data=data, usage={"prompt_tokens": 4}, model="/weights/x"), 2)
    assert found.vectors == ((0.25, 2.0), (0.5, 1.0))
    assert found.prompt_tokens == 4


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}] * 2,
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": index, "embedding": [1.0]} for index in range(3)],
        [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}],
    ],
)
def test_other_embeddings_than_asked_for_are_broken(data: list[dict[str, Any]]) -> None:
    with pytest.raises(BrokenAnswer):
        embedding_from(frame(data=data, usage={"prompt_tokens": 4}), 2)
