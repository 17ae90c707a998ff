"""A fault at every single call to the file system: nothing acknowledged is lost, nothing torn is accepted."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.faulty_files import Crash, Fault, FaultyFiles
from ledger.samples import IDENTITY
from ledger.test_wal import Notes, none
from tenzij.ledger.wal import WriteAheadLog

SEGMENT_BYTES = 500  # some groups fill it, so that changing segments is among the calls
GROUPS = 14


class Writer:
    """Writes numbered groups and keeps what was acknowledged; begins again after each error, as the server does."""

    def __init__(self, files: FaultyFiles) -> None:
        self.files = files
        self.acknowledged: list[bytes] = []
        self.attempts: list[list[bytes]] = []
        self.found: list[bytes] = []

    def run(self, groups: int) -> None:
        """Starts, writes, and goes on after errors. Raises Crash."""
        log = WriteAheadLog(self.files, IDENTITY, SEGMENT_BYTES)
        self._until_done(lambda: log.load(Notes()))
        self._until_done(lambda: log.begin([]))
        self.acknowledged = self.found or self.acknowledged  # from here on all that was read counts
        assert log.next_index >= len(self.acknowledged)
        for _ in range(groups):
            number = len(self.attempts)
            group = [f"{number}.{part}".encode() * 20 for part in range(1 + number % 3)]
            self.attempts.append(group)
            try:
                first = log.append(group, none)
            except OSError:
                self._until_done(lambda: log.begin([]))
            else:
                assert first == log.next_index - len(group)
                self.acknowledged += group

    def verify(self) -> None:
        """What a start finds begins with what was acknowledged; beyond it, at most the last attempt, whole."""
        notes = Notes()
        log = WriteAheadLog(self.files, IDENTITY, 10**9)
        log.load(notes)
        found = [notes.entries[index] for index in range(log.next_index)]
        assert found[: len(self.acknowledged)] == self.acknowledged
        beyond = found[len(self.acknowledged) :]
        assert beyond in ([], self.attempts[-1] if self.attempts else [])
        self.found = found

    @staticmethod
    def _until_done(step: Callable[[], None]) -> None:
        for _ in range(3):
            try:
                step()
            except OSError:
                continue
            return
        raise AssertionError("one fault failed more than one attempt")


def _second_life() -> Writer:
    """A log that has been written to before, so that its start reads, cuts and replaces as well."""
    writer = Writer(FaultyFiles())
    writer.run(4)
    writer.files.calls.clear()
    return writer


def _calls_of_a_run() -> list[str]:
    writer = _second_life()
    writer.run(GROUPS)
    return writer.files.calls


CALLS = len(_calls_of_a_run())
CRASHES: list[tuple[str, Callable[[FaultyFiles], None]]] = [
    ("killed", FaultyFiles.kill),
    *[(f"power lost {seed}", lambda files, seed=seed: files.lose_power(seed)) for seed in range(8)],
]


def test_a_run_makes_every_kind_of_call() -> None:
    calls = _calls_of_a_run()
    assert {"names", "read", "open", "create", "write", "sync", "rename", "sync_folder", "truncate"} <= set(calls)
    assert calls.count("create") > 3


@pytest.mark.parametrize("how", ["crash_before", "crash_after", "crash_partly"])
@pytest.mark.parametrize(("_", "crash"), CRASHES, ids=[name for name, _ in CRASHES])
def test_a_crash_at_every_call(_: str, crash: Callable[[FaultyFiles], None], how: str) -> None:
    for at in range(CALLS):
        writer = _second_life()
        files = writer.files
        files.fault = Fault(at, how)
        with pytest.raises(Crash):
            writer.run(GROUPS)
            raise Crash  # some calls have nothing after them
        crash(files)
        writer.verify()
        writer.run(3)
        crash(files)
        writer.verify()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("how", ["error", "partly", "short"])
@pytest.mark.parametrize("is_device_read", [False, True])
def test_an_error_at_every_call(how: str, error: int, is_device_read: bool) -> None:
    for at in range(CALLS):
        writer = _second_life()
        files = writer.files
        files.is_device_read = is_device_read
        files.fault = Fault(at, how, error)
        writer.run(GROUPS)
        assert len(writer.attempts) == 4 + GROUPS
        for seed in range(3):
            files.lose_power(seed)
            writer.verify()
        writer.run(2)
        writer.verify()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from(["error", "partly", "short", "crash_before", "crash_after", "crash_partly"]),
            st.integers(0, 5),
            st.none() | st.integers(0, 1000),
        ),
        max_size=6,
    )
)
def test_any_sequence_of_faults_crashes_and_restarts(lives: list[tuple[int, str, int, int | None]]) -> None:
    files = FaultyFiles()
    writer = Writer(files)
    for at, how, groups, seed in lives:
        files.fault = Fault(len(files.calls) + at, how)
        with contextlib.suppress(Crash):
            writer.run(groups)
        if seed is None:
            files.kill()
        else:
            files.lose_power(seed)
        writer.verify()
