"""The llama.cpp worker as a process: weights first, one socket handed over, nothing printed, kept or left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.asking import chat, connected, events_of, schema_format, text_of
from tenzij.channels.control import Failed, Ready
from tenzij.engines.passport import default_passport
from tenzij.testing.worker_process import LLAMACPP, WorkerProcess, worker_config

CANARY = "kanarie-3f9a"
SHA256 = default_passport().sha256


def outcome_of(config: dict[str, Any]) -> Ready | Failed | None:
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(config)
        return worker.outcome()


def failure_of(config: dict[str, Any]) -> Failed:
    failed = outcome_of(config)
    if not isinstance(failed, Failed):
        raise AssertionError(f"the worker said {failed}")
    return failed


def test_it_says_what_it_hashed(llamacpp_worker: WorkerProcess, default_model_file: Path) -> None:
    unhashed = outcome_of(worker_config(default_model_file, SHA256, hash=False, slots=1, context_tokens=256))
    assert unhashed == Ready({"weights": None, "verification": "ongewijzigd"})
    hashed = outcome_of(worker_config(default_model_file, SHA256, slots=1, context_tokens=256))
    assert hashed == Ready({"weights": SHA256, "verification": "gehasht"})


def test_other_weights_are_refused_before_anything_parses_them(tmp_path: Path) -> None:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"no model at all")  # parsed first, the reason would be another
    failed = failure_of(worker_config(path, SHA256))
    assert (failed.code, failed.final) == ("weights_mismatch", True)
    assert SHA256 in failed.reason
    assert hashlib.sha256(path.read_bytes()).hexdigest() in failed.reason, "what was found, beside what was expected"


def test_weights_of_another_size_are_refused_even_when_not_hashed(tmp_path: Path) -> None:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"GGUF")
    failed = failure_of(worker_config(path, SHA256, size_bytes=5, hash=False))
    assert (failed.code, failed.final) == ("weights_mismatch", True)


@pytest.mark.parametrize("kind", ["missing", "link", "folder"])
def test_weights_that_are_no_file_are_refused(tmp_path: Path, default_model_file: Path, kind: str) -> None:
    path = tmp_path / "weights.gguf"
    if kind == "link":
        path.symlink_to(default_model_file)
    elif kind == "folder":
        path.mkdir()
    failed = failure_of({**worker_config(default_model_file, SHA256), "file": str(path)})
    assert (failed.code, failed.final) == ("weights_unreadable", True)


def test_a_file_of_another_kind_is_said(tmp_path: Path) -> None:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"PK\x03\x04" * 100)
    failed = failure_of(worker_config(path, SHA256, hash=False))
    assert (failed.code, failed.final) == ("not_gguf", True)


def test_a_broken_gguf_is_said(tmp_path: Path) -> None:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"GGUF" + bytes(1000))
    failed = failure_of(worker_config(path, SHA256, hash=False))
    assert (failed.code, failed.final) == ("engine_start_failed", False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tasks": ["chat", "embedding"]}, "bad_tasks"),
        ({"tasks": ["song"]}, "bad_start"),
        ({"slots": "2"}, "bad_start"),
        ({"unknown": 1}, "bad_start"),
    ],
)
def test_a_wrong_configuration_is_final(default_model_file: Path, changes: dict[str, Any], code: str) -> None:
    failed = failure_of(worker_config(default_model_file, SHA256, **changes))
    assert (failed.code, failed.final) == (code, True)


def test_its_socket_has_no_name_and_its_output_goes_nowhere(llamacpp_worker: WorkerProcess) -> None:
    pid = llamacpp_worker.process.pid
    listening = [line for line in Path("/proc/net/unix").read_text().splitlines() if "engine.sock" in line]
    for line in listening:
        path = Path(line.split()[-1])
        assert not path.exists()
        assert not path.parent.exists(), "its folder is gone as well"
    targets = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert targets["0"] == targets["1"] == targets["2"] == "/dev/null"
    others = {target for target in targets.values() if target != "/dev/null"}
    assert all(target.startswith(("socket:", "anon_inode:", "pipe:")) for target in others), others


def test_it_maps_the_weights_read_only(llamacpp_worker: WorkerProcess, default_model_file: Path) -> None:
    maps = Path(f"/proc/{llamacpp_worker.process.pid}/maps").read_text()
    of_weights = [line for line in maps.splitlines() if str(default_model_file.resolve()) in line]
    assert of_weights
    assert not any(line.split()[1].startswith("rw") and line.split()[1].endswith("s") for line in of_weights)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/slots", "/metrics", "/tools", "/", "/index.html", "/cors-proxy?url=http://x")),
        *(("POST", path) for path in ("/props", "/slots/0?action=save", "/tools", "/models/load", "/infill")),
    ],
)
async def test_what_shows_or_changes_anything_for_all_is_off(
    llamacpp_worker: WorkerProcess, method: str, path: str
) -> None:
    answer = await asyncio.to_thread(post, await llamacpp_worker.connect(), path, '{"filename": "x"}', method)
    assert answer.split(" ")[1] in ("400", "403", "404", "501"), answer[:300]


async def test_no_path_of_this_machine_is_in_what_it_says(
    llamacpp_worker: WorkerProcess, default_model_file: Path
) -> None:
    for path in ("/v1/models", "/props"):
        answer = await asyncio.to_thread(post, await llamacpp_worker.connect(), path, "", "GET")
        assert str(default_model_file.parent) not in answer


async def test_prompts_are_not_kept_for_who_forgets_to_say_so(llamacpp_worker: WorkerProcess) -> None:
    body = json.dumps({"prompt": "word " * 100, "max_tokens": 1, "id_slot": 0})
    for _ in range(3):
        answer = await asyncio.to_thread(post, await llamacpp_worker.connect(), "/v1/completions", body)
        timings = json.loads(answer[answer.index("{") :])["timings"]
        assert (timings["cache_n"], timings["prompt_n"]) == (0, 101)


def test_stop_and_sigterm_end_it_at_once(default_model_file: Path) -> None:
    small = worker_config(default_model_file, SHA256, hash=False, slots=1, context_tokens=256)
    with WorkerProcess(LLAMACPP) as first, WorkerProcess(LLAMACPP) as second, WorkerProcess(LLAMACPP) as third:
        for worker in (first, second, third):
            worker.start(small)
            assert isinstance(worker.outcome(), Ready)
        assert first.stop(timeout_s=2.0) == 0
        second.process.terminate()
        assert second.process.wait(2.0) == -15
        third.control.close()  # the supervisor is gone
        assert third.process.wait(2.0) == 0


async def test_stop_does_not_wait_for_a_running_answer(default_model_file: Path) -> None:
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(worker_config(default_model_file, SHA256, hash=False, slots=1))
        assert isinstance(worker.outcome(), Ready)
        async with connected(worker) as engine:
            answer = engine.generate(chat("Tell a long story.", max_tokens=3000))
            await anext(answer)
            assert worker.stop(timeout_s=2.0) == 0
            await answer.aclose()


def test_too_little_memory_is_a_failure_with_a_sentence(default_model_file: Path) -> None:
    import resource

    with WorkerProcess(LLAMACPP) as worker:
        resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (700_000_000, 700_000_000))
        worker.start(worker_config(default_model_file, SHA256, hash=False, slots=4, context_tokens=8192))
        failed = worker.outcome()
    assert isinstance(failed, Failed)
    assert failed.final is False
    assert "memory" in failed.reason


# What a caller may send that an engine might print.
SPOKEN: list[Callable[[], Any]] = [
    lambda: chat(f"say {CANARY}"),
    lambda: chat("x", stop=(CANARY,)),
    lambda: chat("word " * 5000 + CANARY),
    lambda: chat("x", response_format=schema_format({"type": "object", "properties": {CANARY: {"type": "null"}}})),
    lambda: chat("x", response_format=schema_format({"enum": [CANARY]})),
]
RAW = [
    ("/v1/chat/completions", f'{{"messages": {CANARY}'),
    ("/v1/chat/completions", json.dumps({"messages": [{"role": CANARY, "content": 1}], "max_tokens": 1})),
    (
        "/v1/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": [{"type": CANARY}]}], "max_tokens": 1}),
    ),
    ("/v1/completions", json.dumps({"prompt": "x", "grammar": f'root ::= "{CANARY}', "max_tokens": 1})),
    ("/v1/completions", json.dumps({"prompt": "x", "temperature": CANARY, "max_tokens": 1})),
    (f"/{CANARY}", "{}"),
]

# The engine with its output caught in place of dropped.
LOUD = textwrap.dedent("""
    import socket, sys
    from tenzij.engines import llamacpp_worker, worker
    worker.drop_output = lambda: None
    llamacpp_worker.main(socket.socket(fileno=int(sys.argv[2])))
