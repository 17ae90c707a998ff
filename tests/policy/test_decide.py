"""The decision, rule by rule: a table of one request each, in the order of the rules."""

from __future__ import annotations

from typing import Any

import pytest

from policy_worlds import (
    EXPLORE,
    HASH,
    LARGE,
    LETTERS,
    NOWHERE,
    OUTSIDE,
    SMALL,
    facts,
    findings,
    grant,
    model,
    snapshot,
    use_case,
)
from tenzij.policy.case import MAX_INSTEAD
from tenzij.policy.decide import LATEST_RULES, NO_RULE, RULE_SETS, decide, rule_names
from tenzij.policy.decision import Local, Refused
from tenzij.policy.facts import NO_DETECTION
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Capability, Level, Location, ModelId, PersonalData, Task, UseCaseId

TOOLS = frozenset({Capability.TOOLS})
BOTH = snapshot(
    model(SMALL),
    model(LARGE, tasks=frozenset({Task.CHAT, Task.EMBEDDING}), capabilities=TOOLS),
    use_case(models=(SMALL, LARGE)),
    use_case(LETTERS, models=(LARGE,)),
)
DEFAULT = snapshot()

REFUSALS: list[tuple[str, Snapshot | None, dict[str, Any], tuple[str, ...]]] = [
    ("no_policy", None, {}, ()),
    ("rules_unknown", snapshot(rules="0"), {}, ()),
    ("caller_unknown", DEFAULT, {"caller": None}, ()),
    ("use_case_not_chosen", DEFAULT, {"use_case": None}, ()),
    ("use_case_not_chosen", DEFAULT, {"use_case": None, "key_use_cases": (LETTERS, EXPLORE)}, (LETTERS, EXPLORE)),
    ("use_case_unknown", DEFAULT, {"use_case": UseCaseId("x"), "key_use_cases": (EXPLORE,)}, ()),
    ("use_case_inactive", snapshot(model(), use_case(active=False)), {}, ()),
    ("use_case_inactive", snapshot(model(), use_case(floor=None)), {}, ()),
    ("state_secret", DEFAULT, {"declared": Level.STATE_SECRET}, ()),
    ("state_secret", DEFAULT, {"findings": findings(level=Level.STATE_SECRET)}, ()),
    ("state_secret", snapshot(model(), use_case(ceiling=Level.STATE_SECRET)), {"declared": Level.STATE_SECRET}, ()),
    ("above_ceiling", DEFAULT, {"declared": Level.CONFIDENTIAL}, ()),
    ("above_ceiling", DEFAULT, {"findings": findings(level=Level.CONFIDENTIAL)}, ()),
    ("above_ceiling", DEFAULT, {"declared": Level.OPEN, "findings": findings(level=Level.RESTRICTED)}, ()),
    ("above_ceiling", snapshot(model(), use_case(floor=Level.CONFIDENTIAL)), {}, ()),
    ("personal_data_unknown", snapshot(model(), use_case(personal_data=frozenset())), {"findings": NO_DETECTION}, ()),
    (
        "personal_data_unknown",
        snapshot(model(), use_case(personal_data=frozenset(), refuse_findings=False)),
        {"findings": NO_DETECTION},
        (),
    ),
    ("personal_data_not_allowed", DEFAULT, {"findings": findings(PersonalData.NATIONAL_NUMBER)}, ()),
    ("no_model_fits", DEFAULT, {"task": Task.EMBEDDING}, ()),
    ("no_model_fits", DEFAULT, {"needs": TOOLS}, ()),
    ("no_model_fits", snapshot(model(), use_case(models=())), {}, ()),
    ("no_model_fits", snapshot(model(location=Location.CONTRACTED), use_case()), {}, ()),
    ("model_not_allowed", BOTH, {"use_case": LETTERS, "model": SMALL}, (LARGE,)),
    ("task_not_supported", BOTH, {"model": LARGE, "task": Task.COMPLETION}, (SMALL,)),
    ("task_not_supported", DEFAULT, {"model": SMALL, "task": Task.EMBEDDING}, ()),
    ("capability_not_supported", BOTH, {"model": SMALL, "needs": TOOLS}, (LARGE,)),
    ("capability_not_supported", DEFAULT, {"model": SMALL, "needs": TOOLS}, ()),
    ("exception_needed", BOTH, {"model": OUTSIDE}, (SMALL, LARGE)),
    ("exception_needed", snapshot(exceptions=(grant(),)), {"model": OUTSIDE}, (SMALL,)),
    ("exception_needed", BOTH, {"model": OUTSIDE, "supplier": "leverancier", "needs": TOOLS}, (LARGE,)),
    ("exception_needed", DEFAULT, {"model": SMALL, "supplier": "leverancier"}, (SMALL,)),
    ("exception_needed", DEFAULT, {"model": None, "supplier": "leverancier"}, (SMALL,)),
    ("model_unknown", BOTH, {"model": NOWHERE}, (SMALL, LARGE)),
    ("model_unknown", snapshot(model(location=Location.SOVEREIGN), use_case()), {"model": SMALL}, ()),
]


