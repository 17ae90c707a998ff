"""From decision to entry and back: nothing that decides is lost, and nothing that a client wrote gets in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import policy_worlds
from ledger.samples import MODEL, NOON_MS, Known, decision, facts, outcome, request
from tenzij.ledger.conversion import besluit_from, decision_from, facts_from
from tenzij.ledger.entries import DecisionEntry, bytes_from_entry, entry_from_bytes
from tenzij.ledger.fields import UNKNOWN_MODEL, Origin
from tenzij.policy.decide import decide
from tenzij.policy.decision import Decision, Exceptional, Local, Refused
from tenzij.policy.facts import Facts, Findings, Volume
from tenzij.types import Capability, KeyId, Level, ModelId, PersonalData, Sha256, Task, UseCaseId, Verification

_codes = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789._:/@+-", min_size=1, max_size=20)
_counts = st.integers(0, 2**53 - 1)
_hashes = st.binary(min_size=32, max_size=32).map(lambda raw: Sha256(raw.hex()))
_levels = st.sampled_from(Level)

_findings = st.builds(
    Findings,
    detector=_codes,
    level=st.none() | _levels,
    personal_data=st.frozensets(st.sampled_from(PersonalData)),
    counts=st.dictionaries(_codes, _counts, max_size=4).map(lambda counts: tuple(sorted(counts.items()))),
)
_volumes = st.lists(
    st.builds(Volume, exception=_codes, requests=_counts, tokens=_counts, cost_microeuros=_counts),
    max_size=3,
    unique_by=lambda volume: volume.exception,
).map(lambda volumes: tuple(sorted(volumes, key=lambda volume: volume.exception)))
_facts = st.builds(
    Facts,
    time_ms=st.integers(0, 253_402_300_799_999),
    caller=st.none() | _codes.map(KeyId),
    use_case=st.none() | _codes.map(UseCaseId),
    declared=st.none() | _levels,
    findings=_findings,
    task=st.sampled_from(Task),
    model=st.sampled_from([None, MODEL, ModelId("elders-1")]),
    needs=st.frozensets(st.sampled_from(Capability)),
    supplier=st.none() | _codes,
    tokens_wanted=_counts,
    volumes=_volumes,
    switches=st.frozensets(_codes, max_size=3),
    key_use_cases=st.lists(_codes.map(UseCaseId), max_size=3).map(tuple),
)
_lists = st.lists(_codes, max_size=3).map(tuple)
_decisions = st.one_of(
    st.builds(Local, rule=_codes, snapshot=_hashes, model=_codes, weights=_hashes, level=_levels, warnings=_lists),
    st.builds(
        Exceptional,
        rule=_codes,
        snapshot=_hashes,
        model=_codes,
        supplier=_codes,
        exception=_codes,
        level=_levels,
        obligations=_lists,
    ),
    st.builds(Refused, rule=_codes, snapshot=st.none() | _hashes, level=st.none() | _levels, instead=_lists),
)


def _through_the_log(asked: Facts, decided: Decision, snapshot: Any) -> DecisionEntry:
    entry = besluit_from(asked, decided, snapshot, request=request(1), origin=Origin.LOCAL)
    read = entry_from_bytes(bytes_from_entry(entry))
    assert isinstance(read, DecisionEntry)
    return read


@given(_facts, _decisions)
def test_facts_and_decision_come_back_as_they_were(asked: Facts, decided: Decision) -> None:
    entry = _through_the_log(asked, decided, Known())
    assert facts_from(entry) == asked
    assert decision_from(entry) == decided
    assert entry.is_allowed == (not isinstance(decided, Refused))


_WORLD = policy_worlds.snapshot()
_world_facts = st.builds(
    policy_worlds.facts,
    caller=st.sampled_from([None, KeyId("k_1")]),
    use_case=st.sampled_from([None, policy_worlds.EXPLORE, policy_worlds.LETTERS]),
    declared=st.none() | _levels,
    model=st.sampled_from(
        [None, policy_worlds.SMALL, policy_worlds.LARGE, policy_worlds.OUTSIDE, ModelId("Wie ben jij? \u2028")]
    ),
    task=st.sampled_from(Task),
    key_use_cases=st.sampled_from([(), (policy_worlds.EXPLORE, policy_worlds.LETTERS)]),
)


@given(_world_facts, st.sampled_from([None, _WORLD]))
def test_what_was_recorded_replays_to_the_same_decision(asked: Facts, snapshot: Any) -> None:
    decided = decide(asked, snapshot)
    entry = _through_the_log(asked, decided, snapshot)
    assert decide(facts_from(entry), snapshot) == decision_from(entry) == decided


@pytest.mark.parametrize(
    "name", ["CANARY-7f3a", "geheime vraag in het modelveld", "x" * 10_000, "\u20ac", "\ud800", "?"]
)
def test_a_model_name_that_the_policy_does_not_know_stays_out(name: str) -> None:
    asked = facts(model=ModelId(name))
    for snapshot in (None, Known()):
        entry = _through_the_log(asked, Refused("model_unknown", None), snapshot)
        assert entry.facts.model == UNKNOWN_MODEL
        assert entry.target == "toepassing/verkenning"


def test_kinds_that_are_counted_twice_are_a_defect() -> None:
    twice = Findings("d/1", None, frozenset(), (("naam", 1), ("naam", 2)))
    with pytest.raises(ValueError, match="twice"):
        _through_the_log(facts(findings=twice), Refused("x", None), None)


@pytest.mark.parametrize(
    ("asked", "verdict", "target"),
    [
        (facts(), Local("r", Sha256("a" * 64), MODEL, Sha256("b" * 64), Level.OPEN), f"model/{MODEL}"),
        (facts(model=MODEL), Refused("r", None), f"model/{MODEL}"),
        (facts(model=ModelId("elders-1")), Refused("r", None), "model/elders-1"),
        (facts(model=ModelId("onzin")), Refused("r", None), "toepassing/verkenning"),
        (facts(), Refused("r", None), "toepassing/verkenning"),
        (facts(use_case=None), Refused("r", None), "toepassing/onbekend"),
    ],
)
def test_the_object_is_the_model_or_the_use_case(asked: Facts, verdict: Decision, target: str) -> None:
    assert _through_the_log(asked, verdict, Known()).target == target


def test_only_a_local_decision_says_how_its_weights_were_verified() -> None:
    entry = decision(1)
    assert bytes_from_entry(entry).count(b'"controle":"gehasht"') == 1
    refused = besluit_from(
        facts(), Refused("r", None), None, request=request(1), origin=Origin.LOCAL, verification=Verification.HASHED
    )
    assert b"controle" not in bytes_from_entry(refused)


def test_an_outcome_stands_with_its_decision() -> None:
    decided, ended = decision(5), outcome(5, 17)
    assert (ended.request, ended.actor, ended.origin, ended.target) == (
        decided.request,
        decided.actor,
        decided.origin,
        decided.target,
    )
    assert ended.decision == 17
    assert ended.timestamp > decided.timestamp
    assert facts_from(decided).time_ms == NOON_MS
