"""The life of a child: what its table promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.supervisor.lifecycle import TABLE, WITH_PROCESS, Event, NotNow, State, after, failures_after, pause_s

WITHOUT_PROCESS = set(State) - WITH_PROCESS
ENDS = {Event.EXITED, Event.EXHAUSTED}


def reachable(start: State, *without: Event) -> set[State]:
    """States that can follow, without these events."""
    found, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for (state, event), there in TABLE.items():
            if state is here and event not in without and there not in found:
                found.add(there)
                todo.append(there)
    return found


def test_every_state_can_be_reached() -> None:
    assert reachable(State.STOPPED) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_stopped(state: State) -> None:
    assert after(state, Event.STOP) in (State.STOPPING, State.STOPPED)


@pytest.mark.parametrize("state", State)
def test_who_was_stopped_never_starts_unasked(state: State) -> None:
    after_stop = reachable(after(state, Event.STOP), Event.START)
    assert after_stop <= {State.STOPPING, State.STOPPED}
    assert State.STOPPED in after_stop


@pytest.mark.parametrize("state", sorted(WITH_PROCESS))
def test_a_process_leaves_only_by_its_end(state: State) -> None:
    for event in Event:
        if (state, event) in TABLE:
            assert (after(state, event) in WITH_PROCESS) is (event not in ENDS), event


@pytest.mark.parametrize("state", sorted(WITHOUT_PROCESS))
def test_only_starting_makes_a_process(state: State) -> None:
    for event in Event:
        if (state, event) in TABLE:
            assert after(state, event) in {*WITHOUT_PROCESS, State.STARTING}, event


def test_a_process_can_end_and_be_at_fault_in_every_state_that_has_one() -> None:
    for state in WITH_PROCESS:
        assert ENDS | {Event.FAULT, Event.STOP} <= {event for s, event in TABLE if s is state}


def test_given_up_is_left_by_a_wish_alone() -> None:
    assert {event for state, event in TABLE if state is State.GIVEN_UP} == {Event.START, Event.STOP}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_pair_is_in_the_table_or_refused(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert after(state, event) is TABLE[state, event]
    else:
        with pytest.raises(NotNow):
            after(state, event)


def test_the_table_has_all_that_is_meant_and_no_more() -> None:
    assert len(TABLE) == 23


@given(st.lists(st.sampled_from(Event)))
def test_any_run_that_ends_in_stop_and_the_end_of_the_process_is_stopped(events: list[Event]) -> None:
    state = State.STOPPED
    for event in [*events, Event.STOP]:
        if (state, event) in TABLE:
            state = after(state, event)
    if state in WITH_PROCESS:
        state = after(state, Event.EXITED)
    assert state is State.STOPPED


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_s(n, 0.5, 5.0) for n in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.integers(0, 10**6), st.floats(0.01, 60), st.floats(0.01, 3600))
def test_a_pause_never_shrinks_and_never_exceeds_the_longest(failures: int, first_s: float, longest_s: float) -> None:
    here, next_one = (pause_s(n, first_s, longest_s) for n in (failures, failures + 1))
    assert 0 <= here <= next_one <= longest_s


@pytest.mark.parametrize(
    ("failures", "ready_for_s", "expected"),
    [(0, None, 1), (3, None, 4), (3, 0.0, 4), (3, 29.9, 4), (3, 30.0, 1), (0, 1e9, 1)],
)
def test_a_row_of_failures_starts_anew_after_a_good_while(
    failures: int, ready_for_s: float | None, expected: int
) -> None:
    assert failures_after(failures, ready_for_s, forgiven_after_s=30.0) == expected
