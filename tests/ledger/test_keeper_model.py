"""Random lives of a gateway and a ledger: appends, lost connections, faults, crashes, power losses, restarts.

What must hold at the end of every one: each request has at most one decision; each allowed decision has exactly one
outcome, after it and naming it; a refused one has none; and what was acknowledged stands where it was said to stand.
"""

from __future__ import annotations

import contextlib
import errno
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from typing_extensions import override

from ledger.faulty_files import Crash, Fault, FaultyFiles
from ledger.samples import IDENTITY, NOON_MS, decision, outcome, request
from ledger.test_wal import Notes
from tenzij.ledger.book import Book
from tenzij.ledger.entries import DecisionEntry, Entries, OutcomeEntry, bytes_from_entry, entry_from_bytes
from tenzij.ledger.keeper import Greeting, Keeper, Parting, Wish
from tenzij.ledger.protocol import Appended, Condition, NotAppended, ToClient, Welcome
from tenzij.ledger.wal import WriteAheadLog, fault_of


class Gateway:
    """The client's rules, without its loop: what it names in a hello, what it sends again."""

    def __init__(self) -> None:
        self.unfinished: dict[int, int] = {}  # request number -> index of its durable decision
        self.outcomes: dict[int, Entries] = {}  # not durable yet


class Lives(RuleBasedStateMachine):
    segment_bytes = 10**9
    may_misbehave = True

    def __init__(self) -> None:
        super().__init__()
        self.files = FaultyFiles()
        self.acknowledged: dict[int, tuple[type, str]] = {}  # index -> kind, request
        self.next_request = 0
        self.next_channel = 0
        self.next_append = 0
        self.channel = 0  # the gateway's; 0: none
        self.gateway = Gateway()
        self.sent: dict[tuple[int, int], Entries] = {}
        self._start()

    def _start(self) -> None:
        self.book = Book()
        self.keeper = Keeper(self.book)
        self.log = WriteAheadLog(self.files, IDENTITY, self.segment_bytes)
        self.log.load(self.book)
        self.channel = 0
        self.sent.clear()

    # -- what the gateway does

    @precondition(lambda self: not self.channel)
    @rule()
    def connect(self) -> None:
        self._connect()

    def _connect(self) -> None:
        self.next_channel += 1
        self.channel = self.next_channel
        self.keeper.put(Greeting(self.channel, [request(number) for number in self.gateway.unfinished]))
        for entry in self.gateway.outcomes.values():
            self._send(entry)

    @precondition(lambda self: self.channel)
    @rule(is_allowed=st.booleans() | st.just(True))
    def decide(self, is_allowed: bool) -> None:
        self.next_request += 1
        self._send(decision(self.next_request, allowed=is_allowed))

    @precondition(lambda self: self.gateway.unfinished)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.gateway.unfinished)))
        self.gateway.outcomes.setdefault(number, outcome(number, self.gateway.unfinished[number]))
        if self.channel:
            self._send(self.gateway.outcomes[number])

    @precondition(lambda self: self.may_misbehave and self.channel and self.next_request)
    @rule(data=st.data())
    def misbehave(self, data: st.DataObject) -> None:
        """Repeats a decision, or ends something that it did not decide."""
        number = data.draw(st.integers(1, self.next_request))
        is_decision = data.draw(st.booleans())
        self._send(decision(number) if is_decision else outcome(number, 0), is_sane=False)

    @precondition(lambda self: self.channel)
    @rule()
    def lose_connection(self) -> None:
        """What is still unread in the old channel is read, before or after the gateway is back."""
        self.keeper.put(Parting(self.channel))
        self.channel = 0
        self.sent.clear()  # answers to it are not heard any more

    @precondition(lambda self: self.channel)
    @rule()
    def come_back_before_the_old_channel_ends(self) -> None:
        old = self.channel
        self.sent.clear()
        self._connect()
        self.next_request += 1
        self._send(decision(self.next_request), channel=old)
        self.keeper.put(Parting(old))

    @rule()
    def restart_gateway(self) -> None:
        if self.channel:
            self.lose_connection()
        self.gateway = Gateway()

    def _send(self, entry: Entries, channel: int = 0, is_sane: bool = True) -> None:
        self.next_append += 1
        channel = channel or self.channel
        if is_sane and channel == self.channel:
            self.sent[channel, self.next_append] = entry
        self.keeper.put(Wish(channel, self.next_append, entry, bytes_from_entry(entry)))

    # -- what the ledger does

    @rule()
    def work(self) -> None:
        with contextlib.suppress(Crash):
            self._work()
            return
        self.crash(None)

    def _work(self) -> None:
        if self.keeper.condition:
            try:
                self.log.begin(list(self.book.unfinished.values()))
            except OSError as error:
                self._hear(self.keeper.change_condition(fault_of(error)))
            else:
                self._hear(self.keeper.change_condition(""))
        while (group := self.keeper.next_group(NOON_MS)) is not None:
            self._hear(group.answers)
            if not group.wishes:
                continue
            try:
                first = self.log.append(
                    [wish.data for wish in group.wishes], lambda: list(self.book.unfinished.values())
                )
            except OSError as error:
                self._hear(self.keeper.failed(group, fault_of(error)))
            else:
                self._hear(self.keeper.written(group, first))

    def _hear(self, answers: list[tuple[int, ToClient]]) -> None:
        for channel, answer in answers:
            match answer:
                case Appended(number, index):
                    entry = self.sent.pop((channel, number), None)
                    if entry is not None:
                        self._on_appended(entry, index)
                case NotAppended(number, code):
                    entry = self.sent.pop((channel, number), None)
                    assert entry is None or code in ("disk_full", "io_error", "not_begun")
                case Welcome() | Condition():
                    if answer == Condition("") and channel == self.channel:
                        for entry in self.gateway.outcomes.values():
                            self._send(entry)

    def _on_appended(self, entry: Entries, index: int) -> None:
        number = int(entry.request, 16)
        self.acknowledged[index] = (type(entry), entry.request)
        if isinstance(entry, OutcomeEntry):
            self.gateway.outcomes.pop(number, None)
            self.gateway.unfinished.pop(number, None)
        elif entry.is_allowed:
            self.gateway.unfinished[number] = index

    @rule(
        in_calls=st.integers(0, 12),
        how=st.sampled_from(["error", "partly", "crash_before", "crash_after", "crash_partly"]),
        error=st.sampled_from([errno.EIO, errno.ENOSPC]),
    )
    def fault(self, in_calls: int, how: str, error: int) -> None:
        self.files.fault = Fault(len(self.files.calls) + in_calls, how, error)

    @rule(seed=st.none() | st.integers(0, 10**6))
    def crash(self, seed: int | None) -> None:
        if seed is None:
            self.files.kill()
        else:
            self.files.lose_power(seed)
            self.gateway = Gateway()  # it went down with the machine
        self._start()

    # -- what must hold

    @override
    def teardown(self) -> None:
        self.files.fault = None
        self._work()
        if not self.channel:
            self._connect()
            self._work()
        for number in list(self.gateway.unfinished):
            self.gateway.outcomes.setdefault(number, outcome(number, self.gateway.unfinished[number]))
            self._send(self.gateway.outcomes[number])
        self._work()
        assert not self.gateway.unfinished
        assert not self.gateway.outcomes
        self.restart_gateway()  # what it decided out of turn is closed
        self._connect()
        self._work()
        verify(self.files, self.acknowledged)