""")


async def speak(worker: WorkerProcess) -> str:
    """Sends it everything; all that it answered."""
    heard = ""
    async with connected(worker) as engine:
        for make in SPOKEN:
            try:
                heard += text_of(await events_of(engine, make()))
            except Exception as error:  # noqa: BLE001
                heard += str(error)
    for path, body in RAW:
        heard += await asyncio.to_thread(post, await worker.connect(), path, body)
    return heard


def post(sock: socket.socket, path: str, body: str, method: str = "POST") -> str:
    with sock:
        sock.settimeout(30)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall((head + body).encode())
        received = b""
        while data := sock.recv(65536):
            received += data
    return received.decode("utf-8", "replace")


async def test_llamacpp_prints_no_text_of_requests_that_the_adapter_writes(
    default_model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing dropped: what llama.cpp would print of requests that pass the adapter."""
    monkeypatch.setattr("tenzij.testing.worker_process._RUN", LOUD)
    with (tmp_path / "output").open("wb") as output, WorkerProcess(LLAMACPP, output=output.fileno()) as worker:
        worker.start(worker_config(default_model_file, SHA256, hash=False))
        assert isinstance(worker.outcome(), Ready)
        async with connected(worker) as engine:
            for make in SPOKEN:
                try:
                    await events_of(engine, make())
                except Exception as error:  # noqa: BLE001
                    assert CANARY not in str(error)
    assert CANARY not in (tmp_path / "output").read_text("utf-8", "replace")


async def test_the_worker_prints_nothing_whatever_it_is_sent(default_model_file: Path, tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output, WorkerProcess(LLAMACPP, output=output.fileno()) as worker:
        worker.start(worker_config(default_model_file, SHA256, hash=False))
        assert isinstance(worker.outcome(), Ready)
        heard = await speak(worker)
        assert CANARY in heard, "it does say it to who asked; the canary lives"
    assert (tmp_path / "output").read_bytes() == b""


def test_importing_the_worker_does_not_load_the_library() -> None:
    """It loads in the worker alone, once its output is dropped and its environment empty."""
    code = "import sys, tenzij.engines.llamacpp_worker; sys.exit('xllamacpp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
