"""The keeper: order, groups, who answers for a request, and what happens while nothing can be written."""

from __future__ import annotations

import json

from ledger.samples import NOON_MS, decision, outcome, request
from tenzij.ledger.book import Book
from tenzij.ledger.entries import DecisionEntry, Entries, OutcomeEntry, bytes_from_entry, entry_from_bytes
from tenzij.ledger.keeper import GROUP_ENTRIES, Greeting, Keeper, Parting, Wish
from tenzij.ledger.protocol import Appended, Condition, NotAppended, ToClient, Welcome

Answers = list[tuple[int, ToClient]]


class Desk:
    """A keeper, and a device that always works."""

    def __init__(self) -> None:
        self.book = Book()
        self.keeper = Keeper(self.book)
        self.keeper.change_condition("")
        self.log: list[Entries] = []
        self.groups: list[int] = []
        self.number = 0

    def greet(self, channel: int, *unfinished: int) -> Answers:
        self.keeper.put(Greeting(channel, [request(number) for number in unfinished]))
        return self.work()

    def part(self, channel: int) -> Answers:
        self.keeper.put(Parting(channel))
        return self.work()

    def put(self, channel: int, entry: Entries) -> int:
        self.number += 1
        self.keeper.put(Wish(channel, self.number, entry, bytes_from_entry(entry)))
        return self.number

    def work(self) -> Answers:
        answers: Answers = []
        while (group := self.keeper.next_group(NOON_MS)) is not None:
            answers += group.answers
            if group.wishes:
                first = len(self.log)
                self.log += [wish.entry for wish in group.wishes]
                self.groups.append(len(group.wishes))
                answers += self.keeper.written(group, first)
        return answers

    def closed(self) -> list[str]:
        return [entry.request for entry in self.log if isinstance(entry, OutcomeEntry) and entry.actor == "logboek"]


def test_a_decision_and_its_outcome() -> None:
    desk = Desk()
    assert desk.greet(1) == [(1, Welcome())]
    number = desk.put(1, decision(7))
    assert desk.work() == [(1, Appended(number, 0))]
    number = desk.put(1, outcome(7, 0))
    assert desk.work() == [(1, Appended(number, 1))]
    again = desk.put(1, outcome(7, 0, "mislukt", "engine_error"))
    assert desk.work() == [(1, Appended(again, 1))]
    assert desk.log == [decision(7), outcome(7, 0)]


def test_what_comes_together_is_written_together_and_in_order() -> None:
    desk = Desk()
    desk.greet(1)
    numbers = [desk.put(1, decision(number)) for number in range(GROUP_ENTRIES + 5)]
    assert desk.work() == [(1, Appended(number, index)) for index, number in enumerate(numbers)]
    assert desk.groups == [GROUP_ENTRIES, 5]


def test_a_request_is_in_a_group_once() -> None:
    desk = Desk()
    desk.greet(1)
    numbers = [
        desk.put(1, decision(7)),
        desk.put(1, decision(7)),
        desk.put(1, outcome(7, 0)),
        desk.put(1, outcome(7, 0)),
    ]
    assert desk.work() == [
        (1, Appended(numbers[0], 0)),
        (1, NotAppended(numbers[1], "repeated_decision")),
        (1, Appended(numbers[2], 1)),
        (1, Appended(numbers[3], 1)),
    ]
    assert desk.groups == [1, 1]


def test_refusals_have_codes() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(1, allowed=False))
    desk.put(1, decision(2))
    desk.work()
    expected = {
        desk.put(1, outcome(1, 0)): "decision_refused",
        desk.put(1, outcome(2, 0)): "wrong_decision",
        desk.put(1, outcome(3, 0)): "no_decision",
    }
    assert {answer.number: answer.code for _, answer in desk.work() if isinstance(answer, NotAppended)} == expected


def test_a_new_gateway_closes_what_the_old_one_left() -> None:
    desk = Desk()
    desk.greet(1)
    for number in range(3):
        desk.put(1, decision(number))
    desk.put(1, decision(9, allowed=False))
    desk.part(1)
    assert desk.closed() == []  # its client may come back
    desk.greet(2)
    assert desk.closed() == [request(0), request(1), request(2)]
    assert not desk.book.unfinished


def test_what_the_ledger_writes_is_an_entry_like_any_other() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.part(1)
    desk.greet(2)
    data = bytes_from_entry(desk.log[-1])
    assert entry_from_bytes(data) == desk.log[-1]
    tree = json.loads(data)
    assert (tree["resultaat"], tree["reden"], tree["actor"], tree["oorsprong"]) == (
        "afgebroken",
        "gateway_weg",
        "logboek",
        "platform",
    )
    assert (tree["besluit"], tree["object"]) == (0, decision(0).target)


