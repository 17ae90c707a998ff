"""The book: one decision a request, one outcome an allowed decision."""

from __future__ import annotations

from ledger.samples import decision_bytes, outcome_bytes, request
from tenzij.ledger.book import Book, Known, Refuse, Write
from tenzij.ledger.segment import Unfinished

ONE, TWO = request(1), request(2)


def test_a_request_is_decided_once() -> None:
    book = Book()
    assert book.on_decision(ONE) == Write()
    book.replay(0, decision_bytes(1))
    assert book.on_decision(ONE) == Refuse("repeated_decision")
    assert book.on_decision(TWO) == Write()
    book.replay(1, outcome_bytes(1, 0))
    assert book.on_decision(ONE) == Refuse("repeated_decision")


def test_an_outcome_comes_after_its_decision_and_names_it() -> None:
    book = Book()
    assert book.on_outcome(ONE, 0) == Refuse("no_decision")
    book.replay(5, decision_bytes(1))
    assert book.unfinished == {ONE: Unfinished(ONE, 5, "model/smollm2-135m-instruct")}
    assert book.on_outcome(ONE, 4) == Refuse("wrong_decision")
    assert book.on_outcome(ONE, 5) == Write()


def test_a_second_outcome_is_answered_with_the_first() -> None:
    book = Book()
    book.replay(5, decision_bytes(1))
    book.replay(9, outcome_bytes(1, 5))
    assert not book.unfinished
    assert book.on_outcome(ONE, 5) == Known(9)
    assert book.on_outcome(ONE, 7) == Known(9)


def test_a_refused_decision_is_final() -> None:
    book = Book()
    book.replay(5, decision_bytes(1, allowed=False))
    assert not book.unfinished
    assert book.on_outcome(ONE, 5) == Refuse("decision_refused")
    assert book.on_decision(ONE) == Refuse("repeated_decision")


def test_what_a_segment_carries_over_is_known() -> None:
    book = Book()
    book.replay(0, decision_bytes(2))
    book.restore([Unfinished(ONE, 77, "model/m")])
    assert list(book.unfinished) == [ONE]
    assert book.on_outcome(ONE, 77) == Write()
    book.replay(80, outcome_bytes(1, 77))
    assert book.on_outcome(ONE, 77) == Known(80)


def test_memory_is_bounded_and_what_is_unfinished_is_never_forgotten() -> None:
    book = Book(settled_kept=10)
    book.replay(0, decision_bytes(0))
    for number in range(1, 101):
        book.replay(2 * number, decision_bytes(number))
        book.replay(2 * number + 1, outcome_bytes(number, 2 * number))
    assert list(book.unfinished) == [request(0)]
    assert book.on_outcome(request(91), 182) == Known(183)
    assert book.on_outcome(request(90), 180) == Refuse("no_decision")


def test_other_kinds_of_entry_pass_by() -> None:
    book = Book()
    book.replay(0, b'{"soort":"systeem","versie":3,"actie":"start"}')
    assert not book.unfinished
