"""A marked text in every place where a client can put one: it comes out nowhere but in the answer itself."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from gateway.harness import KEY, MODEL, World, chat
from gateway.served import connected, request, served
from tenzij.engines.protocol import Finish, Text, Usage
from tenzij.ledger.entries import bytes_from_entry

CANARY = "kanarieZ4711"
HIDDEN = f"/{CANARY}?{CANARY}={CANARY}"


def bodies() -> dict[str, bytes]:
    trees: dict[str, Any] = {
        "prompt": chat(messages=[{"role": "user", "content": CANARY}]),
        "role": chat(messages=[{"role": CANARY, "content": "a"}]),
        "name": chat(messages=[{"role": "user", "content": "a", "name": CANARY}]),
        "field": chat(**{CANARY: CANARY}),
        "nested field": chat(messages=[{"role": "user", "content": "a", CANARY: 1}]),
        "model": chat(model=CANARY),
        "user": chat(user=CANARY),
        "stop": chat(stop=[CANARY]),
        "wrong type": chat(temperature=CANARY, max_tokens=CANARY),
        "image": chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": CANARY}}]}]),
        "tool": chat(tools=[{"type": "function", "function": {"name": CANARY}}]),
        "schema": chat(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": CANARY, CANARY: {"pattern": f"({CANARY}"}}},
            }
        ),
        "schema name": chat(response_format={"type": "json_schema", "json_schema": {"name": CANARY + "!"}}),
        "format": chat(response_format={"type": CANARY}),
        "metadata": chat(metadata={CANARY: CANARY}),
    }
    whole = {name: json.dumps(tree).encode() for name, tree in trees.items()}
    return whole | {
        "broken": b'{"messages": [{"role": "user", "content": "' + CANARY.encode(),
        "broken key": f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode(),
        "no utf-8": b'"\xff' + CANARY.encode(),
        "surrogate": rf'{{"{CANARY}": "\ud800{CANARY}"}}'.encode(),
        "number": b'{"a": ' + b"9" * 5000 + CANARY.encode() + b"}",
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_pitfall_15_text_comes_out_nowhere(
    stream: bool, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World([Text("ant"), Text("woord"), Finish("stop", Usage(1, 2))])
    received = b""
    async with served(world) as address:
        for body in bodies().values():
            async with connected(address) as peer:
                if stream and body.endswith(b"}"):
                    body = body[:-1] + b', "stream": true}'
                peer.writer.write(request(body=body, extra="Connection: close\r\n"))
                received += await peer.rest()
        for sent in (
            request(path=HIDDEN),
            request(path=HIDDEN, method="GET"),
            request(key=CANARY),
            request(key=KEY + CANARY),
            request(extra=f"Tenzij-Toepassing: {CANARY}\r\n"),
            request(extra=f"Tenzij-Vertrouwelijkheid: {CANARY}\r\n"),
            request(extra=f"Content-Encoding: {CANARY}\r\n"),
            request(extra=f"Traceparent: {CANARY}\r\nX-Request-Id: {CANARY}\r\n"),
            request(path=f"/v1/models/{CANARY}", method="GET"),
            f"{CANARY} / HTTP/1.1\r\n\r\n".encode(),
            f"GET / HTTP/1.1\r\n{CANARY}\r\n\r\n".encode(),
            b"GET /\xff" + CANARY.encode() + b" HTTP/1.1\r\n\r\n",
            request(body=b"")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + CANARY.encode(),
        ):
            async with connected(address) as peer:
                peer.writer.write(sent.replace(b"Host: here", b"Host: here\r\nConnection: close"))
                peer.writer.write_eof() if b"\r\n\r\n" not in sent else None
                received += await peer.rest()
    assert received.count(b"HTTP/1.1 ") >= 30
    assert CANARY.encode() not in received
    entries = b"".join(bytes_from_entry(entry) for entry in world.log.entries)
    assert len(world.log.decisions) > 3
    assert CANARY.encode() not in entries
    assert MODEL.encode() in entries
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert CANARY not in caplog.text


async def test_pitfall_15_an_answer_comes_out_nowhere_else(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for steps in (
        [Text(CANARY), ValueError(CANARY)],
        [Text(CANARY)],
        [Text(CANARY), Finish("stop", Usage(1, 2))],
    ):
        world = World(steps)  # type: ignore[arg-type]
        async with served(world) as address, connected(address) as peer:
            peer.writer.write(request(extra="Connection: close\r\n"))
            await peer.rest()
        entries = b"".join(bytes_from_entry(entry) for entry in world.log.entries)
        assert CANARY.encode() not in entries
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert CANARY not in caplog.text
