"""One request's journey: what is decided, what is recorded, in which order, and what the client is told about it."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import pytest

from gateway.harness import (
    BROAD_KEY,
    MODEL,
    NOW_MS,
    POLICY,
    WEIGHTS,
    ScriptedEngine,
    Wait,
    World,
    chat,
    eventually,
    model,
    snapshot,
    soon,
    use_case,
)
from tenzij.channels.control import WorkerState
from tenzij.engines.protocol import Counted, Message, Progress, Usage
from tenzij.errors import CallerError, EngineError
from tenzij.gateway.asked import Asked
from tenzij.gateway.question import question_bytes
from tenzij.ledger.commitments import ANSWER, QUESTION, commitment
from tenzij.ledger.conversion import decision_from, facts_from
from tenzij.ledger.decision_entry import LocalRecord, RefusedRecord
from tenzij.ledger.outcome_entry import UsageRecord
from tenzij.policy.decide import decide
from tenzij.types import Level, ModelId, PersonalData, Sha256, Task, Verification

CANARY = "kanarie-piet-4711"


async def test_an_answer_and_what_it_says_about_itself() -> None:
    world = World()
    response = await world.chat()
    request = world.log.decisions[0].request
    assert response.status == 200
    assert response.tree == {
        "id": f"chatcmpl-{request}",
        "object": "chat.completion",
        "created": NOW_MS // 1000,
        "model": MODEL,
        "system_fingerprint": f"sha256-{WEIGHTS[:16]}",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hallo", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    told = {name: value for name, value in response.headers.items() if name.startswith(("tenzij", "x-request"))}
    assert told == {
        "tenzij-verzoek": request,
        "x-request-id": request,
        "tenzij-besluit": f"local_named;beleid={POLICY}",
        "tenzij-gewichten": WEIGHTS,
        "tenzij-locatie": "eigen",
    }


async def test_the_records_of_an_answer() -> None:
    world = World()
    await world.chat(max_tokens=10)
    (decision,) = world.log.decisions
    assert (decision.actor, decision.origin, decision.target) == ("k_gewoon", "lokaal", f"model/{MODEL}")
    assert decision.facts.tokens_wanted > 10
    assert isinstance(decision.decision, LocalRecord)
    assert decision.decision.verification is Verification.HASHED
    replayed = decide(facts_from(decision), world.gateway.snapshot)
    assert replayed == decision_from(decision), "replays to the same codes"
    (outcome,) = world.log.outcomes
    assert world.log.outcome == ("voltooid", None)
    assert (outcome.finish, outcome.usage, outcome.duration_ms) == ("stop", UsageRecord(5, 2), 0)


async def test_text_is_recorded_as_commitments_alone() -> None:
    world = World()
    keys: list[bytes] = []
    record_decision, record_outcome = world.log.record_decision, world.log.record_outcome

    async def keeping_decision(entry: Any, key: bytes = b"") -> int:
        keys.append(key)
        return await record_decision(entry, key)

    async def keeping_outcome(entry: Any, key: bytes = b"") -> int:
        keys.append(key)
        return await record_outcome(entry, key)

    world.log.record_decision = keeping_decision  # type: ignore[method-assign]
    world.log.record_outcome = keeping_outcome  # type: ignore[method-assign]
    await world.chat()
    question = question_bytes(Asked(Task.CHAT, MODEL, 0, world.engine.generations[0]), MODEL)
    assert world.log.decisions[0].commitments.question == commitment(keys[0], QUESTION, question)
    assert world.log.outcomes[0].commitments.answer == commitment(keys[1], ANSWER, b"Hallo")
    assert keys[0] != keys[1]


async def test_nothing_reaches_the_engine_before_the_decision_is_durable() -> None:
    world = World()
    world.log.gate.clear()
    durable_first: list[bool] = []
    world.engine.on_begin = lambda: durable_first.append(len(world.log.decisions) == 1)
    asking = world.asks()
    await soon(world.log.asked)
    for _ in range(20):
        await asyncio.sleep(0)
    assert durable_first == []
    world.log.gate.set()
    assert (await asking.response()).status == 200
    assert durable_first == [True]


async def test_a_ledger_that_fails_at_the_decision_stops_it() -> None:
    world = World()
    world.log.gate.clear()
    asking = world.asks()
    await soon(world.log.asked)
    world.log.is_ready = False
    world.log.gate.set()
    response = await asking.response()
    assert (response.status, response.error["code"]) == (503, "ledger_unavailable")
    assert not world.engine.generations
    assert not world.log.outcomes
    assert "tenzij-verzoek" not in response.headers, "no entry, no name of one"


async def test_an_answer_does_not_wait_for_its_outcome() -> None:
    world = World()
    world.log.outcome_gate.clear()
    asking = world.asks()
    await soon(asking.finished)
    assert asking.so_far().status == 200
    await eventually(lambda: not world.gateway.in_flight)
    assert world.engine.running == 0, "the engine is let go"
    assert not asking.task.done()
    world.log.outcome_gate.set()
    await asking.response()
    assert world.log.outcome == ("voltooid", None)


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code", "rule"),
    [
        ({"model": CANARY}, {}, 404, "model_not_found", "model_unknown"),
        ({"model": "hidden"}, {}, 403, "model_not_allowed", "model_not_allowed"),
        ({"model": "vectors"}, {}, 400, "task_not_supported", "task_not_supported"),
        ({}, {"Tenzij-Vertrouwelijkheid": "niveau_3"}, 403, "above_ceiling", "above_ceiling"),
        ({}, {"Tenzij-Vertrouwelijkheid": "zaakvertrouwelijk"}, 403, "above_ceiling", "above_ceiling"),
        ({}, {"Tenzij-Vertrouwelijkheid": "Zeer_Geheim"}, 403, "state_secret", "state_secret"),
        ({}, {"Tenzij-Toepassing": CANARY}, 400, "use_case_not_chosen", "use_case_not_chosen"),
    ],
)
async def test_refusals_are_told_and_recorded(
    fields: dict[str, Any], headers: dict[str, str], status: int, code: str, rule: str
) -> None:
    world = World()
    response = await world.asks(tree=chat(**fields), headers=list(headers.items())).response()
    assert (response.status, response.error["code"]) == (status, code)
    assert response.error["nl"] != response.error["message"]
    (decision,) = world.log.decisions
    assert isinstance(decision.decision, RefusedRecord)
    assert decision.decision.rule == rule
    assert response.headers["tenzij-verzoek"] == decision.request
    assert response.headers["tenzij-besluit"] == f"{rule};beleid={POLICY}"
    assert not world.log.outcomes
    assert not world.engine.generations
    assert CANARY.encode() not in response.body
    assert decide(facts_from(decision), world.gateway.snapshot) == decision_from(decision)


async def test_an_unknown_model_is_told_what_there_is() -> None:
    assert MODEL in (await World().chat(model="gpt-4o")).error["message"]


async def test_a_capability_that_the_model_lacks_is_400() -> None:
    world = World()
    world.gateway.snapshot = snapshot(models=[model(capabilities=frozenset())])
    response = await world.chat(response_format={"type": "json_object"})
    assert (response.status, response.error["code"]) == (400, "capability_not_supported")


async def test_unknown_findings_need_a_use_case_that_permits_them() -> None:
    world = World()
    ordinary = frozenset({PersonalData.ORDINARY})
    world.gateway.snapshot = snapshot(use_cases=[use_case(personal_data=ordinary)])
    assert (await world.chat()).error["code"] == "personal_data_unknown"


async def test_no_model_is_the_use_cases_first() -> None:
    world = World()
    response = await world.chat(model=...)
    assert (response.status, response.tree["model"]) == (200, MODEL)
    assert response.headers["tenzij-besluit"].startswith("local_default;")


@pytest.mark.parametrize("word", ["niveau_1", "openbaar", "intern", " Niveau_2 "])
async def test_a_declared_class_is_recorded(word: str) -> None:
    world = World()
    assert (await world.asks(headers=[("Tenzij-Vertrouwelijkheid", word)]).response()).status == 200
    assert world.log.decisions[0].facts.declared in ("niveau_1", "niveau_2")


@pytest.mark.parametrize("word", ["", CANARY, "niveau_0", "niveau_9", "laag"])
async def test_a_class_that_is_none_is_refused(word: str) -> None:
    world = World()
    response = await world.asks(headers=[("Tenzij-Vertrouwelijkheid", word)]).response()
    assert (response.status, response.error["code"]) == (400, "invalid_header")
    assert CANARY.encode() not in response.body
    assert not world.log.decisions


async def test_a_declaration_only_raises() -> None:
    world = World()
    world.gateway.snapshot = snapshot(use_cases=[use_case(floor=Level.INTERNAL)])
    await world.asks(headers=[("Tenzij-Vertrouwelijkheid", "niveau_1")]).response()
    assert world.log.decisions[0].decision.level == "niveau_2"


async def test_a_key_of_several_use_cases_must_choose() -> None:
    world = World()
    response = await world.asks(key=BROAD_KEY).response()
    assert (response.status, response.error["code"]) == (400, "use_case_not_chosen")
    assert "zaken" in response.error["message"]
    response = await world.asks(key=BROAD_KEY, headers=[("Tenzij-Toepassing", "verkenning")]).response()
    assert response.status == 200


async def test_headers_that_would_steer_do_nothing() -> None:
    world = World()
    steering = ["X-Model", "X-Api-Base", "X-Portkey-Provider", "X-Request-Id", "Traceparent", "X-User", "Host"]
    response = await world.asks(headers=[(name, CANARY) for name in steering]).response()
    assert response.status == 200
    assert CANARY not in str(response.headers)
    assert CANARY not in str(world.engine.generations)


@pytest.mark.parametrize(
    ("tree", "limit"),
    [
        (chat(), 1024),
        (chat(max_tokens=3), 3),
        (chat(max_completion_tokens=4), 4),
        (chat(max_tokens=2048), 2048),
    ],
)
async def test_the_answer_limit_that_the_engine_gets(tree: dict[str, Any], limit: int) -> None:
    world = World()
    assert (await world.asks(tree=tree).response()).status == 200
    (generation,) = world.engine.generations
    assert generation.max_tokens == limit
    assert generation.messages == (Message("user", "Dag"),)
    assert generation.extra == {}


async def test_an_answer_limit_beyond_the_context() -> None:
    world = World()
    response = await world.chat(max_tokens=2049)
    assert (response.status, response.error["code"]) == (400, "context_length_exceeded")
    assert not world.log.decisions
    assert not world.engine.generations
    world.gateway.snapshot = snapshot(models=[model(context_tokens=256)])
    assert (await world.chat()).status == 200
    assert world.engine.generations[0].max_tokens == 256


class ContextFull(CallerError):
    """As an engine says it."""

    code = "context_length_exceeded"


class Dead(EngineError):
    """As an engine says it."""

    code = "engine_unreachable"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ContextFull("The prompt is too long for this model.", param="messages"), 400, "context_length_exceeded"),
        (Dead("The model went away. Try again."), 502, "engine_unreachable"),
        (Dead("The model went away. Try again.", retry_after_s=3), 502, "engine_unreachable"),
        (ValueError(CANARY), 500, "internal_error"),
        (TimeoutError(CANARY), 500, "internal_error"),
        (ConnectionResetError(CANARY), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_fails_before_its_first_word(
    error: Exception, status: int, code: str, stream: bool
) -> None:
    world = World([Progress(1, 5), Counted(Usage(5, 0)), error])
    response = await world.chat(stream=stream)
    assert (response.status, response.error["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["tenzij-verzoek"] == world.log.decisions[0].request
    assert world.log.outcome == ("mislukt", code)
    assert world.engine.running == 0
    assert CANARY.encode() not in response.body


async def test_a_model_that_starts_is_waited_for() -> None:
    world = World(engine_wait_s=5)
    world.workers("starting")
    asking = world.asks()
    await eventually(lambda: world.log.decisions)
    assert not world.engine.generations
    world.workers("backoff")
    for _ in range(5):
        await asyncio.sleep(0)
    world.workers("ready")
    assert (await asking.response()).status == 200


@pytest.mark.parametrize("state", ["starting", "backoff", "given_up", "stopped", "onbekend"])
async def test_a_model_that_does_not_come_is_503(state: str) -> None:
    world = World(engine_wait_s=0.05)
    world.workers(state)
    response = await world.chat()
    assert (response.status, response.error["code"]) == (503, "model_not_ready")
    assert int(response.headers["retry-after"]) >= 1
    assert world.log.outcome == ("mislukt", "model_not_ready")


@pytest.mark.parametrize("weights", [None, Sha256("ef" * 32)])
async def test_other_weights_than_admitted_are_not_used(weights: Sha256 | None) -> None:
    world = World()
    world.gateway.update_workers([WorkerState(MODEL, "ready", "", weights, None)])
    response = await world.chat()
    assert (response.status, response.error["code"]) == (503, "weights_mismatch")
    assert world.log.outcome == ("mislukt", "weights_mismatch")
    assert not world.engine.generations


async def test_a_stopping_gateway_takes_nothing_new() -> None:
    world = World()
    world.gateway.stopping = True
    response = await world.chat()
    assert (response.status, response.error["code"]) == (503, "stopping")


async def test_embeddings() -> None:
    world = World([])
    tree = {"model": "vectors", "input": ["a", "b"]}
    response = await world.asks(path="/v1/embeddings", tree=tree).response()
    assert response.tree == {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": [0.5, -1.0]} for index in (0, 1)],
        "model": "vectors",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    }
    assert world.log.outcomes[0].usage == UsageRecord(6, 0)
    assert world.log.outcomes[0].commitments.answer is None
    response = await world.asks(path="/v1/embeddings", tree=tree | {"encoding_format": "base64"}).response()
    packed = base64.b64decode(response.tree["data"][1]["embedding"])
    assert struct.unpack("<2f", packed) == (0.5, -1.0)


async def test_embeddings_of_a_model_that_has_none() -> None:
    response = await World().asks(path="/v1/embeddings", tree={"model": MODEL, "input": "a"}).response()
    assert (response.status, response.error["code"]) == (400, "task_not_supported")


async def test_a_text_completion() -> None:
    world = World()
    response = await world.asks(path="/v1/completions", tree={"model": MODEL, "prompt": "Een"}).response()
    assert response.tree["object"] == "text_completion"
    assert response.tree["choices"] == [{"index": 0, "text": "Hallo", "logprobs": None, "finish_reason": "stop"}]
    assert world.engine.generations[0].prompt == "Een"


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "invalid_json"), (b'{"a": NaN}', "invalid_json"), (b"[" * 50, "invalid_json"), (b"3", "invalid_value")],
)
async def test_bodies_that_are_no_request(body: bytes, code: str) -> None:
    world = World()
    response = await world.asks(body=body).response()
    assert (response.status, response.error["code"]) == (400, code)
    assert not world.log.decisions


async def test_a_body_that_announces_itself_too_large_is_not_read() -> None:
    world = World(max_body_bytes=2000)
    asking = world.asks(body=b"", stalled_body=True, headers=[("Content-Length", "2001")])
    response = await asking.response()
    assert (response.status, response.error["code"]) == (413, "body_too_large")


async def test_a_body_that_turns_out_too_large() -> None:
    world = World(max_body_bytes=2000)
    asking = world.asks(body=[b" " * 1000, b" " * 1000, b" "], stalled_body=True)
    assert (await asking.response()).status == 413


async def test_a_body_that_does_not_come() -> None:
    world = World(body_timeout_s=0.05)
    response = await world.asks(body=b"{", stalled_body=True).response()
    assert (response.status, response.error["code"]) == (408, "body_timeout")


async def test_a_compressed_body() -> None:
    response = await World().asks(headers=[("Content-Encoding", "gzip")]).response()
    assert (response.status, response.error["code"]) == (415, "unsupported_content_encoding")


async def test_a_client_that_leaves_while_it_sends_is_nothing_to_record() -> None:
    world = World()
    asking = world.asks(body=b"{", stalled_body=True)
    asking.hung_up.set()
    async with asyncio.timeout(1):
        await asking.task
    assert asking.sent == []
    assert not world.log.decisions


async def test_two_callers_do_not_wait_for_each_other() -> None:
    wait = Wait()
    world = World([wait, *ScriptedEngine().steps])
    first = world.asks()
    await soon(wait.reached)
    world.engine.steps = ScriptedEngine().steps
    assert (await world.chat()).status == 200
    wait.go.set()
    assert (await first.response()).status == 200
    assert len({decision.request for decision in world.log.decisions}) == 2


def test_the_question_is_one_sequence_of_bytes() -> None:
    world_bytes = question_bytes(Asked(Task.EMBEDDING, None, 0, inputs=("é",)), ModelId("m"))
    assert world_bytes == '{"inputs":["é"],"model":"m","task":"embedding","v":1}'.encode()
