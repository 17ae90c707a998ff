"""A chat request's fields: what is taken, how it goes on, and which code says no."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.harness import chat
from tenzij.engines.protocol import Generation, Message
from tenzij.errors import CallerError
from tenzij.gateway.chat_request import asked_from_chat
from tenzij.types import Capability, Task

CANARY = "kanarie-piet-4711"


def generation(**fields: Any) -> Generation:
    made = asked_from_chat(chat(**fields)).generation
    if made is None:
        raise AssertionError("no generation")
    return made


def refusal(tree: Any) -> CallerError:
    with pytest.raises(CallerError) as refused:
        asked_from_chat(tree)
    if CANARY in refused.value.message + str(refused.value.param):
        raise AssertionError(f"quotes the client: {refused.value.message}")
    return refused.value


def test_the_least_that_works() -> None:
    asked = asked_from_chat({"messages": [{"role": "user", "content": "Dag"}]})
    assert asked.model is None
    assert asked.generation == Generation(task=Task.CHAT, messages=(Message("user", "Dag"),))
    assert not asked.stream
    assert not asked.needs


def test_everything_that_is_taken_goes_on() -> None:
    asked = asked_from_chat(
        chat(
            max_tokens=7,
            temperature=0,
            top_p=0.5,
            seed=42,
            stop=["a", "b"],
            frequency_penalty=-1.5,
            presence_penalty=2,
            logprobs=True,
            top_logprobs=3,
            response_format={"type": "json_object"},
            stream=True,
            stream_options={"include_usage": True},
            n=1,
            store=False,
            user=CANARY,
            tools=[],
            tool_choice="none",
        )
    )
    assert asked.generation == Generation(
        task=Task.CHAT,
        messages=(Message("user", "Dag"),),
        max_tokens=7,
        temperature=0.0,
        top_p=0.5,
        seed=42,
        stop=("a", "b"),
        frequency_penalty=-1.5,
        presence_penalty=2.0,
        logprobs=3,
        response_format={"type": "json_object"},
    )
    assert (asked.stream, asked.include_usage) == (True, True)
    assert asked.needs == {Capability.STRUCTURED}


def test_null_means_not_given() -> None:
    names = (
        "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "frequency_penalty", "logprobs",
        "presence_penalty", "top_logprobs", "response_format", "stream", "stream_options", "n", "store", "user",
        "tools", "tool_choice", "functions", "function_call", "logit_bias", "metadata", "service_tier", "model",
        "onbekend",
    )  # fmt: skip
    asked = asked_from_chat(chat(**dict.fromkeys(names)))
    assert asked.generation == Generation(task=Task.CHAT, messages=(Message("user", "Dag"),))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"role": "system", "content": "a"}, Message("system", "a")),
        ({"role": "developer", "content": "a"}, Message("system", "a")),
        ({"role": "assistant", "content": ""}, Message("assistant", "")),
        ({"role": "user", "content": [{"type": "text", "text": "a"}]}, Message("user", "a")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            Message("user", "a\nb"),
        ),
        (
            {
                "role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None,
                "function_call": None, "tool_calls": None,
            },  # what `message.model_dump()` of the official client gives
            Message("assistant", "a"),
        ),
    ],
)  # fmt: skip
def test_messages(given: dict[str, Any], expected: Message) -> None:
    assert generation(messages=[given]).messages == (expected,)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"messages": ...}, "missing_required_parameter", "messages"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": CANARY}, "invalid_value", "messages"),
        ({"messages": [CANARY]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": [{"content": CANARY}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": CANARY, "content": "a"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "tool", "content": CANARY}]}, "tools_not_supported", "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "invalid_value", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": "a", "name": CANARY}]},
            "unsupported_parameter",
            "messages[0].name",
        ),
        ({"messages": [{"role": "user", "content": "a", CANARY: 1}]}, "unknown_parameter", None),
        (
            {"messages": [{"role": "assistant", "content": "a", "tool_calls": [{"id": CANARY}]}]},
            "tools_not_supported",
            "messages[0].tool_calls",
        ),
        ({"model": 7}, "invalid_value", "model"),
        ({"model": ""}, "invalid_value", "model"),
        ({"model": CANARY * 40}, "invalid_value", "model"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": 1.0}, "invalid_value", "max_tokens"),
        ({"max_tokens": True}, "invalid_value", "max_tokens"),
        ({"max_tokens": CANARY}, "invalid_value", "max_tokens"),
        ({"max_tokens": 10**30}, "invalid_value", "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "invalid_value", "max_tokens"),
        ({"temperature": "0"}, "invalid_value", "temperature"),
        ({"temperature": True}, "invalid_value", "temperature"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": -0.1}, "invalid_value", "temperature"),
        ({"top_p": 1.1}, "invalid_value", "top_p"),
        ({"seed": -1}, "invalid_value", "seed"),
        ({"seed": 2**32 - 1}, "invalid_value", "seed"),
        ({"frequency_penalty": 3}, "invalid_value", "frequency_penalty"),
        ({"presence_penalty": []}, "invalid_value", "presence_penalty"),
        ({"stop": [1]}, "invalid_value", "stop"),
        ({"stop": ""}, "invalid_value", "stop"),
        ({"stop": list("abcde")}, "invalid_value", "stop"),
        ({"stop": {CANARY: 1}}, "invalid_value", "stop"),
        ({"n": 2}, "unsupported_parameter", "n"),
        ({"n": "1"}, "invalid_value", "n"),
        ({"stream": "true"}, "invalid_value", "stream"),
        ({"stream": 1}, "invalid_value", "stream"),
        ({"stream_options": {}}, "invalid_value", "stream_options"),
        ({"stream": True, "stream_options": CANARY}, "invalid_value", "stream_options"),
        ({"stream": True, "stream_options": {CANARY: 1}}, "unknown_parameter", None),
        ({"logprobs": 3}, "invalid_value", "logprobs"),
        ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "invalid_value", "top_logprobs"),
        ({"store": True}, "unsupported_parameter", "store"),
        ({"user": 3}, "invalid_value", "user"),
        ({"user": "a" * 257}, "invalid_value", "user"),
        ({"tools": [{"type": CANARY}]}, "tools_not_supported", "tools"),
        ({"tools": CANARY}, "tools_not_supported", "tools"),
        ({"functions": [{}]}, "tools_not_supported", "functions"),
        ({"tool_choice": "required"}, "tools_not_supported", "tool_choice"),
        ({"tool_choice": {"type": CANARY}}, "tools_not_supported", "tool_choice"),
        ({"logit_bias": {"1": 1}}, "unsupported_parameter", "logit_bias"),
        ({"metadata": {CANARY: CANARY}}, "unsupported_parameter", "metadata"),
        ({"service_tier": "auto"}, "unsupported_parameter", "service_tier"),
        ({"modalities": ["audio"]}, "unsupported_parameter", "modalities"),
        ({CANARY: CANARY}, "unknown_parameter", None),
        ({"grammar": CANARY}, "unknown_parameter", None),
        ({"cache_prompt": True}, "unknown_parameter", None),
    ],
)
def test_refusals(fields: dict[str, Any], code: str, param: str | None) -> None:
    error = refusal(chat(**fields))
    assert (error.status, error.code, error.param) == (400, code, param)


@pytest.mark.parametrize("tree", [None, [], CANARY, 3, True])
def test_a_body_that_is_no_object(tree: Any) -> None:
    assert refusal(tree).code == "invalid_value"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "image_url", "image_url": {"url": f"https://{CANARY}/"}}, "images_not_supported"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "images_not_supported"),
        ({"type": "input_audio", "input_audio": {"data": CANARY}}, "audio_not_supported"),
        ({"type": "file", "file": {"file_id": CANARY}}, "files_not_supported"),
        ({"type": CANARY}, "unsupported_content"),
        ({"type": "refusal", "refusal": CANARY}, "unsupported_content"),
        ({"type": ["text"]}, "unsupported_content"),
        ({"type": "text"}, "missing_required_parameter"),
        ({"type": "text", "text": 1}, "invalid_value"),
        ({"type": "text", "text": "a", CANARY: 1}, "unknown_parameter"),
        (CANARY, "unsupported_content"),
        (None, "unsupported_content"),
    ],
)
def test_parts_that_are_not_text(part: Any, code: str) -> None:
    assert refusal(chat(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, part]}])).code == code


def test_the_sentences_say_what_to_do() -> None:
    assert refusal(chat(max_tokens="many")).message == "max_tokens must be an integer from 1 to 1000000."
    assert "Did you mean max_tokens?" in refusal(chat(max_token=3)).message
    assert refusal(chat(tool_choice="auto")).message == 'tool_choice can only be "none": there are no tools.'


def test_the_prompt_is_estimated_from_its_bytes() -> None:
    short = asked_from_chat(chat()).prompt_estimate
    long = asked_from_chat(chat(messages=[{"role": "user", "content": "é" * 3000}])).prompt_estimate
    assert 1 <= short < 20
    assert 2000 <= long < 2100
