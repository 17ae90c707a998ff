"""Starts `tenzij up` as a person does, and reads what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

TENZIJ = Path(sys.executable).parent / "tenzij"
T = TypeVar("T")


def until(condition: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """The first true value of `condition`, tried often; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


class Running:
    """One `tenzij up`, with its output as it comes."""

    every: ClassVar[list[Running]] = []

    def __init__(self, home: Path, config: str = "", before: Sequence[str] = ()) -> None:
        """`before` is a command that runs this one and the others."""
        self.home = home
        self._before = before
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "config.toml").write_text("[gateway]\nport = 0\n" + config)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TENZIJ_HOME": str(home), "LANG": "C.UTF-8"}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*before, TENZIJ, "up"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        Running.every.append(self)
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stdout is None:
            raise RuntimeError("no output pipe")
        for line in self.process.stdout:
            self.output += line

    def wait_until_ready(self, timeout_s: float = 60) -> None:
        """Returns when `up` has printed what a person needs; fails with its output if it ends first."""
        self.wait_until("nothing can leave this machine", timeout_s)

    def wait_until(self, words: str, timeout_s: float = 60) -> None:
        """Returns when `up` has printed `words`; fails with its output if it ends first."""

        def ready() -> bool:
            if self.process.poll() is not None:
                self._reader.join(5)
                raise AssertionError(f"tenzij up ended with {self.process.returncode}:\n{self.output}")
            return words in self.output

        until(ready, timeout_s, f"{words!r}, only:\n{self.output}")

    @property
    def base_url(self) -> str:
        """What a client sets as `base_url`."""
        found = re.search(r"http://[\w.:\[\]]+/v1", self.output)
        if not found:
            raise AssertionError(f"no address in:\n{self.output}")
        return found.group(0)

    @property
    def key(self) -> str:
        """The key that the first start showed."""
        found = re.search(r"tenzij_[\w-]{40,}", self.output)
        if not found:
            raise AssertionError(f"no key in:\n{self.output}")
        return found.group(0)

    def command(self, *arguments: str, expect: int = 0) -> str:
        """Runs another `tenzij` command on the same home; its output."""
        done = subprocess.run(
            [*self._before, TENZIJ, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != expect:
            raise AssertionError(f"{arguments} gave {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def stop(self, how: signal.Signals = signal.SIGINT, timeout_s: float = 10) -> float:
        """Sends the signal and waits for the end; seconds that it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(timeout_s)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return time.monotonic() - began

    def kill(self) -> None:
        """Ends it at once, if it still runs."""
        self.process.kill()
        self.stop()

    def descendants(self) -> set[Process]:
        """Every process that this start runs, itself included, as (pid, start time)."""
        found = {self.process.pid}
        grown = True
        while grown:
            children = {pid for pid, parent, _ in _process_table() if parent in found}
            grown = not children <= found
            found |= children
        return {(pid, start) for pid, _, start in _process_table() if pid in found}

    def pids_of(self, program: str) -> list[int]:
        """Processes of this start whose command line names `program`, bubblewrap's own apart."""
        found = []
        for pid, _ in self.descendants():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            first = command.split(b"\0")[0]
            if program.encode() in command and not first.endswith(b"bwrap"):
                found.append(pid)
        return found


Process = tuple[int, int]


def _process_table() -> list[tuple[int, int, int]]:
    table = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            table.append((int(entry.name), int(fields[1]), int(fields[19])))
    return table


def still_alive(processes: set[Process]) -> set[Process]:
    """Those of `processes` that still run."""
    return processes & {(pid, start) for pid, _, start in _process_table()}
