"""How the time for a stop is shared out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenzij.supervisor.timing import plan_within


@given(st.floats(-1, 600))
def test_a_plan_ends_within_its_time_with_room_to_see_it(total_s: float) -> None:
    plan = plan_within(total_s)
    assert 0 <= plan.drain_s <= plan.terminate_s <= plan.kill_s <= max(0.0, total_s)
    if total_s > 0.001:
        assert plan.drain_s < plan.terminate_s < plan.kill_s < total_s
