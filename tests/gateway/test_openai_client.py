"""The official `openai` client, over TCP, with a scripted engine behind the gateway: only `base_url` and key differ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import openai
import pydantic
import pytest

from gateway.harness import ANSWER, EXPIRED_KEY, KEY, MODEL, REVOKED_KEY, Step, Wait, World, eventually, soon
from gateway.served import served
from tenzij.engines.faults import ContextTooLong, EngineUnreachable
from tenzij.engines.protocol import Finish, Text, Usage

QUESTION: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Dag"}]
T = TypeVar("T")


@contextlib.asynccontextmanager
async def base_url(world: World) -> AsyncIterator[str]:
    async with served(world) as (host, port):
        yield f"http://{host}:{port}/v1"


async def synchronously(url: str, call: Callable[[openai.OpenAI], T], key: str = KEY) -> T:
    """What `call` gives, made with a synchronous client in a thread."""

    def run() -> T:
        with openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=10) as client:
            return call(client)

    return await asyncio.to_thread(run)


async def test_synchronous() -> None:
    async with base_url(World()) as url:
        answer = await synchronously(url, lambda c: c.chat.completions.create(model=MODEL, messages=QUESTION))
        assert answer.choices[0].message.content == "Hallo"
        assert answer.usage is not None
        assert answer.usage.total_tokens == 7
        pieces = await synchronously(
            url, lambda c: list(c.chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
        )
        assert [piece.choices[0].delta.content for piece in pieces] == ["", "Hal", "lo", None]
        completion = await synchronously(url, lambda c: c.completions.create(model=MODEL, prompt="Een"))
        assert completion.choices[0].text == "Hallo"


async def test_asynchronous() -> None:
    async with (
        base_url(World()) as url,
        openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as client,
    ):
        answer = await client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert answer.choices[0].message.content == "Hallo"
        again = await client.chat.completions.create(
            model=MODEL,
            messages=[*QUESTION, answer.choices[0].message.model_dump(), *QUESTION],  # type: ignore[list-item]
        )
        assert again.choices[0].finish_reason == "stop"
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 2
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
        assert raw.parse().id == f"chatcmpl-{raw.headers['Tenzij-Verzoek']}"
        assert raw.parse()._request_id == raw.headers["Tenzij-Verzoek"]
        assert [model.id async for model in client.models.list()] == [MODEL, "vectors"]
        vectors = await client.embeddings.create(model="vectors", input=["a", "b"])  # asks base64 by itself
        assert vectors.data[1].embedding == [0.5, -1.0]


async def test_the_streaming_helper() -> None:
    async with (
        base_url(World()) as url,
        openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as client,
        client.chat.completions.stream(model=MODEL, messages=QUESTION) as stream,
    ):
        final = await stream.get_final_completion()
        assert final.choices[0].message.content == "Hallo"


class Town(pydantic.BaseModel):
    """What the structured answer must look like."""

    name: str
    inhabitants: int


async def test_structured_output() -> None:
    world = World([Text('{"name": "Delft", "inhabitants": 109000}'), Finish("stop", Usage(5, 9))])
    async with base_url(world) as url:
        answer = await synchronously(
            url, lambda c: c.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Town)
        )
    assert answer.choices[0].message.parsed == Town(name="Delft", inhabitants=109000)
    (generation,) = world.engine.generations
    assert generation.response_format is not None
    assert set(generation.response_format["json_schema"]["schema"]["properties"]) == {"name", "inhabitants"}


ERRORS: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "gpt-4o"}, openai.NotFoundError, "model_not_found"),
    ({"model": "hidden"}, openai.PermissionDeniedError, "model_not_allowed"),
    ({"n": 2}, openai.BadRequestError, "unsupported_parameter"),
    ({"temperature": "hot"}, openai.BadRequestError, "invalid_value"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools_not_supported"),
    ({"extra_body": {"grammar": "root ::= a"}}, openai.BadRequestError, "unknown_parameter"),
    (
        {"extra_headers": {"Tenzij-Vertrouwelijkheid": "niveau_4"}},
        openai.PermissionDeniedError,
        "above_ceiling",
    ),
    ({"extra_headers": {"Tenzij-Vertrouwelijkheid": "hoog"}}, openai.BadRequestError, "invalid_header"),
    ({"messages": [{"role": "user", "content": "a" * 5_000_000}]}, openai.APIStatusError, "body_too_large"),
]


@pytest.mark.parametrize(("changes", "kind", "code"), ERRORS)
async def test_errors_are_the_clients_own_classes(
    changes: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    async with base_url(World()) as url:
        given: dict[str, Any] = {"model": MODEL, "messages": QUESTION} | changes
        with pytest.raises(kind) as error:
            await synchronously(url, lambda c: c.chat.completions.create(**given))
    assert error.value.code == code


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("tenzij_wrong", "invalid_api_key"),
        (EXPIRED_KEY, "expired_api_key"),
        (REVOKED_KEY, "revoked_api_key"),
    ],
)
async def test_keys_that_are_not_accepted(key: str, code: str) -> None:
    async with base_url(World()) as url:
        with pytest.raises(openai.AuthenticationError) as error:
            await synchronously(url, lambda c: c.chat.completions.create(model=MODEL, messages=QUESTION), key)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("engine_error", "kind", "code"),
    [
        (ContextTooLong(4096, 5000, "messages"), openai.BadRequestError, "context_length_exceeded"),
        (EngineUnreachable(), openai.InternalServerError, "engine_unavailable"),
        (ValueError("kapot"), openai.InternalServerError, "internal_error"),
    ],
)
async def test_errors_of_an_engine(engine_error: Exception, kind: type[openai.APIStatusError], code: str) -> None:
    async with base_url(World([engine_error])) as url:
        with pytest.raises(kind) as error:
            await synchronously(url, lambda c: c.chat.completions.create(model=MODEL, messages=QUESTION))
    assert error.value.code == code


async def test_an_error_in_mid_stream_is_raised() -> None:
    async with base_url(World([Text("Hal"), EngineUnreachable()])) as url:
        seen: list[str | None] = []

        def read(client: openai.OpenAI) -> None:
            for chunk in client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
                seen.append(chunk.choices[0].delta.content)

        with pytest.raises(openai.APIError, match="cannot be reached") as error:
            await synchronously(url, read)
    assert seen == ["", "Hal"]
    assert error.value.code == "engine_unavailable"


async def test_a_stream_that_is_closed_early_frees_the_engine() -> None:
    wait = Wait()
    steps: list[Step] = [Text("Hal"), wait, *ANSWER]
    world = World(steps)
    async with (
        base_url(world) as url,
        openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as client,
    ):
        stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
        async for _ in stream:
            break
        await soon(wait.reached)
        await stream.close()
        await soon(world.engine.freed)
        await eventually(lambda: world.log.outcomes)
    assert world.log.outcome == ("afgebroken", "client_weg")


async def test_a_client_that_runs_out_of_patience_frees_the_engine() -> None:
    world = World([Wait()])
    async with base_url(world) as url:
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=0.2) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(model=MODEL, messages=QUESTION)
        await soon(world.engine.freed)
        await eventually(lambda: world.log.outcomes)
    assert world.log.outcome == ("afgebroken", "client_weg")