def test_a_gateway_that_comes_back_keeps_what_it_names() -> None:
    desk = Desk()
    desk.greet(1)
    for number in range(3):
        desk.put(1, decision(number))
    desk.part(1)
    desk.greet(2, 0, 2, 55)
    assert desk.closed() == [request(1)]
    number = desk.put(2, outcome(2, 2))
    assert desk.work() == [(2, Appended(number, 4))]


def test_a_gateway_that_greets_before_its_old_channel_ends() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.put(1, decision(1))
    desk.work()
    desk.greet(2, 0)
    assert desk.closed() == []  # 1 is still the old channel's
    desk.put(1, decision(2))  # read late from the old channel
    desk.part(1)
    assert desk.closed() == [request(1), request(2)]
    assert list(desk.book.unfinished) == [request(0)]
    desk.part(2)
    assert list(desk.book.unfinished) == [request(0)]


def test_at_the_start_nothing_is_closed_before_somebody_greets() -> None:
    desk = Desk()
    desk.book.replay(0, bytes_from_entry(decision(0)))
    desk.log.append(decision(0))
    assert desk.work() == []
    desk.greet(1)
    assert desk.closed() == [request(0)]


def test_at_the_end_everything_is_closed() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.part(1)
    desk.keeper.close_unanswered()
    desk.work()
    assert desk.closed() == [request(0)]


def test_while_nothing_can_be_written_appends_are_refused_and_closing_waits() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.put(1, decision(1))
    desk.work()
    desk.put(1, outcome(0, 0))
    group = desk.keeper.next_group(NOON_MS)
    assert group is not None
    failed = group.wishes[0].number
    assert desk.keeper.failed(group, "disk_full") == [
        (1, NotAppended(failed, "disk_full")),
        (1, Condition("disk_full")),
    ]
    number = desk.put(1, decision(2))
    assert desk.work() == [(1, NotAppended(number, "disk_full"))]
    desk.part(1)
    assert desk.greet(2, 0) == [(2, Welcome()), (2, Condition("disk_full"))]
    assert len(desk.log) == 2
    assert desk.keeper.change_condition("io_error") == [(2, Condition("io_error"))]
    assert desk.keeper.change_condition("io_error") == []
    assert desk.keeper.change_condition("") == [(2, Condition(""))]
    desk.work()
    assert desk.closed() == [request(1)]
    number = desk.put(2, outcome(0, 0))
    assert desk.work() == [(2, Appended(number, 3))]


def test_a_known_outcome_is_answered_even_while_nothing_can_be_written() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.work()
    desk.put(1, outcome(0, 0))
    desk.work()
    desk.keeper.change_condition("io_error")
    number = desk.put(1, outcome(0, 0))
    assert desk.work() == [(1, Appended(number, 1))]


def test_before_the_log_has_begun_nothing_is_confirmed() -> None:
    """What a killed writer left is read at the start, and may be gone after a loss of power until it is synced."""
    book = Book()
    book.replay(0, bytes_from_entry(decision(0)))
    book.replay(1, bytes_from_entry(outcome(0, 0)))
    keeper = Keeper(book)
    wish = Wish(1, 5, outcome(0, 0), bytes_from_entry(outcome(0, 0)))
    for code in ("not_begun", "disk_full", "io_error"):
        keeper.change_condition(code)
        keeper.put(wish)
        group = keeper.next_group(NOON_MS)
        assert group is not None
        assert group.answers == [(1, NotAppended(5, code))]
    keeper.change_condition("")
    keeper.put(wish)
    group = keeper.next_group(NOON_MS)
    assert group is not None
    assert group.answers == [(1, Appended(5, 1))]


def test_a_gateway_that_comes_back_in_time_stops_the_closing() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.part(1)
    desk.keeper.change_condition("disk_full")
    desk.greet(2)  # does not name it: to be closed, once something can be written
    desk.greet(3, 0)  # names it after all
    desk.keeper.change_condition("")
    desk.work()
    assert desk.closed() == []


def test_closing_and_a_late_outcome_do_not_both_happen() -> None:
    desk = Desk()
    desk.greet(1)
    desk.put(1, decision(0))
    desk.work()
    desk.keeper.put(Parting(1))
    desk.keeper.put(Greeting(2, []))
    number = desk.put(2, outcome(0, 0))
    answers = desk.work()
    assert (2, Appended(number, 1)) in answers
    assert len([entry for entry in desk.log if not isinstance(entry, DecisionEntry)]) == 1


def test_many_are_closed_in_groups() -> None:
    desk = Desk()
    desk.greet(1)
    for number in range(2 * GROUP_ENTRIES + 1):
        desk.put(1, decision(number))
    desk.part(1)
    desk.greet(2)
    assert desk.groups[-3:] == [GROUP_ENTRIES, GROUP_ENTRIES, 1]
    assert not desk.book.unfinished
    assert desk.keeper.next_group(NOON_MS) is None
