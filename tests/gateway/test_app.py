"""The application over plain ASGI: routes, entrance, one journey of each kind."""

from __future__ import annotations

from gateway.harness import World


async def test_a_whole_answer() -> None:
    world = World()
    response = await world.chat()
    assert response.status == 200
    assert response.tree["choices"][0]["message"]["content"] == "Hallo"
    assert world.log.outcome == ("voltooid", None)
