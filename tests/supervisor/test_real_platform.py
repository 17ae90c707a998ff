"""`tenzij up` with all its real parts, confined: what it leaves behind when it or its children are treated badly."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.conftest import home_with_model
from end_to_end.running import TENZIJ, Running, still_alive, until
from tenzij.supervisor import tree
from tenzij.supervisor.home import prepared
from tenzij.supervisor.lock import locked

GONE_WITHIN_S = 5.0


@pytest.fixture
def running(tmp_path: Path, default_model_file: Path) -> Iterator[Running]:
    up = Running(home_with_model(tmp_path / "home", default_model_file))
    try:
        up.wait_until_ready()
        yield up
    finally:
        up.process.kill()
        up.stop()


def hang(running: Running) -> None:
    """Every child, bubblewrap included, does nothing more, whatever it is asked."""
    for pid in tree.below(running.process.pid):
        os.kill(pid, signal.SIGSTOP)


def wake_the_sweeper(running: Running) -> None:
    for pid in tree.below(running.process.pid):
        if b"tenzij-sweeper" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGCONT)


def nothing_is_left(home: Path) -> None:
    place = prepared(home)
    with locked(place, 0):
        assert os.listdir(place.run) == []


def test_children_that_hang_are_gone_after_a_kill_of_the_supervisor(running: Running) -> None:
    everything = running.descendants()
    hang(running)
    wake_the_sweeper(running)
    running.stop(signal.SIGKILL)
    until(lambda: not still_alive(everything), GONE_WITHIN_S, f"left: {still_alive(everything)}")
    nothing_is_left(running.home)


def test_children_that_hang_do_not_hold_up_ctrl_c(running: Running) -> None:
    everything = running.descendants()
    hang(running)
    wake_the_sweeper(running)
    assert running.stop(signal.SIGINT) < GONE_WITHIN_S
    assert running.process.returncode == 0
    assert not still_alive(everything)
    nothing_is_left(running.home)


def test_a_second_ctrl_c_does_not_wait_for_children_that_hang(running: Running) -> None:
    hang(running)
    wake_the_sweeper(running)
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    until(lambda: "stopping" in running.output, GONE_WITHIN_S, running.output)
    running.stop(signal.SIGINT)
    assert time.monotonic() - began < 2.0


def test_a_start_right_after_a_kill_works_on_the_same_port(running: Running) -> None:
    port = running.base_url.rpartition(":")[2].partition("/")[0]
    (running.home / "config.toml").write_text(f"[gateway]\nport = {port}\n")
    running.process.kill()
    again = subprocess.Popen([TENZIJ, "up"], env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen: list[bytes] = []
    for line in again.stdout or ():
        seen.append(line)
        if b"nothing can leave this machine" in line:
            break
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=GONE_WITHIN_S)
    assert again.returncode == 0, b"".join(seen).decode()
    assert f":{port}" in b"".join(seen).decode()
    nothing_is_left(running.home)


def test_a_killed_supervisor_leaves_no_worker_that_computes(running: Running) -> None:
    """The worker's threads end with it, also in the middle of loading."""
    (worker,) = running.pids_of("llamacpp_worker")
    os.kill(worker, signal.SIGKILL)
    until(lambda: running.pids_of("llamacpp_worker") not in ([], [worker]), 20, "another worker")
    everything = running.descendants()
    running.stop(signal.SIGKILL)
    until(lambda: not still_alive(everything), GONE_WITHIN_S, f"left: {still_alive(everything)}")
    nothing_is_left(running.home)


def test_all_children_killed_at_once_come_back(running: Running) -> None:
    programs = ["gateway.process", "ledger.process", "register.process", "llamacpp_worker"]
    before = {program: running.pids_of(program) for program in programs}
    for (pid,) in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_are_back() -> bool:
        return all(running.pids_of(program) not in ([], before[program]) for program in programs)

    until(all_are_back, 20, "all again")
    shown = running.command("key", "list", "--json")
    assert "eerste start" in shown
