"""The adapter with the real engine and model: answers, counts, repeatability, hanging up, and what it refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from engines.asking import chat, completion, connected, events_of, finish_of, schema_format, text_of
from tenzij.channels.control import Failed, Ready
from tenzij.engines.faults import ContextTooLong, EngineFailed, UnfollowableSchema, UnusableMessages, UnusablePrompt
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.passport import default_passport
from tenzij.engines.protocol import Counted, Event, Finish, Generation, Message, Progress, Text, Usage
from tenzij.testing.worker_process import LLAMACPP, WorkerProcess, worker_config
from tenzij.types import Task

SHA256 = default_passport().sha256
GREEDY: dict[str, Any] = {"temperature": 0.0, "seed": 1}
FREE_WITHIN_S = 1.0


async def test_a_chat(engine: LlamaCpp) -> None:
    events = await events_of(engine, chat("Say hi", max_tokens=32, **GREEDY))
    assert len(text_of(events)) > 5
    finish = finish_of(events)
    assert finish.reason == "stop"
    counts = [event.usage for event in events if isinstance(event, Counted)]
    assert counts[-1] == finish.usage, "the last count is the usage"
    assert [each.completion_tokens for each in counts] == sorted(each.completion_tokens for each in counts)


async def test_a_completion_with_log_probabilities(engine: LlamaCpp) -> None:
    events = await events_of(engine, completion("The capital of France is", max_tokens=2, logprobs=3, **GREEDY))
    assert text_of(events).startswith(" Paris")
    assert finish_of(events) == Finish("length", Usage(5, 2))
    first = next(event for event in events if isinstance(event, Text))
    if first.logprobs is None:
        raise AssertionError("logprobs were asked for")
    (token,) = first.logprobs["content"]
    assert token["token"] == " Paris"
    assert -1.0 < token["logprob"] < 0.0
    assert len(token["top_logprobs"]) == 3


async def test_the_conversation_is_read(engine: LlamaCpp) -> None:
    generation = Generation(
        Task.CHAT,
        (
            Message("system", "You are a helpful assistant."),
            Message("user", "My name is Fatima."),
            Message("assistant", "Nice to meet you, Fatima!"),
            Message("user", "What is my name?"),
        ),
        max_tokens=24,
        **GREEDY,
    )
    assert "Fatima" in text_of(await events_of(engine, generation))


async def test_frames_are_not_tokens(engine: LlamaCpp) -> None:
    """Characters of several tokens come whole, and usage counts tokens."""
    events = await events_of(engine, chat("Say hi 😀 in Japanese characters", max_tokens=12, **GREEDY))
    texts = [event.text for event in events if isinstance(event, Text)]
    assert any(ord(character) > 0x3000 for character in "".join(texts))
    assert "\ufffd" not in "".join(texts)
    assert finish_of(events).usage.completion_tokens > len(texts)


async def test_progress_comes_in_batches(engine: LlamaCpp) -> None:
    events = await events_of(engine, chat("word " * 300, max_tokens=1))
    steps = [event.done for event in events if isinstance(event, Progress)]
    total = finish_of(events).usage.prompt_tokens
    assert steps == [*range(0, total, 64), total]
    assert total > 300


async def test_stop_sequences_end_an_answer_and_are_not_in_it(engine: LlamaCpp) -> None:
    whole = text_of(await events_of(engine, completion("1, 2, 3, 4,", max_tokens=24, **GREEDY)))
    events = await events_of(engine, completion("1, 2, 3, 4,", max_tokens=24, stop=(" 7",), **GREEDY))
    assert finish_of(events).reason == "stop"
    assert text_of(events) == whole.partition(" 7")[0]
    assert " 7" in whole


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0.0}, {"temperature": 1.0, "seed": 42}, {"seed": -1}, {"seed": 2**40}]
)
async def test_answers_repeat(engine: LlamaCpp, sampling: dict[str, Any]) -> None:
    generation = chat("Tell me a story.", max_tokens=24, **sampling)
    first = await events_of(engine, generation)
    await events_of(engine, chat("Something else in between, to fill the slots.", max_tokens=4))
    assert text_of(await events_of(engine, generation)) == text_of(first)


async def test_other_seeds_give_other_answers(engine: LlamaCpp) -> None:
    texts = {
        text_of(await events_of(engine, chat("Tell me a story.", max_tokens=8, temperature=1.0, seed=seed)))
        for seed in range(3)
    }
    assert len(texts) > 1


async def test_a_prompt_that_was_sent_before_is_read_again_whole(engine: LlamaCpp) -> None:
    """Nothing is remembered from one caller to the next: not the count, and not the work."""
    generation = chat("Remember this: " + "word " * 200, max_tokens=1)
    first, second, third = [await events_of(engine, generation) for _ in range(3)]
    for again in (second, third):
        assert [event for event in again if isinstance(event, Progress)] == [
            event for event in first if isinstance(event, Progress)
        ]
        assert finish_of(again).usage == finish_of(first).usage


async def test_requests_run_beside_each_other(engine: LlamaCpp) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(events_of(engine, completion(f"Number {number}:", max_tokens=8))) for number in range(4)
        ]
    assert all(finish_of(task.result()).usage.completion_tokens <= 8 for task in tasks)


async def answered_within(engine: LlamaCpp) -> float:
    """How long two short requests take, which is all slots."""
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(events_of(engine, completion("Hi", max_tokens=1)))
    return time.monotonic() - started


async def verify_frees(engine: LlamaCpp, leave: Callable[[], Awaitable[None]]) -> None:
    """After `leave`, all slots are free within a second; once in three times, for the machine may be busy with others.

    Run to their end, the requests would hold them for many seconds each time.
    """
    took_s = []
    for _ in range(3):
        idle_s = await answered_within(engine)
        await leave()
        took_s.append(await answered_within(engine) - idle_s)
        if took_s[-1] < FREE_WITHIN_S:
            return
    pytest.fail(f"the slots were held for {took_s} seconds")


@pytest.mark.parametrize("moment", [Progress, Text], ids=["while the prompt is read", "while it answers"])
async def test_hanging_up_frees_the_engine(engine: LlamaCpp, moment: type[Event]) -> None:
    long = chat("word " * 3000, max_tokens=4000) if moment is Progress else chat("Tell a long story.", max_tokens=4000)

    async def begin_and_leave() -> None:
        async with aclosing(engine.generate(long)) as events:
            async for event in events:
                if isinstance(event, moment):
                    return

    async def in_every_slot() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(begin_and_leave())

    await verify_frees(engine, in_every_slot)


async def test_cancelling_before_the_first_word_frees_the_engine(engine: LlamaCpp) -> None:
    async def in_every_slot() -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(events_of(engine, chat("word " * 3000, max_tokens=4000))) for _ in range(2)]
        await asyncio.wait(tasks, timeout=0.3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    await verify_frees(engine, in_every_slot)


async def test_too_long_a_prompt_is_refused_with_both_numbers(engine: LlamaCpp) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await events_of(engine, chat("word " * 5000))
    assert "4096" in caught.value.message
    assert "5031" in caught.value.message
    with pytest.raises(ContextTooLong) as caught:
        await events_of(engine, completion("word " * 5000))
    assert caught.value.param == "prompt"


async def test_an_empty_prompt_is_refused(engine: LlamaCpp) -> None:
    with pytest.raises(UnusablePrompt):
        await events_of(engine, completion(""))


async def test_a_generating_model_gives_no_embeddings(engine: LlamaCpp) -> None:
    with pytest.raises(EngineFailed):
        await engine.embed(("hoi",))


async def test_a_schema_that_would_eat_all_memory_never_reaches_the_engine(engine: LlamaCpp) -> None:
    schema = {"type": "string", "minLength": 5, "maxLength": 3}
    with pytest.raises(UnfollowableSchema):
        await events_of(engine, chat("x", response_format=schema_format(schema)))
    assert finish_of(await events_of(engine, completion("Hi", max_tokens=1))).reason == "length"


async def test_a_full_context_ends_the_answer(default_model_file: Path) -> None:
    small = worker_config(default_model_file, SHA256, hash=False, slots=2, context_tokens=256)
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(small)
        assert isinstance(worker.outcome(), Ready)
        async with connected(worker) as engine:
            finish = finish_of(await events_of(engine, completion("word " * 240, max_tokens=None)))
            assert finish.reason == "length"
            assert 240 < finish.usage.prompt_tokens + finish.usage.completion_tokens <= 256
            with pytest.raises(ContextTooLong, match="256"):  # of each request, not of both slots together
                await events_of(engine, completion("word " * 300))


# Some models' templates refuse roles; llama.cpp then goes on with an empty prompt.
REFUSING = """
import socket, sys
from tenzij.engines import llamacpp_settings, llamacpp_worker
plain = llamacpp_settings.settings_for
def refusing(*arguments):
    settings = plain(*arguments)
    settings.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    return settings
