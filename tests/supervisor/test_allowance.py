"""How often somebody may do something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenzij.supervisor.allowance import Allowance


def test_a_burst_and_then_a_steady_rate() -> None:
    allowance = Allowance(burst=3, per_s=2.0, now_s=100.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(100.5), allowance.take(100.5)] == [True, False]


def test_it_never_holds_more_than_the_burst() -> None:
    allowance = Allowance(burst=2, per_s=10.0, now_s=0.0)
    assert [allowance.take(1e6) for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(0, 1000), max_size=200))
def test_no_order_of_times_gives_more_than_burst_and_rate(times: list[float]) -> None:
    allowance = Allowance(burst=5, per_s=1.0, now_s=0.0)
    assert sum(allowance.take(time) for time in times) <= 5 + max(times, default=0.0) + 1e-6
