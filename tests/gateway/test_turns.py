"""Turns at an engine: no more at a time than it has slots, in order, and nobody waits for ever or for nothing."""

from __future__ import annotations

from gateway.harness import Asking, ScriptedEngine, Wait, World, eventually, soon
from tenzij.engines.protocol import Finish, Text, Usage
from tenzij.errors import EngineError
from tenzij.gateway.turns import Turns

END = (Text("klaar"), Finish("stop", Usage(5, 1)))


def world_with_one_slot(wait_s: float = 5.0) -> tuple[World, Wait]:
    hold = Wait()
    world = World((hold, *END))
    world.gateway.turns = Turns(1, wait_s)
    return world, hold


async def test_the_next_waits_until_the_slot_is_free() -> None:
    world, hold = world_with_one_slot()
    first = world.asks()
    await soon(hold.reached)
    second = world.asks()
    await eventually(lambda: len(world.log.decisions) == 2)
    assert len(world.engine.generations) == 1, "the second is decided, and waits outside the engine"
    hold.go.set()
    assert (await first.response()).status == (await second.response()).status == 200
    assert len(world.engine.generations) == 2


async def test_who_waits_too_long_is_told_when_to_come_back() -> None:
    world, hold = world_with_one_slot(wait_s=0.05)
    first = world.asks()
    await soon(hold.reached)
    refused = await world.asks().response()
    assert refused.status == 503
    assert refused.error["code"] == "model_busy"
    assert int(refused.headers["retry-after"]) >= 1
    assert [(o.result, o.reason) for o in world.log.outcomes] == [("mislukt", "model_busy")]
    hold.go.set()
    assert (await first.response()).status == 200


async def test_who_hangs_up_while_waiting_leaves_the_queue() -> None:
    world, hold = world_with_one_slot()
    first = world.asks()
    await soon(hold.reached)
    second = world.asks()
    await eventually(lambda: len(world.log.decisions) == 2)
    second.hung_up.set()
    await eventually(second.task.done)
    assert [(o.result, o.reason) for o in world.log.outcomes] == [("afgebroken", "client_weg")]
    third = world.asks()
    hold.go.set()
    assert (await first.response()).status == (await third.response()).status == 200
    assert len(world.engine.generations) == 2, "the engine never heard of the second"


async def test_a_slot_comes_free_when_its_holder_hangs_up_or_fails() -> None:
    world, hold = world_with_one_slot()
    first = world.asks()
    await soon(hold.reached)
    first.hung_up.set()
    await soon(world.engine.freed)
    world.engine.steps = (EngineError("The engine failed."),)
    assert (await world.asks().response()).status == 502
    world.engine.steps = END
    assert (await world.asks().response()).status == 200


async def test_engines_do_not_wait_for_each_other() -> None:
    world, hold = world_with_one_slot()
    first = world.asks()
    await soon(hold.reached)
    other = ScriptedEngine(END)
    world.gateway._engine_for_model = lambda _: other
    vectors = Asking(world, "/v1/embeddings", tree={"model": "vectors", "input": "hallo"})
    assert (await vectors.response()).status == 200
    hold.go.set()
    assert (await first.response()).status == 200