llamacpp_settings.settings_for = refusing
llamacpp_worker.main(socket.socket(fileno=int(sys.argv[2])))
"""


async def test_messages_that_the_chat_template_refuses_are_the_callers_fault(
    default_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenzij.testing.worker_process._RUN", REFUSING)
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(worker_config(default_model_file, SHA256, hash=False, slots=1, context_tokens=256))
        assert isinstance(worker.outcome(), Ready)
        async with connected(worker) as engine:
            assert text_of(await events_of(engine, chat("hoi", max_tokens=4)))
            with pytest.raises(UnusableMessages):
                refused = (Message("user", "hoi"), Message("assistant", "hoi"), Message("user", "hoi"))
                await events_of(engine, Generation(Task.CHAT, refused, max_tokens=4))


@pytest.mark.parametrize("roles", ["ua", "uaa", "uu", "us", "a", "s", "ssu"])
async def test_any_order_of_roles_is_answered_or_refused(engine: LlamaCpp, roles: str) -> None:
    names = {"u": "user", "a": "assistant", "s": "system"}
    messages = tuple(Message(names[role], "hi") for role in roles)
    with suppress(UnusableMessages):
        assert finish_of(await events_of(engine, Generation(Task.CHAT, messages, max_tokens=1))).reason == "length"


# The small model can be made to embed: as a model for embeddings would, it then says how (its mean).
POOLED = """
import socket, sys, xllamacpp
from tenzij.engines import llamacpp_settings, llamacpp_worker
plain = llamacpp_settings.settings_for
def pooled(*arguments):
    settings = plain(*arguments)
    settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return settings
