"""Every code has a sentence in both languages, and a sentence shows nothing but codes and ids."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given

from policy_worlds import FACTS, SNAPSHOTS, facts, findings, model, snapshot, use_case
from tenzij.policy.decide import decide, rule_names
from tenzij.policy.decision import Local, Refused
from tenzij.policy.facts import Facts
from tenzij.policy.sentences import NAMES_MODELS, WARNINGS, Language, level_label, sentence
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Level, ModelId, PersonalData, Sha256

LANGUAGES: tuple[Language, ...] = get_args(Language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", rule_names())
def test_every_rule_has_a_sentence(rule: str, language: Language) -> None:
    text = sentence(Refused(rule, None, Level.INTERNAL), language)
    assert text != rule
    assert text.endswith(".")
    assert "{" not in text.replace("{model}", "")


@pytest.mark.parametrize("rule", rule_names())
def test_the_two_languages_differ(rule: str) -> None:
    decision = Refused(rule, None)
    assert sentence(decision, "nl") != sentence(decision, "en")


@given(FACTS, SNAPSHOTS)
def test_every_decision_has_a_whole_sentence(asked: Facts, version: Snapshot) -> None:
    for language in LANGUAGES:
        text = sentence(decide(asked, version), language)
        assert "{" not in text
        assert "  " not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_works_instead_is_named(language: Language) -> None:
    for rule in NAMES_MODELS:
        assert "klein, groot" in sentence(Refused(rule, None, Level.OPEN, ("klein", "groot")), language)
        assert len(sentence(Refused(rule, None), language)) > 60  # says whom to ask when nothing works
    assert "brieven" in sentence(Refused("use_case_not_chosen", None, None, ("brieven",)), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_that_is_not_here_is_not_quoted(language: Language) -> None:
    asked = facts(model=ModelId("KANARIE-7391"))
    assert "KANARIE" not in sentence(decide(asked, snapshot()), language)


def test_each_kind_that_can_be_warned_about_has_a_sentence() -> None:
    warnable = set(PersonalData) - {PersonalData.UNKNOWN}
    assert set(WARNINGS) == {f"personal_data_{kind.value}" for kind in warnable}
    version = snapshot(model(), use_case(refuse_findings=False, personal_data=frozenset()))
    decision = decide(facts(findings=findings(*warnable)), version)
    assert isinstance(decision, Local)
    for language in LANGUAGES:
        text = sentence(decision, language)
        assert all(warning.in_language(language) in text for warning in WARNINGS.values())


def test_local_says_where_on_what_and_at_which_class() -> None:
    decision = Local("local_named", Sha256("0"), ModelId("klein"), Sha256("1"), Level.INTERNAL)
    assert "klein" in sentence(decision, "en")
    assert "level 2" in sentence(decision, "en")
    assert "niveau 2" in sentence(decision, "nl")


def test_an_unknown_code_gives_the_code() -> None:
    assert sentence(Refused("from_the_future", None), "nl") == "from_the_future"


def test_each_level_has_a_label() -> None:
    assert level_label(Level.STATE_SECRET, "nl") == "staatsgeheim"
    assert len({level_label(level, "en") for level in Level}) == len(Level)
