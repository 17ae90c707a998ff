"""A client that hangs up frees the real engine, and every request ends in exactly one outcome.

One slot, so that the next request has to wait for the one before: had the engine gone on, the next would wait
for seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from end_to_end.conftest import MODEL, home_with_model
from end_to_end.running import Running, until
from tenzij.ledger.reader import read_entries

LONG_ANSWER = {"messages": [{"role": "user", "content": "Write a very long story about the sea."}], "max_tokens": 400}
LONG_PROMPT = {"messages": [{"role": "user", "content": "All work and no play. " * 250}], "max_tokens": 2}
LONG: dict[str, dict[str, Any]] = {"before the first token": LONG_PROMPT, "in mid-answer": LONG_ANSWER}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, default_model_file: Any) -> Iterator[Running]:
    home = home_with_model(tmp_path_factory.mktemp("hangup") / "home", default_model_file)
    running = Running(home, "[worker]\nslots = 1\n")
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def client(platform: Running) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=platform.base_url, headers={"Authorization": f"Bearer {platform.key}"}, timeout=60
    ) as client:
        yield client


def seconds_for_a_short_answer(client: httpx.Client) -> float:
    began = time.monotonic()
    answer = client.post(
        "chat/completions", json={"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began


def outcomes(platform: Running) -> list[dict[str, Any]]:
    """The outcome of each allowed decision, in order; fails unless each has exactly one."""
    allowed: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for _, entry in read_entries(platform.home / "ledger"):
        if entry["soort"] == "besluit" and entry["resultaat"] == "toegestaan":
            assert entry["verzoek"] not in allowed, "two decisions for one request"
            allowed.append(entry["verzoek"])
        elif entry["soort"] == "uitkomst":
            assert entry["verzoek"] not in found, "two outcomes for one request"
            found[entry["verzoek"]] = entry
    return [found[request] for request in allowed if request in found]


def cut_off(platform: Running) -> list[dict[str, Any]]:
    """The outcomes of requests that were cut off."""
    return [outcome for outcome in outcomes(platform) if outcome["resultaat"] == "afgebroken"]


@pytest.fixture(scope="module")
def whole_s(platform: Running) -> dict[str, float]:
    """Seconds that each long request takes when nobody hangs up: the control, and the measure on a busy machine."""
    taken = {}
    with httpx.Client(
        base_url=platform.base_url, headers={"Authorization": f"Bearer {platform.key}"}, timeout=90
    ) as client:
        for name, body in LONG.items():
            began = time.monotonic()
            assert client.post("chat/completions", json=body | {"model": MODEL}).status_code == 200
            taken[name] = time.monotonic() - began
    return taken


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", LONG)
def test_hanging_up_frees_the_engine_within_a_second(
    platform: Running, client: httpx.Client, whole_s: dict[str, float], name: str, stream: bool
) -> None:
    alone_s = max(seconds_for_a_short_answer(client) for _ in range(3))
    before = len(cut_off(platform))
    hang_up(client, LONG[name] | {"model": MODEL, "stream": stream}, after_s=whole_s[name] / 10)
    waited_s = seconds_for_a_short_answer(client)
    assert waited_s < alone_s + max(1.0, whole_s[name] / 4)
    (ended,) = until(lambda: cut_off(platform)[before:], 5, "the outcome")
    assert ended["reden"] == "client_weg"


def hang_up(client: httpx.Client, body: dict[str, Any], after_s: float) -> None:
    """Asks, and closes the connection after so many seconds, whatever came until then."""
    with pytest.raises(httpx.TimeoutException):
        deadline = time.monotonic() + after_s
        with client.stream("POST", "chat/completions", json=body, timeout=after_s) as answer:
            for _ in answer.iter_bytes():
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("hanging up in mid-stream")


def test_usage_of_an_interrupted_answer_is_what_the_engine_counted(platform: Running, client: httpx.Client) -> None:
    before = len(cut_off(platform))
    pieces = 0
    with client.stream("POST", "chat/completions", json=LONG_ANSWER | {"model": MODEL, "stream": True}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                pieces += 1
            if pieces == 20:
                break
    (ended,) = until(lambda: cut_off(platform)[before:], 5, "the outcome")
    assert ended["gebruik"]["antwoord_tokens"] >= 20
    assert ended["gebruik"]["antwoord_tokens"] < 400
    assert ended["gebruik"]["vraag_tokens"] > 10
