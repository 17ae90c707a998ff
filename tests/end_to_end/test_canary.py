"""No text in a log: a marked string goes in wherever a client can put text, and comes out nowhere but in the answer.

Searched afterwards: every byte of every file below TENZIJ_HOME, all that `tenzij up` printed, every error answer, and
core files. Control: the same search finds the mark where it was put on purpose.
"""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from end_to_end.conftest import MODEL, home_with_model
from end_to_end.running import Running, until

MARK = "Kanarie8f3kQz"


def forms() -> list[bytes]:
    """The mark as it could be written: plain, upper and lower case, UTF-16, base64 at each of three alignments, hex."""
    plain = MARK.encode()
    shifted = [base64.b64encode(b"x" * shift + plain)[4 if shift else 0 :][:12] for shift in range(3)]
    return [plain, plain.lower(), plain.upper(), MARK.encode("utf-16-le"), plain.hex().encode(), *shifted]


def places_with_the_mark(folder: Path) -> list[Path]:
    """Files below `folder`, weights apart, that hold the mark in any form."""
    files = [f for f in folder.rglob("*") if f.is_file() and not f.is_symlink() and f.suffix != ".gguf"]
    return [f for f in files if any(form in f.read_bytes() for form in forms())]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, default_model_file: Path) -> Iterator[Running]:
    """A platform of its own, so that all its files can be searched."""
    running = Running(home_with_model(tmp_path_factory.mktemp("canary") / "home", default_model_file))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for number, form in enumerate(forms()):
        (tmp_path / str(number)).write_bytes(b"before" + form + b"after")
    assert len(places_with_the_mark(tmp_path)) == len(forms())


def message(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 8, "messages": [{"role": role, "content": content, **more}]}


def schema(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": inner, "strict": True}}


BODIES: dict[str, bytes | dict[str, Any]] = {
    "prompt": message(MARK),
    "parts": message([{"type": "text", "text": MARK}]),
    "system": message(MARK, role="system"),
    "completion": {"model": MODEL, "prompt": MARK, "max_tokens": 5},
    "role": message("hello", role=MARK),
    "name": message("hello", name=MARK),
    "model": message("hello") | {"model": MARK},
    "user": message("hello") | {"user": MARK},
    "stop": message("hello") | {"stop": [MARK]},
    "unknown field": message("hello") | {MARK: 1},
    "unknown value": message("hello") | {"temperature": MARK},
    "metadata": message("hello") | {"metadata": {"a": MARK}},
    "broken json": json.dumps(message(MARK)).encode()[:-3],
    "broken string": b'{"model":"x","messages":[{"role":"us' + MARK.encode(),
    "not utf-8": b'{"a":"' + MARK.encode() + b'\xff"}',
    "lone surrogate": b'{"model":"' + MARK.encode() + b'\\ud800","messages":[]}',
    "duplicate key": b'{"' + MARK.encode() + b'":1,"' + MARK.encode() + b'":2}',
    "schema": message("hello") | {"response_format": schema({"type": "object", "properties": {MARK: {"type": MARK}}})},
    "schema pattern": message("hello") | {"response_format": schema({"type": "string", "pattern": "(" + MARK})},
    "schema reference": message("hello") | {"response_format": schema({"$ref": "#/$defs/" + MARK})},
    "grammar": message("hello") | {"grammar": "root ::= " + MARK},
    "tools": message("hello") | {"tools": [{"type": "function", "function": {"name": MARK, "parameters": {}}}]},
    "image": message([{"type": "image_url", "image_url": {"url": f"https://example.org/{MARK}.png"}}]),
    "too long": message(f"{MARK} " * 20000),
}
ANSWER = message("Answer.") | {
    "max_tokens": 30,
    "response_format": schema({"type": "object", "properties": {"a": {"const": MARK}}, "required": ["a"]}),
}


def send(client: httpx.Client, body: bytes | dict[str, Any], path: str = "chat/completions") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content, headers={"Content-Type": "application/json"})


def test_a_marked_string_is_found_nowhere(platform: Running, tmp_path: Path) -> None:
    with httpx.Client(
        base_url=platform.base_url, headers={"Authorization": f"Bearer {platform.key}"}, timeout=60
    ) as client:
        for name, body in BODIES.items():
            path = "completions" if name == "completion" else "chat/completions"
            answer = send(client, body, path)
            if answer.status_code != 200:
                assert MARK not in answer.text, f"{name}: the error repeats what was sent"
            assert not any(MARK in value for value in answer.headers.values()), name
        spoken = send(client, ANSWER)
        assert MARK in spoken.text, "control: the model did say it"
        streamed = send(client, ANSWER | {"stream": True})
        said = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
        assert MARK in "".join(c["choices"][0]["delta"].get("content") or "" for c in said if c["choices"])
        client.headers["Authorization"] = f"Bearer {MARK}"
        assert MARK not in send(client, message("hello")).text
        unknown = client.get(f"/{MARK}")
        assert unknown.status_code == 404
        assert MARK not in unknown.text
        crash_while_generating(platform, client)
    platform.stop()
    assert MARK.lower() not in platform.output.lower()
    assert places_with_the_mark(platform.home) == []
    assert list(platform.home.rglob("core*")) == []


def crash_while_generating(platform: Running, client: httpx.Client) -> None:
    """Lets the gateway and the worker dump core, if they can, while the mark is in their memory."""
    client.headers["Authorization"] = f"Bearer {platform.key}"
    body = message(f"{MARK}. Count to a thousand.") | {"stream": True, "max_tokens": 400}
    for program in ("llamacpp_worker", "gateway"):
        until(lambda: client.get("../health/ready").status_code == 200, 60, "ready")
        with client.stream("POST", "chat/completions", json=body) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            (pid,) = until(lambda p=program: platform.pids_of(p), 10, f"the process of {program}")  # type: ignore[misc]
            limits = Path(f"/proc/{pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]
            os.kill(pid, signal.SIGSEGV)
            try:
                for _ in pieces:
                    pass
            except httpx.HTTPError:
                pass