@pytest.mark.parametrize(("rule", "version", "changes", "instead"), REFUSALS)
def test_refused(rule: str, version: Snapshot | None, changes: dict[str, Any], instead: tuple[str, ...]) -> None:
    decision = decide(facts(**changes), version)
    assert isinstance(decision, Refused)
    assert (decision.rule, decision.instead) == (rule, instead)
    assert decision.snapshot == (HASH if version else None)


@pytest.mark.parametrize(
    ("rule", "changes", "runs_on", "level"),
    [
        ("local_default", {}, SMALL, Level.OPEN),
        ("local_default", {"declared": Level.INTERNAL}, SMALL, Level.INTERNAL),
        ("local_default", {"task": Task.EMBEDDING}, LARGE, Level.OPEN),
        ("local_default", {"needs": TOOLS}, LARGE, Level.OPEN),
        ("local_default", {"use_case": LETTERS}, LARGE, Level.OPEN),
        ("local_default", {"findings": NO_DETECTION}, SMALL, Level.OPEN),
        ("local_named", {"model": SMALL}, SMALL, Level.OPEN),
        ("local_named", {"model": LARGE, "needs": TOOLS}, LARGE, Level.OPEN),
        ("local_named", {"model": LARGE, "findings": findings(level=Level.INTERNAL)}, LARGE, Level.INTERNAL),
    ],
)
def test_local(rule: str, changes: dict[str, Any], runs_on: str, level: Level) -> None:
    decision = decide(facts(**changes), BOTH)
    assert isinstance(decision, Local)
    assert (decision.rule, decision.model, decision.level) == (rule, runs_on, level)
    assert decision.weights == BOTH.models[decision.model].weights
    assert decision.snapshot == HASH


def test_a_partners_system_is_local_too() -> None:
    version = snapshot(model(location=Location.PARTNER), use_case())
    assert isinstance(decide(facts(model=SMALL), version), Local)


@pytest.mark.parametrize(
    ("floor", "declared", "found", "level"),
    [
        (Level.OPEN, None, None, Level.OPEN),
        (Level.INTERNAL, None, None, Level.INTERNAL),
        (Level.INTERNAL, Level.OPEN, None, Level.INTERNAL),
        (Level.INTERNAL, Level.OPEN, Level.OPEN, Level.INTERNAL),
        (Level.OPEN, Level.CONFIDENTIAL, Level.INTERNAL, Level.CONFIDENTIAL),
        (Level.OPEN, Level.INTERNAL, Level.RESTRICTED, Level.RESTRICTED),
    ],
)
def test_the_class_is_the_highest_of_floor_declared_and_found(
    floor: Level, declared: Level | None, found: Level | None, level: Level
) -> None:
    version = snapshot(model(), use_case(floor=floor, ceiling=Level.RESTRICTED))
    assert decide(facts(declared=declared, findings=findings(level=found)), version).level is level


def test_findings_outside_the_allowed_kinds_are_warned_about_where_the_use_case_says_so() -> None:
    version = snapshot(model(), use_case(refuse_findings=False))
    kinds = (PersonalData.ORDINARY, PersonalData.SPECIAL, PersonalData.NATIONAL_NUMBER)
    decision = decide(facts(findings=findings(*kinds)), version)
    assert isinstance(decision, Local)
    assert decision.warnings == ("personal_data_bijzonder", "personal_data_bsn")


def test_no_more_is_named_instead_than_an_entry_of_the_ledger_holds() -> None:
    models = [model(ModelId(f"m{number}")) for number in range(200)]
    version = snapshot(*models, use_case(models=tuple(each.id for each in models)))
    for changes in ({"model": NOWHERE}, {"use_case": None, "key_use_cases": tuple(each.id for each in models)}):
        decision = decide(facts(**changes), version)
        assert isinstance(decision, Refused)
        assert decision.instead == tuple(each.id for each in models[:MAX_INSTEAD])


def test_earlier_rules_win() -> None:
    """All is wrong with this request; mending the first fault each time shows the rules in their order."""
    version = snapshot(model(), use_case(active=False), use_case(LETTERS, models=()))
    wrong: dict[str, Any] = {
        "caller": None,
        "use_case": None,
        "declared": Level.STATE_SECRET,
        "findings": findings(PersonalData.SPECIAL, PersonalData.UNKNOWN),
        "model": NOWHERE,
    }
    seen = [decide(facts(**wrong), version).rule]
    for mended in (
        {"caller": facts().caller},
        {"use_case": UseCaseId("x")},
        {"use_case": EXPLORE},
        {"use_case": LETTERS},
        {"declared": Level.CONFIDENTIAL},
        {"declared": None},
        {"findings": findings()},
        {"model": None},
    ):
        wrong |= mended
        seen.append(decide(facts(**wrong), version).rule)
    assert seen == [
        "caller_unknown",
        "use_case_not_chosen",
        "use_case_unknown",
        "use_case_inactive",
        "state_secret",
        "above_ceiling",
        "personal_data_not_allowed",
        "model_unknown",
        "no_model_fits",
    ]


def test_every_rule_of_the_latest_set_is_reached_by_some_test() -> None:
    reached = {rule for rule, *_ in REFUSALS} | {"local_default", "local_named"}
    assert reached == set(rule_names()) - {NO_RULE}


def test_the_latest_rules_are_there_and_names_are_unique() -> None:
    names = [rule.name for rule in RULE_SETS[LATEST_RULES]]
    assert len(set(names)) == len(names)
