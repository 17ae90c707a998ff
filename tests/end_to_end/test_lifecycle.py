"""Starting, stopping, dying and coming back, as a person and an operator see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import httpx2 as httpx
import openai
import pytest

from end_to_end.conftest import MODEL, home_with_model
from end_to_end.running import TENZIJ, Running, still_alive, until


@pytest.fixture
def home(tmp_path: Path, default_model_file: Path) -> Path:
    return home_with_model(tmp_path / "home", default_model_file)


def ask(running: Running, key: str) -> str:
    with openai.OpenAI(base_url=running.base_url, api_key=key, max_retries=0, timeout=60) as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say yes."}], max_tokens=4
        )
    return answer.choices[0].message.content or ""


def leftovers(home: Path) -> list[Path]:
    """Sockets, pipes and locks below the home folder."""
    return [f for f in home.rglob("*") if f.is_socket() or f.is_fifo() or "lock" in f.name]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_stops_within_five_seconds_and_leaves_nothing(home: Path, how: signal.Signals) -> None:
    running = Running(home)
    running.wait_until_ready()
    everything = running.descendants()
    assert len(everything) > 5, "supervisor and its children"
    took = running.stop(how)
    until(lambda: not still_alive(everything), 5 - took, f"all processes gone, left {still_alive(everything)}")
    until(lambda: not leftovers(home), 1, "nothing left on disk")
    if how is not signal.SIGKILL:
        assert running.process.returncode == 0, running.output


def test_a_second_start_has_the_same_key_and_shows_none(home: Path) -> None:
    first = Running(home)
    first.wait_until_ready()
    key = first.key
    ask(first, key)
    first.stop()
    second = Running(home)
    try:
        second.wait_until_ready()
        assert key not in second.output
        assert "tenzij key create" in second.output
        ask(second, key)
    finally:
        second.stop()


def test_a_second_platform_on_the_same_home_says_who_runs(home: Path) -> None:
    first = Running(home)
    try:
        first.wait_until_ready()
        second = Running(home)
        assert second.process.wait(10) == 1
        second.stop()
        assert "already" in second.output
        assert str(first.process.pid) in second.output
        ask(first, first.key)
    finally:
        first.stop()


@pytest.mark.parametrize("program", ["llamacpp_worker", "gateway.process", "ledger.process", "register.process"])
def test_a_child_that_dies_comes_back(home: Path, program: str) -> None:
    running = Running(home)
    try:
        running.wait_until_ready()
        (pid,) = running.pids_of(program)
        os.kill(pid, signal.SIGKILL)
        until(lambda: running.pids_of(program) not in ([], [pid]), 20, f"{program} again")
        ready = running.base_url.removesuffix("/v1") + "/health/ready"

        def is_ready() -> bool:
            try:
                return httpx.get(ready, timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        until(is_ready, 30, f"ready again after {program} died:\n{running.output}")
        ask(running, running.key)
    finally:
        running.stop()


def test_weights_that_differ_from_their_passport_are_refused(home: Path) -> None:
    first = Running(home)
    first.wait_until_ready()
    key = first.key
    first.stop()
    (weights,) = (home / "models").glob("*.gguf")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.unlink()  # the file may be a hard link to the one that other tests use
    weights.write_bytes(content)
    second = Running(home)
    try:
        until(lambda: "weights" in second.output and "passport" in second.output, 60, f"says so:\n{second.output}")
        until(lambda: "/v1" in second.output, 30, "the platform runs without the model")
        with (
            pytest.raises(openai.APIStatusError) as refused,
            openai.OpenAI(base_url=second.base_url, api_key=key, max_retries=0) as client,
        ):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=3)
        assert refused.value.status_code == 503
        found = json.loads(second.command("check", "--json", expect=1))["findings"]
        assert [f["probe"] for f in found if not f["held"]][-1] == f"weights of {MODEL} match its passport"
    finally:
        second.stop()


def test_the_port_is_taken(home: Path, tmp_path: Path, default_model_file: Path) -> None:
    first = Running(home)
    try:
        first.wait_until_ready()
        port = httpx.URL(first.base_url).port
        second = Running(home_with_model(tmp_path / "other", default_model_file))
        second.kill()
        (second.home / "config.toml").write_text(f"[gateway]\nport = {port}\n")
        done = subprocess.run([TENZIJ, "up"], env=second.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert f"{port}" in done.stderr
        assert "gateway.port" in done.stderr
    finally:
        first.stop()


def test_commands_work_with_and_without_a_running_platform(home: Path) -> None:
    running = Running(home)
    running.wait_until_ready()
    made = json.loads(running.command("key", "create", "proef", "--json"))
    ask(running, made["key"])
    assert json.loads(running.command("check", "--json"))["held"] is True
    running.stop()
    keys = json.loads(running.command("key", "list", "--json"))
    assert made["id"] in [key["id"] for key in keys]
    assert all("key" not in key for key in keys)
    running.command("key", "revoke", made["id"])
    decision = json.loads(running.command("decide", "--model", MODEL, "--json"))
    assert decision["decision"] == "local"
    assert decision["model"] == MODEL
    refused = json.loads(running.command("decide", "--model", "gpt-4o", "--json", expect=3))
    assert refused["decision"] == "refused"
    assert MODEL in refused["instead"]


def test_a_faulty_configuration_lists_all_faults_and_starts_nothing(home: Path) -> None:
    running = Running(home, 'hots = "x"\n[ledger]\nnode = "No!"\n')
    assert running.process.wait(20) == 1
    running.stop()
    assert "ledger.node" in running.output
    assert "gateway.hots" in running.output