llamacpp_settings.settings_for = pooled
llamacpp_worker.main(socket.socket(fileno=int(sys.argv[2])))
"""


async def test_embeddings(default_model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenzij.testing.worker_process._RUN", POOLED)
    config = worker_config(default_model_file, SHA256, tasks=["embedding"], context_tokens=256, hash=False)
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(config)
        assert isinstance(worker.outcome(), Ready)
        async with connected(worker) as engine:
            found = await engine.embed(("A cat", "A dog", "A cat"))
            assert len(found.vectors) == 3
            assert len({len(vector) for vector in found.vectors}) == 1
            assert sum(a * b for a, b in zip(found.vectors[0], found.vectors[2], strict=True)) == pytest.approx(
                1, abs=1e-3
            )
            assert found.prompt_tokens >= 6
            long = await engine.embed(("word " * 150,))
            assert long.prompt_tokens >= 150, "longer than a batch of a prompt"
            with pytest.raises(ContextTooLong, match=r"256 tokens; the request has 301"):
                await engine.embed(("word " * 300,))


def test_weights_that_cannot_embed_are_refused_for_it(default_model_file: Path) -> None:
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(worker_config(default_model_file, SHA256, tasks=["embedding"], context_tokens=256, hash=False))
        failed = worker.outcome()
    assert isinstance(failed, Failed)
    assert (failed.code, failed.final) == ("no_embeddings", True)
