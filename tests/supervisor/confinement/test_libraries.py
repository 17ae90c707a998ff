"""The libraries that the platform stands on work inside: an event loop with HTTP, a database, an engine."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from supervisor.confinement.conftest import Start as Starting
from supervisor.confinement.conftest import status_of
from tenzij.channels.control import Ready, Start, Stop, receive_at_supervisor, send
from tenzij.config import Worker
from tenzij.engines.passport import default_passport
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import Profile, profile_for_worker
from tenzij.types import ModelId


def ready(launched: Launched) -> tuple[dict[str, Any], list[int]]:
    received = receive_at_supervisor(launched.control)
    assert received is not None
    message, descriptors = received
    assert isinstance(message, Ready), message
    return message.facts, descriptors


def test_uvicorn_with_uvloop_serves_on_a_handed_listener(start: Starting, profiles: dict[str, Profile]) -> None:
    launched = start(profiles["gateway"], "serves_http")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        send(launched.control, Start({}), [listener.fileno()])
        ready(launched)
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)
            connection.request("POST", "/", body=b"x" * 100_000)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"uvloop 3")
            connection.close()
        send(launched.control, Stop(1.0))
        assert status_of(launched) == 0


def test_sqlite_writes_durably(start: Starting, profiles: dict[str, Profile], home: Path) -> None:
    launched = start(profiles["register"], "keeps_in_sqlite")
    send(launched.control, Start({}))
    assert ready(launched)[0] == {"kept": [["it"]], "mode": "wal"}
    assert status_of(launched) == 0
    assert (home / "register" / "kept.sqlite").stat().st_uid == launched.user


def test_llama_cpp_answers_on_its_unix_socket(start: Starting, default_model_file: Path, home: Path) -> None:
    passport = default_passport()
    weights = home / "models" / default_model_file.name
    shutil.copyfile(default_model_file, weights)
    weights.chmod(0o444)
    profile = profile_for_worker(ModelId("m"), weights.name, home, Worker(), 0)
    launched = start(profile, profile.program)
    settings = {
        **{"model": "m", "weights": passport.sha256, "size_bytes": weights.stat().st_size, "tasks": ["chat"]},
        **{"file": launched.paths[f"/weights/{weights.name}"], "context_tokens": 512, "slots": 2, "threads": 2},
        **{"batch_tokens": 64, "gpu_layers": 0, "hash": True},
    }
    send(launched.control, Start(settings))
    facts, (place,) = ready(launched)
    assert facts["weights"] == passport.sha256
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(30)
        sock.connect(f"/proc/self/fd/{place}")
        os.close(place)
        connection = http.client.HTTPConnection("worker")
        connection.sock = sock
        question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 4}
        connection.request("POST", "/v1/chat/completions", json.dumps(question), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["usage"]["completion_tokens"] == 4
