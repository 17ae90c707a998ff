"""Routes and the entrance, over plain ASGI: what is there, who may come in, and when everything is closed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.harness import (
    BROAD_KEY,
    EXPIRED_KEY,
    KEY,
    LOOPBACK_KEY,
    MODEL,
    POLICY,
    REVOKED_KEY,
    STRANGER,
    WEIGHTS,
    World,
    snapshot,
    use_case,
)
from tenzij.identity.keys import Keyring

CANARY = "kanarie-piet-4711"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/models/", "/v1/chat/completions/", f"/{CANARY}", "/v1/responses"])
async def test_an_unknown_path_is_404(path: str) -> None:
    response = await World().asks(path=path).response()
    assert (response.status, response.error["code"]) == (404, "unknown_url")
    assert response.error["type"] == "invalid_request_error"
    assert CANARY.encode() not in response.body


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/v1/chat/completions", "GET", "POST"),
        ("/v1/chat/completions", "OPTIONS", "POST"),
        ("/v1/models", "POST", "GET, HEAD"),
        (f"/v1/models/{CANARY}", "DELETE", "GET, HEAD"),
        ("/health/live", "POST", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405(path: str, method: str, allow: str) -> None:
    response = await World().asks(path=path, method=method).response()
    assert (response.status, response.error["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allow
    assert CANARY.encode() not in response.body


async def test_every_answer_forbids_caching_and_guessing() -> None:
    world = World()
    for asking in (
        world.asks(),
        world.asks(key=None),
        world.asks(path="/nowhere"),
        world.asks(tree={"messages": [{"role": "user", "content": "a"}], "stream": True}),
    ):
        headers = (await asking.response()).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"),
        (CANARY, "invalid_api_key"),
        (STRANGER, "invalid_api_key"),
        (EXPIRED_KEY, "expired_api_key"),
        (REVOKED_KEY, "revoked_api_key"),
    ],
)
@pytest.mark.parametrize(("path", "method"), [("/v1/chat/completions", "POST"), ("/v1/models", "GET")])
async def test_keys_that_give_no_entrance(key: str | None, code: str, path: str, method: str) -> None:
    world = World()
    response = await world.asks(path=path, method=method, key=key).response()
    assert (response.status, response.error["code"]) == (401, code)
    assert response.error["type"] == "authentication_error"
    assert response.headers["www-authenticate"] == "Bearer"
    assert CANARY.encode() not in response.body
    assert world.gateway.unauthenticated == {code: 1}, "counted, not logged"
    assert not world.log.decisions
    assert not world.engine.generations


async def test_the_key_is_looked_at_before_the_body() -> None:
    asking = World().asks(key=None, body=b"", stalled_body=True)
    assert (await asking.response()).status == 401


async def test_a_key_that_is_revoked_while_the_body_comes_gives_no_entrance() -> None:
    world = World()
    keyring = Keyring(b"p" * 32, [])

    class Swapping:
        """Revokes all keys while the body is read."""

        def is_current(self, within_s: float) -> bool:
            current, world.gateway.keyring = world.gateway.keyring, keyring
            return current is not None

    world.gateway._policy = Swapping()
    response = await world.asks().response()
    assert response.error["code"] == "invalid_api_key"
    assert not world.log.decisions


@pytest.mark.parametrize(
    ("host", "behind_proxy", "status"),
    [
        ("127.0.0.1", False, 200),
        ("::1", False, 200),
        ("::ffff:127.0.0.1", False, 200),
        ("192.168.1.7", False, 403),
        ("2001:db8::1", False, 403),
        ("", False, 403),
        (CANARY, False, 403),
        ("127.0.0.1", True, 403),  # the proxy's address says nothing about who is behind it
    ],
)
async def test_a_key_for_this_machine_alone(host: str, behind_proxy: bool, status: int) -> None:
    world = World(behind_tls_proxy=behind_proxy)
    headers = [("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")]
    response = await world.asks(key=LOOPBACK_KEY, host=host, headers=headers).response()
    assert response.status == status
    assert status == 200 or response.error["code"] == "loopback_only_key"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Token {KEY}"])
async def test_another_scheme_is_no_key(authorization: str) -> None:
    response = await World().asks(key=None, headers=[("Authorization", authorization)]).response()
    assert response.error["code"] == "missing_api_key"


@pytest.mark.parametrize("name", ["Authorization", "Tenzij-Toepassing", "Tenzij-Vertrouwelijkheid", "Content-Length"])
async def test_a_header_of_ours_comes_once(name: str) -> None:
    world = World()
    value = f"Bearer {KEY}" if name == "Authorization" else "niveau_1"
    key = None if name == "Authorization" else KEY
    response = await world.asks(key=key, headers=[(name, value), (name, value)]).response()
    assert (response.status, response.error["code"]) == (400, "invalid_header")
    assert not world.log.decisions


@pytest.mark.parametrize("missing", ["snapshot", "keyring", "fresh"])
async def test_without_policy_everything_is_refused(missing: str) -> None:
    world = World()
    if missing == "fresh":
        world.policy.fresh = False
    else:
        setattr(world.gateway, missing, None)
    for asking in (world.asks(), world.asks(path="/v1/models", method="GET"), world.asks(key=None)):
        response = await asking.response()
        assert (response.status, response.error["code"]) == (503, "policy_unavailable")
        assert response.headers["retry-after"]
    assert not world.engine.generations
    assert (await world.asks(path="/health/live", method="GET", key=None).response()).status == 200


async def test_without_ledger_everything_is_refused() -> None:
    world = World()
    world.log.is_ready = False
    for asking in (world.asks(), world.asks(path="/v1/models", method="GET")):
        response = await asking.response()
        assert (response.status, response.error["code"]) == (503, "ledger_unavailable")
        assert response.headers["retry-after"]
    assert not world.engine.generations


def _break_policy(world: World) -> None:
    world.policy.fresh = False


def _break_ledger(world: World) -> None:
    world.log.is_ready = False


def _break_models(world: World) -> None:
    world.workers("starting")


def _break_weights(world: World) -> None:
    world.workers("ready", weights=None)


def _stop(world: World) -> None:
    world.gateway.stopping = True


@pytest.mark.parametrize(
    ("broken", "codes"),
    [
        ([], []),
        ([_break_policy], ["policy"]),
        ([_break_ledger], ["ledger"]),
        ([_break_models], ["models"]),
        ([_break_weights], ["models"]),
        ([_break_ledger, _break_models], ["ledger", "models"]),
        ([_break_policy, _break_ledger], ["policy", "ledger"]),
        ([_stop], ["stopping"]),
    ],
)
async def test_readiness_gives_its_reasons(broken: list[Any], codes: list[str]) -> None:
    world = World()
    for break_it in broken:
        break_it(world)
    response = await world.asks(path="/health/ready", method="GET", key=None).response()
    assert response.status == (503 if codes else 200)
    assert [reason["code"] for reason in response.tree.get("reasons", [])] == codes
    for secret in (MODEL, POLICY, WEIGHTS, "verkenning"):
        assert secret.encode() not in response.body


async def test_models_are_those_of_the_caller() -> None:
    world = World()
    response = await world.asks(path="/v1/models", method="GET").response()
    assert [shown["id"] for shown in response.tree["data"]] == [MODEL, "vectors"]
    assert response.tree["data"][0] == {
        "id": MODEL,
        "object": "model",
        "created": 1790000000,
        "owned_by": "tenzij",
        "tenzij": {
            "locatie": "eigen",
            "gewichten": WEIGHTS,
            "licentie": "Apache-2.0",
            "taken": ["chat", "completion"],
            "vermogens": ["structured_output"],
            "context_tokens": 2048,
            "toepassingen": ["verkenning"],
            "gereed": True,
        },
    }
    assert not world.log.decisions


@pytest.mark.parametrize(
    ("chosen", "names"),
    [(None, [MODEL, "vectors", "hidden"]), ("zaken", ["hidden"]), ("verkenning", [MODEL, "vectors"]), (CANARY, [])],
)
async def test_a_use_case_narrows_the_models(chosen: str | None, names: list[str]) -> None:
    headers = [] if chosen is None else [("Tenzij-Toepassing", chosen)]
    response = await World().asks(path="/v1/models", method="GET", key=BROAD_KEY, headers=headers).response()
    assert [shown["id"] for shown in response.tree["data"]] == names


async def test_an_inactive_use_case_has_no_models() -> None:
    world = World()
    world.gateway.snapshot = snapshot(use_cases=[use_case(active=False)])
    assert (await world.asks(path="/v1/models", method="GET").response()).tree["data"] == []


@pytest.mark.parametrize("name", ["hidden", CANARY, "../smol"])
async def test_a_model_of_others_does_not_exist(name: str) -> None:
    response = await World().asks(path=f"/v1/models/{name}", method="GET").response()
    assert (response.status, response.error["code"]) == (404, "model_not_found")
    assert MODEL in response.error["message"]
    assert CANARY.encode() not in response.body
    assert b"hidden" not in response.body


async def test_one_model() -> None:
    response = await World().asks(path=f"/v1/models/{MODEL}", method="GET").response()
    assert (response.status, response.tree["id"]) == (200, MODEL)


async def test_an_exception_of_no_kind_of_ours_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def broken(*_: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr("tenzij.gateway.journey.facts_from", broken)
    response = await world.asks().response()
    assert (response.status, response.error["code"]) == (500, "internal_error")
    assert CANARY.encode() not in response.body
    assert world.gateway.internal_errors == 1
