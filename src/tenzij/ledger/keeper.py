"""What is written next, and who is told what: the log's owner, without its hands. Pure.

Rules
- Messages are taken in the order in which they came. `next_group` gives one group to write; then `written` or `failed`
  tells how that went, before the next is asked for. So the book never runs ahead of the device.
- A group holds at most one entry of a request: the second is judged when the first is durable.
- Each unfinished request has one channel that answers for it: the one that wrote its decision, or that named it in its
  hello. When a channel ends, or greets without naming them, the requests that no channel answers for are closed:
  the ledger writes `afgebroken` with `gateway_weg`. A channel that ends closes nothing while no other has greeted,
  because its client may come back.
- While the log cannot write, appends are refused at once, and what is to be closed waits.
- What was read at the start may not be on the device yet: a killed writer leaves entries that it never synced. So
  until the log has begun, which syncs them, not even a known outcome is confirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tenzij.ledger.book import Book, Glance, Known, Refuse, Write
from tenzij.ledger.canonical import ENCODER
from tenzij.ledger.entries import DecisionEntry, Entries, OutcomeEntry
from tenzij.ledger.fields import LEDGER_ACTOR, Origin, timestamp_from_ms
from tenzij.ledger.outcome_entry import GATEWAY_GONE, AnswerCommitment
from tenzij.ledger.protocol import NOT_BEGUN, Appended, Condition, NotAppended, ToClient, Welcome
from tenzij.ledger.segment import Unfinished

GROUP_ENTRIES: Final = 1024
LEDGER_CHANNEL: Final = 0  # who writes what the ledger itself writes; nobody reads its answers


@dataclass(frozen=True, slots=True)
class Wish:
    """One entry that a channel wants written, checked and parsed."""

    channel: int
    number: int
    entry: Entries
    data: bytes
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A channel began: the requests that it answers for."""

    channel: int
    unfinished: Sequence[str]


@dataclass(frozen=True, slots=True)
class Parting:
    """A channel ended."""

    channel: int


@dataclass(slots=True)
class Group:
    """What to write together, and what to say without writing."""

    wishes: list[Wish] = field(default_factory=list)
    answers: list[tuple[int, ToClient]] = field(default_factory=list)
    requests: set[str] = field(default_factory=set)

    def add(self, wish: Wish) -> None:
        """One more entry to write."""
        self.wishes.append(wish)
        self.requests.add(wish.entry.request)


class Keeper:
    """Decides for one log. The channels are numbers, from 1."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._inbox: deque[Wish | Greeting | Parting] = deque()
        self._greeted: set[int] = set()
        self._answers_for: dict[str, int] = {}  # request -> channel
        self._closing: dict[str, Unfinished] = {}
        self._has_begun = False
        self.condition = NOT_BEGUN  # why nothing can be written; empty: it can

    def put(self, item: Wish | Greeting | Parting) -> None:
        """Takes one message in."""
        self._inbox.append(item)

    def next_group(self, now_ms: int) -> Group | None:
        """What to write and say next; None when there is nothing to do."""
        group = Group()
        while self._inbox and len(group.wishes) < GROUP_ENTRIES:
            item = self._inbox[0]
            if isinstance(item, Wish):
                if item.entry.request in group.requests:
                    break
                self._judge(item, group)
            elif group.wishes:  # a greeting is about what is durable: write first
                break
            elif isinstance(item, Greeting):
                self._greet(item, group)
            else:
                self._part(item)
            self._inbox.popleft()
        if not self.condition:
            self._close_some(group, now_ms)
        return group if group.wishes or group.answers else None

    def written(self, group: Group, first_index: int) -> list[tuple[int, ToClient]]:
        """The group is durable: what to answer."""
        answers: list[tuple[int, ToClient]] = []
        for index, wish in enumerate(group.wishes, first_index):
            entry = wish.entry
            self._book.note(index, Glance(entry.kind, entry.request, entry.target, entry.result))
            if isinstance(entry, OutcomeEntry):
                self._answers_for.pop(entry.request, None)
                self._closing.pop(entry.request, None)
            elif entry.is_allowed:
                self._answers_for[entry.request] = wish.channel
            answers.append((wish.channel, Appended(wish.number, index)))
        return answers

    def failed(self, group: Group, code: str) -> list[tuple[int, ToClient]]:
        """Nothing of the group counts: what to answer. From now on appends are refused with `code`."""
        refusals: list[tuple[int, ToClient]] = [(wish.channel, NotAppended(wish.number, code)) for wish in group.wishes]
        return refusals + self.change_condition(code)

    def change_condition(self, code: str) -> list[tuple[int, ToClient]]:
        """The log cannot write, or (empty) can again: what to tell everyone."""
        if code == self.condition:
            return []
        self._has_begun = self._has_begun or not code
        self.condition = code
        return [(channel, Condition(code)) for channel in sorted(self._greeted)]

    def close_unanswered(self) -> None:
        """Closes every unfinished request that no channel answers for: nobody will come back for it."""
        for request, unfinished in self._book.unfinished.items():
            if request not in self._answers_for:
                self._closing[request] = unfinished

    @property
    def has_channels(self) -> bool:
        """Whether some channel has greeted and not parted."""
        return bool(self._greeted)

    def _judge(self, wish: Wish, group: Group) -> None:
        entry = wish.entry
        if isinstance(entry, DecisionEntry):
            verdict: Write | Known | Refuse = self._book.on_decision(entry.request)
        else:
            verdict = self._book.on_outcome(entry.request, entry.decision)
        match verdict:
            case Known(index) if self._has_begun:
                group.answers.append((wish.channel, Appended(wish.number, index)))
            case Refuse(code):
                group.answers.append((wish.channel, NotAppended(wish.number, code)))
            case Write() if not self.condition:
                group.add(wish)
            case Write() | Known():
                group.answers.append((wish.channel, NotAppended(wish.number, self.condition)))

    def _greet(self, greeting: Greeting, group: Group) -> None:
        self._greeted.add(greeting.channel)
        for request in greeting.unfinished:
            if request in self._book.unfinished:
                self._answers_for[request] = greeting.channel
                self._closing.pop(request, None)
        self.close_unanswered()
        group.answers.append((greeting.channel, Welcome()))
        if self.condition:
            group.answers.append((greeting.channel, Condition(self.condition)))

    def _part(self, parting: Parting) -> None:
        self._greeted.discard(parting.channel)
        for request in [request for request, channel in self._answers_for.items() if channel == parting.channel]:
            del self._answers_for[request]
        if self._greeted:
            self.close_unanswered()

    def _close_some(self, group: Group, now_ms: int) -> None:
        for request, unfinished in self._closing.items():
            if len(group.wishes) >= GROUP_ENTRIES:
                break
            if request not in group.requests:
                entry = _aborted(unfinished, now_ms)
                group.add(Wish(LEDGER_CHANNEL, 0, entry, ENCODER.encode(entry)))


def _aborted(unfinished: Unfinished, now_ms: int) -> OutcomeEntry:
    return OutcomeEntry(
        request=unfinished.request,
        timestamp=timestamp_from_ms(now_ms),
        actor=LEDGER_ACTOR,
        origin=Origin.PLATFORM,
        target=unfinished.target,
        result="afgebroken",
        decision=unfinished.decision,
        reason=GATEWAY_GONE,
        finish=None,
        usage=None,
        duration_ms=None,
        commitments=AnswerCommitment(None),
    )
