"""The relay, where gateways break: each way in which an answer can end, streamed and whole.

Tests that guard a known failure of other gateways are named after its row in the project's list of pitfalls.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from typing_extensions import override

from gateway.harness import (
    ANSWER,
    BROAD_KEY,
    MODEL,
    NOW_MS,
    PEPPER,
    USE_CASE,
    WEIGHTS,
    Asking,
    Step,
    Wait,
    World,
    chat,
    eventually,
    record,
    soon,
)
from tenzij.engines.protocol import Counted, Finish, Progress, Text, Usage
from tenzij.errors import EngineError
from tenzij.gateway import relay
from tenzij.gateway.leash import Reason
from tenzij.identity.keys import Keyring
from tenzij.ledger.outcome_entry import UsageRecord

STREAM: dict[str, Any] = {"stream": True}


class Dead(EngineError):
    """As an engine says it."""

    code = "engine_unreachable"


def asks(world: World, **fields: Any) -> Asking:
    return world.asks(tree=chat(**fields))


async def test_golden_chat_stream() -> None:
    world = World()
    response = await asks(world, stream=True).response()
    head = {
        "id": f"chatcmpl-{world.log.decisions[0].request}",
        "object": "chat.completion.chunk",
        "created": NOW_MS // 1000,
        "model": MODEL,
        "system_fingerprint": f"sha256-{WEIGHTS[:16]}",
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["tenzij-verzoek"] == world.log.decisions[0].request
    assert response.events == [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "Hal"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        "[DONE]",
    ]
    assert all(piece.endswith(b"\n\n") and piece.count(b"\n\n") == 1 for piece in response.pieces), "one frame a send"
    assert world.log.outcome == ("voltooid", None)


async def test_golden_completion_stream() -> None:
    world = World()
    tree = {"model": MODEL, "prompt": "Een", "stream": True}
    response = await world.asks(path="/v1/completions", tree=tree).response()
    head = {
        "id": f"cmpl-{world.log.decisions[0].request}",
        "object": "text_completion",
        "created": NOW_MS // 1000,
        "model": MODEL,
        "system_fingerprint": f"sha256-{WEIGHTS[:16]}",
    }

    def chunk(text: str, reason: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]}

    assert response.events == [chunk("Hal"), chunk("lo"), chunk("", "stop"), "[DONE]"]


async def test_usage_is_streamed_to_who_asks() -> None:
    response = await asks(World(), stream=True, stream_options={"include_usage": True}).response()
    *chunks, usage, done = response.events
    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


async def test_the_answers_of_both_deliveries_are_the_same() -> None:
    steps: list[Step] = [Progress(1, 2), Counted(Usage(2, 0)), *[Text(each) for each in "Dág 😀\n\n data: [DONE]"]]
    steps.append(Finish("length", Usage(2, 20)))
    whole = (await asks(World(steps)).response()).tree["choices"][0]
    events = (await asks(World(steps), stream=True).response()).events
    assert (
        "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
        == (whole["message"]["content"])
    )
    assert events[-2]["choices"][0]["finish_reason"] == whole["finish_reason"] == "length"


LOGPROBS = [
    {"content": [{"token": "Hal", "logprob": -0.5, "bytes": [72, 97, 108], "top_logprobs": [], "id": 12}]},
    {
        "content": [
            {
                "token": "lo",
                "logprob": float("-inf"),
                "bytes": None,
                "top_logprobs": [{"token": "lo", "logprob": -1, "bytes": [300]}],
            }
        ]
    },
]


async def test_logprobs_in_both_shapes() -> None:
    steps: list[Step] = [Text("Hal", LOGPROBS[0]), Text("lo", LOGPROBS[1]), Finish("stop", Usage(5, 2))]
    first = {"token": "Hal", "logprob": -0.5, "bytes": [72, 97, 108], "top_logprobs": []}
    second = {
        "token": "lo",
        "logprob": -9999.0,
        "bytes": None,
        "top_logprobs": [{"token": "lo", "logprob": -1.0, "bytes": None}],
    }
    whole = await asks(World(steps), logprobs=True).response()
    assert whole.tree["choices"][0]["logprobs"] == {"content": [first, second], "refusal": None}
    events = (await asks(World(steps), logprobs=True, stream=True).response()).events
    assert [event["choices"][0]["logprobs"] for event in events[1:3]] == [
        {"content": [first], "refusal": None},
        {"content": [second], "refusal": None},
    ]
    tree = {"model": MODEL, "prompt": "Een", "logprobs": 1}
    whole = await World(steps).asks(path="/v1/completions", tree=tree).response()
    assert whole.tree["choices"][0]["logprobs"] == {
        "tokens": ["Hal", "lo"],
        "token_logprobs": [-0.5, -9999.0],
        "top_logprobs": [{}, {"lo": -1.0}],
        "text_offset": [0, 3],
    }
    events = (await World(steps).asks(path="/v1/completions", tree=tree | STREAM).response()).events
    assert events[1]["choices"][0]["logprobs"]["text_offset"] == [3]
    nobody_asked = await asks(World(steps)).response()
    assert nobody_asked.tree["choices"][0]["logprobs"] is None


def hanging(*before: Step) -> tuple[list[Step], Wait]:
    wait = Wait()
    return [*before, wait, *ANSWER[1:]], wait


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "before",
    [(), (Progress(1, 5),), (Progress(5, 5), Text("Hal")), (Text("Hal"), Counted(Usage(5, 1)))],
    ids=["at once", "in the prompt", "in mid-answer", "counted"],
)
async def test_pitfall_1_and_2_a_client_that_hangs_up_frees_the_engine(before: Sequence[Step], stream: bool) -> None:
    steps, wait = hanging(*before)
    world = World(steps)
    asking = asks(world, stream=stream)
    await soon(wait.reached)
    asking.hung_up.set()
    await soon(world.engine.freed)
    await asking.task
    assert world.log.outcome == ("afgebroken", "client_weg")
    assert not world.gateway.in_flight
    assert not asking.finished.is_set()


async def test_pitfall_2_a_client_that_hangs_up_while_its_model_starts() -> None:
    world = World(engine_wait_s=5)
    world.workers("starting")
    asking = asks(world)
    await eventually(lambda: world.gateway.in_flight)
    asking.hung_up.set()
    async with asyncio.timeout(1):
        await asking.task
    assert world.log.outcome == ("afgebroken", "client_weg")
    assert asking.sent == []
    assert not world.engine.generations


async def test_pitfall_2_a_client_that_hangs_up_while_the_decision_is_recorded() -> None:
    world = World()
    world.log.gate.clear()
    asking = asks(world)
    await soon(world.log.asked)
    asking.hung_up.set()
    world.log.gate.set()
    async with asyncio.timeout(1):
        await asking.task
    await eventually(lambda: world.log.outcomes)
    assert world.log.outcome in (("afgebroken", "client_weg"), ("voltooid", None))
    assert world.engine.running == 0


async def test_pitfall_2_a_client_that_hangs_up_during_embedding() -> None:
    wait = Wait()
    world = World([wait])
    asking = world.asks(path="/v1/embeddings", tree={"model": "vectors", "input": "a"})
    await soon(wait.reached)
    asking.hung_up.set()
    await soon(world.engine.freed)
    await asking.task
    assert world.log.outcome == ("afgebroken", "client_weg")


@pytest.mark.parametrize("stream", [False, True])
async def test_pitfall_3_usage_is_not_lost_on_abort(stream: bool) -> None:
    steps, wait = hanging(Counted(Usage(5, 0)), Text("Hal"), Counted(Usage(5, 1)))
    world = World(steps)
    asking = asks(world, stream=stream)
    await soon(wait.reached)
    asking.hung_up.set()
    await asking.task
    (outcome,) = world.log.outcomes
    assert outcome.usage == UsageRecord(5, 1)
    assert outcome.finish is None
    assert outcome.commitments.answer is not None, "what was said is committed to, too"


@pytest.mark.parametrize("stream", [False, True])
async def test_pitfall_3_usage_is_not_lost_when_the_engine_dies(stream: bool) -> None:
    world = World([Counted(Usage(5, 1)), Text("Hal"), Dead("The model went away. Try again.")])
    await asks(world, stream=stream).response()
    assert world.log.outcomes[0].usage == UsageRecord(5, 1)
    assert world.log.outcome == ("mislukt", "engine_unreachable")


@pytest.mark.parametrize("stream", [False, True])
async def test_pitfall_4_and_6_a_cancel_from_above_leaves_an_outcome_and_goes_on(stream: bool) -> None:
    steps, wait = hanging(Text("Hal"))
    world = World(steps)
    asking = asks(world, stream=stream)
    await soon(wait.reached)
    asking.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking.task
    assert world.log.outcome == ("afgebroken", "gateway_stopt")
    assert world.engine.running == 0


async def test_pitfall_4_a_cancel_while_the_decision_is_recorded_leaves_an_outcome() -> None:
    world = World()
    world.log.gate.clear()
    asking = asks(world)
    await soon(world.log.asked)
    asking.task.cancel()
    await asyncio.sleep(0)
    asking.task.cancel()
    world.log.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asking.task
    assert world.log.outcome == ("afgebroken", "gateway_stopt")
    assert not world.engine.generations


async def test_pitfall_4_a_cancel_while_the_outcome_is_recorded_does_not_stop_it() -> None:
    world = World()
    world.log.outcome_gate.clear()
    asking = asks(world)
    await soon(asking.finished)
    await eventually(lambda: not world.gateway.in_flight)
    for _ in range(3):
        asking.task.cancel()
        await asyncio.sleep(0)
    assert not asking.task.done()
    world.log.outcome_gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asking.task
    assert world.log.outcome == ("voltooid", None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [None, Dead("The model went away."), ValueError("kapot")])
async def test_pitfall_5_nothing_stays_in_flight(stream: bool, error: Exception | None) -> None:
    world = World([Text("Hal"), *([error] if error else ANSWER[2:])])
    for _ in range(3):
        await asks(world, stream=stream).response()
    assert not world.gateway.in_flight
    assert world.engine.running == 0
    assert len(world.log.outcomes) == len(world.log.decisions) == 3
    left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not left, "no task outlives its request"


async def test_pitfall_7_nothing_is_read_ahead_of_a_client_that_does_not_read() -> None:
    steps: list[Step] = [Text(str(number)) for number in range(1000)]
    read = 0

    class Counting(list[Step]):
        """Knows how far it was read."""

        @override
        def __iter__(self) -> Any:
            nonlocal read
            for step in steps:
                read += 1
                yield step

    world = World(Counting(), silence_timeout_s=30)
    asking = world.asks(tree=chat(stream=True), reads_until=5)  # status, role, three pieces
    await asking.until_sent(5)
    for _ in range(100):
        await asyncio.sleep(0)
    assert read == 4
    asking.hung_up.set()
    await asking.task
    assert world.log.outcome == ("afgebroken", "client_weg")


async def test_pitfall_7_pieces_that_were_sent_are_not_kept() -> None:
    class Watched(str):
        """A string that tells when it is gone."""

        __slots__ = ("__weakref__",)

    alive: weakref.WeakSet[Watched] = weakref.WeakSet()
    most = 0

    class Making(list[Step]):
        """Makes each piece when it is asked for."""

        @override
        def __iter__(self) -> Any:
            nonlocal most
            for number in range(200):
                text = Watched(number)
                alive.add(text)
                yield Text(text)
                del text
                gc.collect(0)
                most = max(most, len(alive))
            yield ANSWER[-1]

    await asks(World(Making()), stream=True).response()
    assert most <= 3


async def test_pitfall_7_a_whole_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_ANSWER_CHARS", 100)
    world = World([Text("x" * 60), Text("x" * 60), *ANSWER])
    response = await asks(world).response()
    assert (response.status, response.error["code"]) == (502, "engine_error")
    assert world.log.outcome == ("mislukt", "engine_error")
    assert world.engine.running == 0


@pytest.mark.parametrize("error", [Dead("The model went away. Try again."), ValueError("kanarie"), None])
async def test_an_engine_that_dies_in_mid_stream_ends_it_with_an_error_event(error: Exception | None) -> None:
    world = World([Text("Hal"), *([error] if error else [])])
    response = await asks(world, stream=True).response()
    *chunks, last = response.events
    codes: dict[type, str] = {Dead: "engine_unreachable", ValueError: "internal_error"}
    code = codes.get(type(error), "engine_error")
    assert response.status == 200
    assert last["error"]["code"] == code
    assert "[DONE]" not in chunks
    assert b"kanarie" not in response.body
    assert world.log.outcome == ("mislukt", code)


async def test_an_engine_that_just_stops_is_no_whole_answer() -> None:
    world = World([Text("Hal")])
    response = await asks(world).response()
    assert (response.status, response.error["code"]) == (502, "engine_error")
    assert world.log.outcome == ("mislukt", "engine_error")


@pytest.mark.parametrize("stream", [False, True])
async def test_text_that_is_no_text_is_not_passed_on(stream: bool) -> None:
    world = World([Text("\ud800"), *ANSWER])
    response = await asks(world, stream=stream).response()
    assert world.log.outcome == ("mislukt", "engine_error")
    assert response.status == 502 or response.events[-1]["error"]["code"] == "engine_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("before", [(), (Text("Hal"),)], ids=["before the first word", "in mid-answer"])
async def test_a_silent_engine_is_left(before: Sequence[Step], stream: bool) -> None:
    steps, _ = hanging(*before)
    world = World(steps, silence_timeout_s=0.05)
    response = await asks(world, stream=stream).response()
    if stream and before:
        assert response.events[-1]["error"]["code"] == "engine_silent"
    else:
        assert (response.status, response.error["code"]) == (504, "engine_silent")
    assert world.log.outcome == ("mislukt", "engine_silent")
    assert world.engine.running == 0


async def test_progress_is_no_silence() -> None:
    waits = [Wait() for _ in range(6)]
    steps: list[Step] = [step for number, wait in enumerate(waits) for step in (wait, Progress(number, 6))]
    world = World([*steps, *ANSWER[1:]], silence_timeout_s=0.2)
    asking = asks(world)
    for wait in waits:
        await soon(wait.reached)
        await asyncio.sleep(0.06)
        wait.go.set()
    assert (await asking.response()).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_takes_too_long_is_cut(stream: bool) -> None:
    steps, _ = hanging(Text("Hal"))
    world = World(steps, answer_timeout_s=0.05)
    response = await asks(world, stream=stream).response()
    error = response.events[-1]["error"] if stream else response.error
    assert error["code"] == "answer_timeout"
    assert world.log.outcome == ("mislukt", "answer_timeout")
    assert world.engine.running == 0


async def test_a_client_that_reads_nothing_is_left() -> None:
    world = World([Text("Hal")] * 50 + list(ANSWER), silence_timeout_s=0.05)
    asking = world.asks(tree=chat(stream=True), reads_until=3)
    async with asyncio.timeout(1):
        await asking.task
    assert world.log.outcome == ("afgebroken", "client_leest_niet")
    assert world.engine.running == 0
    assert not asking.finished.is_set(), "the server then cuts the connection"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_cuts_what_is_in_flight_and_says_so(stream: bool) -> None:
    steps, wait = hanging(Text("Hal"))
    world = World(steps)
    asking = asks(world, stream=stream)
    await soon(wait.reached)
    world.gateway.cut_all(Reason.STOPPING)
    response = await asking.response()
    error = response.events[-1]["error"] if stream else response.error
    assert error["code"] == "stopping"
    assert world.log.outcome == ("afgebroken", "gateway_stopt")


def ring_with(**changes: Any) -> Keyring:
    """Two keys that may ask, the first with `changes`."""
    return Keyring(PEPPER, [record(0, "gewoon", **changes), record(4, "breed")])


GONE = Keyring(PEPPER, [record(4, "breed")])
NO_LONGER_VALID = [
    (ring_with(revoked=True), "revoked_api_key", "sleutel_ingetrokken"),
    (GONE, "revoked_api_key", "sleutel_ingetrokken"),
    (ring_with(expires_ms=NOW_MS), "expired_api_key", "sleutel_verlopen"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("keyring", "code", "reason"), NO_LONGER_VALID, ids=["revoked", "gone", "expired"])
async def test_a_key_that_is_no_longer_valid_loses_its_running_answer(
    keyring: Keyring, code: str, reason: str, stream: bool
) -> None:
    steps, wait = hanging(Text("Hal"))
    world = World(steps)
    asking = asks(world, stream=stream)
    await soon(wait.reached)
    world.gateway.replace_keyring(keyring)
    response = await asking.response()
    error = response.events[-1]["error"] if stream else response.error
    assert error["code"] == code
    assert response.status == (200 if stream else 401)
    assert b"[DONE]" not in response.body
    assert world.log.outcome == ("afgebroken", reason)
    assert not world.gateway.in_flight
    assert world.engine.running == 0


async def test_the_requests_of_other_keys_go_on_when_one_is_revoked() -> None:
    steps, wait = hanging(Text("Hal"))
    world = World(steps)
    cut = [asks(world, stream=stream) for stream in (False, True)]
    kept = world.asks(tree=chat(stream=True), key=BROAD_KEY, headers=[("Tenzij-Toepassing", USE_CASE)])
    await eventually(lambda: world.engine.running == 3)
    world.gateway.replace_keyring(ring_with(revoked=True))
    for asking in cut:
        await asking.response()
    assert not kept.task.done()
    wait.go.set()
    assert (await kept.response()).events[-1] == "[DONE]"
    assert len(world.log.decisions) == len(world.log.outcomes) == 3
    endings = {(entry.actor, entry.result, entry.reason) for entry in world.log.outcomes}
    assert endings == {("k_gewoon", "afgebroken", "sleutel_ingetrokken"), ("k_breed", "voltooid", None)}


async def test_a_keyring_in_which_the_key_is_still_valid_cuts_nothing() -> None:
    steps, wait = hanging(Text("Hal"))
    world = World(steps)
    asking = asks(world)
    await soon(wait.reached)
    world.gateway.replace_keyring(ring_with())
    wait.go.set()
    assert (await asking.response()).status == 200
    assert world.log.outcome == ("voltooid", None)


async def test_a_key_revoked_while_the_decision_is_recorded_gets_no_answer() -> None:
    world = World()
    world.log.gate.clear()
    asking = asks(world)
    await soon(world.log.asked)
    world.gateway.replace_keyring(ring_with(revoked=True))
    world.log.gate.set()
    response = await asking.response()
    assert (response.status, response.error["code"]) == (401, "revoked_api_key")
    assert world.log.outcome == ("afgebroken", "sleutel_ingetrokken")
    assert not world.engine.generations


async def test_a_key_revoked_after_the_last_byte_changes_nothing() -> None:
    world = World()
    world.log.outcome_gate.clear()
    asking = asks(world)
    await soon(asking.finished)
    world.gateway.replace_keyring(ring_with(revoked=True))
    world.log.outcome_gate.set()
    assert (await asking.response()).status == 200
    assert world.log.outcome == ("voltooid", None)


async def test_a_hang_up_after_the_last_byte_changes_nothing() -> None:
    world = World()
    world.log.outcome_gate.clear()
    asking = asks(world, stream=True)
    await soon(asking.finished)
    asking.hung_up.set()
    world.log.outcome_gate.set()
    await asking.response()
    assert world.log.outcome == ("voltooid", None)


async def test_an_empty_answer_is_an_answer() -> None:
    steps: list[Step] = [Finish("length", Usage(5, 0))]
    whole = await asks(World(steps)).response()
    assert whole.tree["choices"][0]["message"]["content"] == ""
    events = (await asks(World(steps), stream=True).response()).events
    assert [event["choices"][0]["delta"] for event in events[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {},
    ]


async def test_nothing_of_the_engines_own_reaches_a_client() -> None:
    steps: list[Step] = [Progress(3, 9), Counted(Usage(9, 0)), *ANSWER]
    for stream in (False, True):
        body = (await asks(World(steps), stream=stream).response()).body.decode()
        for word in ("cached", "timings", "progress", "_ms", "per_second", "slot"):
            assert word not in body
