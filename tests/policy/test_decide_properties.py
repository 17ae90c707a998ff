"""What must hold of every decision, over worlds that Hypothesis makes, and over all of a small one."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

from policy_worlds import (
    FACTS,
    KINDS,
    LARGE,
    LEVELS,
    NOWHERE,
    OUTSIDE,
    SMALL,
    SNAPSHOTS,
    facts,
    findings,
    grant,
    model,
    snapshot,
    use_case,
)
from tenzij.policy.decide import decide
from tenzij.policy.decision import Decision, Local, Refused
from tenzij.policy.facts import Facts
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Level, Location, PersonalData


def test_enough_of_the_worlds_allow_something() -> None:
    """Or the properties below would hold of refusals alone."""
    seen: list[bool] = []

    @seed(2026)
    @settings(max_examples=300, database=None)
    @given(FACTS, SNAPSHOTS)
    def look(asked: Facts, version: Snapshot) -> None:
        seen.append(isinstance(decide(asked, version), Local))

    look()
    assert sum(seen) > len(seen) / 5


@given(FACTS, SNAPSHOTS)
def test_never_anything_but_local_or_refused(asked: Facts, version: Snapshot) -> None:
    assert type(decide(asked, version)) in (Local, Refused)


@given(FACTS)
def test_without_policy_everything_is_refused(asked: Facts) -> None:
    assert decide(asked, None) == Refused("no_policy", None)


@given(FACTS, SNAPSHOTS)
def test_the_same_again_gives_the_same(asked: Facts, version: Snapshot) -> None:
    again = Facts(**{each.name: getattr(asked, each.name) for each in fields(asked)})
    assert decide(asked, version) == decide(again, replace(version))


@settings(max_examples=500)
@given(FACTS, SNAPSHOTS)
def test_local_only_for_a_known_caller_in_an_active_complete_use_case_on_its_own_model(
    asked: Facts, version: Snapshot
) -> None:
    decision = decide(asked, version)
    if isinstance(decision, Local):
        chosen = version.use_cases[asked.use_case] if asked.use_case else use_case(active=False)
        runs_on = version.models[decision.model]
        assert asked.caller is not None
        assert chosen.active
        assert chosen.floor is not None
        assert chosen.floor <= decision.level <= chosen.ceiling
        assert decision.level < Level.STATE_SECRET
        assert decision.model in chosen.models
        assert runs_on.location in (Location.OWN, Location.PARTNER)
        assert asked.task in runs_on.tasks
        assert asked.needs <= runs_on.capabilities
        assert decision.weights == runs_on.weights
        assert asked.supplier is None
        if PersonalData.UNKNOWN in asked.findings.personal_data:
            assert PersonalData.UNKNOWN in chosen.personal_data


@given(FACTS, SNAPSHOTS)
def test_a_named_model_is_never_replaced(asked: Facts, version: Snapshot) -> None:
    decision = decide(asked, version)
    if isinstance(decision, Local) and asked.model is not None:
        assert decision.model == asked.model


@given(FACTS, SNAPSHOTS)
def test_what_is_named_instead_works(asked: Facts, version: Snapshot) -> None:
    decision = decide(asked, version)
    if isinstance(decision, Refused) and decision.rule != "use_case_not_chosen":
        for named in decision.instead:
            assert isinstance(decide(replace(asked, model=version.models[named].id, supplier=None), version), Local)  # type: ignore[index]


def narrows(before: Decision, after: Decision) -> bool:
    """Whether `after` gives no leave that `before` did not."""
    return isinstance(before, Local) or isinstance(after, Refused)


@given(FACTS, SNAPSHOTS, LEVELS)
def test_raising_the_declared_class_never_widens(asked: Facts, version: Snapshot, level: Level) -> None:
    assume(level >= (asked.declared or Level.OPEN))
    assert narrows(decide(asked, version), decide(replace(asked, declared=level), version))


@given(FACTS, SNAPSHOTS, LEVELS, KINDS)
def test_more_findings_never_widen(
    asked: Facts, version: Snapshot, level: Level, kinds: frozenset[PersonalData]
) -> None:
    found = asked.findings
    more = replace(found, level=max(level, found.level or Level.OPEN), personal_data=found.personal_data | kinds)
    assert narrows(decide(asked, version), decide(replace(asked, findings=more), version))


@given(FACTS, SNAPSHOTS)
def test_removing_an_exception_changes_nothing(asked: Facts, version: Snapshot) -> None:
    with_one, without = replace(version, exceptions=(grant(),)), replace(version, exceptions=())
    assert decide(asked, with_one) == decide(asked, without)


@given(FACTS, SNAPSHOTS, st.integers(0, 2**53 - 1), st.integers(0, 10**9))
def test_time_and_load_are_no_inputs(asked: Facts, version: Snapshot, time_ms: int, tokens: int) -> None:
    assert decide(asked, version) == decide(replace(asked, time_ms=time_ms, tokens_wanted=tokens), version)


def test_all_of_a_small_world() -> None:
    """Every use case over two levels, with every request on it: Local exactly where all conditions hold."""
    levels = (Level.OPEN, Level.INTERNAL, Level.STATE_SECRET)
    allowed_kinds = (frozenset[PersonalData](), frozenset({PersonalData.UNKNOWN}))
    seen = {Local: 0, Refused: 0}
    for active, floor, ceiling, allowed, refuse, models, location in itertools.product(
        (True, False),
        (None, *levels),
        levels,
        allowed_kinds,
        (True, False),
        ((), (SMALL,), (LARGE, SMALL)),
        (Location.OWN, Location.SOVEREIGN),
    ):
        here = [each for each in models if each == SMALL or location is Location.OWN]
        version = snapshot(
            model(SMALL),
            model(LARGE, location=location),
            use_case(
                active=active,
                floor=floor,
                ceiling=ceiling,
                personal_data=allowed,
                refuse_findings=refuse,
                models=models,
            ),
        )
        for caller, declared, kinds, named, supplier in itertools.product(
            (None, facts().caller),
            (None, *levels),
            ((), (PersonalData.UNKNOWN,), (PersonalData.SPECIAL,)),
            (None, SMALL, LARGE, OUTSIDE, NOWHERE),
            (None, "leverancier"),
        ):
            found = findings(*kinds)
            asked = facts(caller=caller, declared=declared, findings=found, model=named, supplier=supplier)
            decision = decide(asked, version)
            level = max(floor or Level.OPEN, declared or Level.OPEN)
            stray = set(kinds) - allowed
            expected = (
                caller is not None
                and active
                and floor is not None
                and level <= ceiling
                and level is not Level.STATE_SECRET
                and PersonalData.UNKNOWN not in stray
                and not (stray and refuse)
                and supplier is None
                and (named in here if named else bool(here))
            )
            assert isinstance(decision, Local) == expected, (asked, version)
            if isinstance(decision, Local):
                assert decision.model == (named or here[0])
            seen[type(decision)] += 1
    assert seen[Local] > 500
    assert seen[Refused] > 20_000
