"""Processes below a process, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from supervisor.waiting import is_alive, until_now
from tenzij.supervisor import tree

NESTED = "sleep 600 & (exec -a 'a ) b (' sleep 600 & sleep 600) & wait"


@pytest.fixture
def shell() -> Iterator[int]:
    """A shell with processes below it; one has blanks and brackets in its name."""
    process = subprocess.Popen(["/bin/bash", "-c", NESTED])
    try:
        until_now(lambda: len(tree.below(process.pid)) >= 4, "all started")
        yield process.pid
    finally:
        tree.signal_below(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def test_parents_come_before_children(shell: int) -> None:
    found = tree.below(shell)
    for pid in found:
        parent = tree.parent_of(pid)
        assert parent == shell or parent in found[: found.index(pid)]


def test_who_is_within(shell: int) -> None:
    for pid in [shell, *tree.below(shell)]:
        assert tree.is_within(pid, shell)
    assert not tree.is_within(os.getpid(), shell)
    assert not tree.is_within(1, shell)
    assert not tree.is_within(0, shell)


def test_who_is_gone_is_not_within() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree.parent_of(process.pid) is None
    assert not tree.is_within(process.pid, os.getpid())


def test_a_signal_reaches_all_below_and_not_itself(shell: int) -> None:
    below = tree.below(shell)
    assert tree.signal_below(shell, signal.SIGSTOP) == len(below)
    assert is_alive(shell)
    tree.signal_below(shell, signal.SIGKILL)
    until_now(lambda: not any(map(is_alive, below)), "all below gone")


def test_nobody_is_below_a_process_without_children() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        assert tree.signal_below(process.pid, signal.SIGKILL) == 0
        assert process.poll() is None
        process.kill()