def verify(files: FaultyFiles, acknowledged: dict[int, tuple[type, str]]) -> None:
    """The rules of this module's head, from the files alone."""
    notes = Notes()
    log = WriteAheadLog(files, IDENTITY, 10**9)
    log.load(notes)
    decided: dict[str, tuple[int, bool]] = {}
    ended: set[str] = set()
    for index in range(log.next_index):
        entry = entry_from_bytes(notes.entries[index])
        if isinstance(entry, DecisionEntry):
            assert entry.request not in decided
            decided[entry.request] = (index, entry.is_allowed)
        else:
            assert decided[entry.request] == (entry.decision, True)
            assert entry.request not in ended
            ended.add(entry.request)
        if index in acknowledged:
            assert acknowledged[index] == (type(entry), entry.request)
    assert max(acknowledged, default=-1) < log.next_index
    assert ended == {name for name, (_, is_allowed) in decided.items() if is_allowed}


class LivesInSmallSegments(Lives):
    """A start reads only the end of the log here; so what lies further back is not repeated."""

    segment_bytes = 4_000
    may_misbehave = False


TestLives: Any = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLivesInSmallSegments: Any = LivesInSmallSegments.TestCase
TestLivesInSmallSegments.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_verification_can_fail() -> None:
    """The four faults that it looks for, each put into a log by hand."""
    for entries in (
        [decision(1)],
        [decision(1), decision(1), outcome(1, 0)],
        [decision(1), outcome(1, 0), outcome(1, 0)],
        [decision(1), outcome(1, 1)],
        [decision(1, allowed=False), outcome(1, 0)],
    ):
        files = FaultyFiles()
        log = WriteAheadLog(files, IDENTITY)
        log.begin([])
        log.append([msgspec.json.encode(entry, order="sorted") for entry in entries], list)
        with contextlib.suppress(AssertionError, KeyError):
            verify(files, {})
            raise RuntimeError("the fault was not found")
