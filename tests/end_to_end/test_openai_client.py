"""The official `openai` client against the whole platform with the real model."""

from __future__ import annotations

import json

import openai
import pydantic
import pytest

from end_to_end.conftest import MODEL
from end_to_end.running import Running

QUESTION: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]


def test_an_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=40)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.model == MODEL
    assert answer.usage is not None
    assert 20 < answer.usage.prompt_tokens < 60
    assert 0 < answer.usage.completion_tokens <= 40
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_answer_says_where_it_came_from(client: openai.OpenAI, platform: Running) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, max_tokens=3)
    weights = json.loads(platform.command("model", "list", "--json"))[0]["sha256"]
    assert raw.headers["Tenzij-Locatie"] == "eigen"
    assert raw.headers["Tenzij-Gewichten"] == weights
    assert len(raw.headers["Tenzij-Verzoek"]) == 32
    assert raw.headers["Tenzij-Besluit"].startswith("local_named")
    assert raw.parse().id.endswith(raw.headers["Tenzij-Verzoek"])


def test_a_stream_is_the_same_answer_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=30)
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            temperature=0,
            max_tokens=30,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len(chunks) > 5
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason


def test_usage_is_only_streamed_to_who_asks(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=3, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


async def test_async(platform: Running) -> None:
    async with openai.AsyncOpenAI(base_url=platform.base_url, api_key=platform.key, max_retries=0) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=30)
        pieces = []
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, temperature=0, max_tokens=30, stream=True
        )
        async for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
    assert "".join(pieces) == answer.choices[0].message.content


class Town(pydantic.BaseModel):
    """What the structured answer must look like."""

    name: str
    inhabitants: int


def test_structured_output(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Give the town of Delft as JSON: its name and number of inhabitants."}],
        response_format=Town,
        temperature=0,
        max_tokens=80,
    )
    town = answer.choices[0].message.parsed
    assert town is not None
    assert town.name


def test_a_json_object(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A JSON object with the key colour and the value blue."}],
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=60,
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_a_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="One, two, three,", temperature=0, max_tokens=8)
    assert "four" in answer.choices[0].text
    pieces = client.completions.create(model=MODEL, prompt="One, two, three,", temperature=0, max_tokens=8, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text


def test_seed_makes_an_answer_repeatable_and_another_seed_another(client: openai.OpenAI) -> None:
    def poem(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Write a poem about rain."}],
            seed=seed,
            temperature=1.0,
            max_tokens=30,
        )
        return answer.choices[0].message.content

    assert poem(7) == poem(7)
    assert poem(7) != poem(8)


def test_temperature_zero_is_repeatable(client: openai.OpenAI) -> None:
    answers = {
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Tell me about bees."}], temperature=0, max_tokens=30
        )
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(answers) == 1


def test_stop_sequences(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="One, two, three,", temperature=0, max_tokens=20, stop=["five"]
    )
    assert "five" not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"


def test_models_say_where_they_run_and_what_they_are(client: openai.OpenAI, platform: Running) -> None:
    (model,) = client.models.list().data
    assert model.id == MODEL
    told = model.model_dump()["tenzij"]
    assert told["locatie"] == "eigen"
    assert told["gewichten"] == json.loads(platform.command("model", "list", "--json"))[0]["sha256"]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def code_of(error: openai.APIStatusError) -> str | None:
    return error.code


def test_errors_are_the_clients_own_classes(client: openai.OpenAI, platform: Running) -> None:
    def ask(client: openai.OpenAI, **changes: object) -> None:
        client.chat.completions.create(**({"model": MODEL, "messages": QUESTION, "max_tokens": 3} | changes))  # type: ignore[call-overload]

    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, model="gpt-4o")
    assert code_of(unknown.value) == "model_not_found"
    assert MODEL in str(unknown.value), "says what there is"

    wrong = client.with_options(api_key="tenzij_wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(wrong)
    assert code_of(refused.value) == "invalid_api_key"

    for changes, code in (
        ({"n": 2}, "unsupported_parameter"),
        ({"temperature": "hot"}, None),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, None),
        ({"messages": [{"role": "user", "content": "word " * 20000}]}, "context_length_exceeded"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
                    }
                ]
            },
            None,
        ),
    ):
        with pytest.raises(openai.BadRequestError) as bad:
            ask(client, **changes)
        assert code_of(bad.value), changes
        assert code is None or code_of(bad.value) == code

    key = json.loads(platform.command("key", "create", "kort", "--days", "1", "--json"))
    short_lived = client.with_options(api_key=key["key"])
    ask(short_lived)
    platform.command("key", "revoke", key["id"])
    with pytest.raises(openai.AuthenticationError) as revoked:
        for _ in range(20):  # works within a second; each answer takes some tens of milliseconds
            ask(short_lived)
    assert code_of(revoked.value) == "revoked_api_key"


def test_embeddings_are_refused_by_a_model_that_has_none(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model=MODEL, input="hello")
    assert refused.value.status_code in (400, 403)
    assert code_of(refused.value)
