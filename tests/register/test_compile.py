"""Records to a policy version: the same in whatever order, and never more than the records say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from register_world import passport
from tenzij.passport import passport_from_tree
from tenzij.policy.snapshot import Snapshot
from tenzij.policy.snapshot_json import snapshot_from_bytes
from tenzij.register.compile import AdmittedModel, UseCaseRecord, policy_bytes
from tenzij.register.use_cases import EXPLORATION
from tenzij.types import Level, Location, ModelId, UseCaseId


def admitted(model: str, admitted_ms: int) -> AdmittedModel:
    return AdmittedModel(passport_from_tree(passport(model)), 1, Location.OWN, admitted_ms)


MODELS = [admitted("c", 1), admitted("a", 2), admitted("b", 2)]
LISTED = replace(EXPLORATION, id=UseCaseId("brieven"), every_model=False, models=(ModelId("b"), ModelId("weg")))


def compiled(use_cases: list[UseCaseRecord], models: list[AdmittedModel]) -> Snapshot:
    return snapshot_from_bytes(policy_bytes(use_cases, models, 7))


def test_models_come_in_the_order_of_admission() -> None:
    assert compiled([EXPLORATION], MODELS).use_cases[EXPLORATION.id].models == ("c", "a", "b")


def test_a_list_keeps_its_order_and_loses_what_is_not_admitted() -> None:
    assert compiled([LISTED], MODELS).use_cases[LISTED.id].models == ("b",)


def test_a_use_case_without_a_floor_is_not_active() -> None:
    incomplete = replace(EXPLORATION, floor=None)
    assert not compiled([incomplete], MODELS).use_cases[EXPLORATION.id].active


def test_a_use_case_that_is_off_is_not_active() -> None:
    assert not compiled([replace(EXPLORATION, active=False)], MODELS).use_cases[EXPLORATION.id].active


def test_a_model_is_what_its_passport_says() -> None:
    model = compiled([], MODELS).models[ModelId("a")]
    stated = MODELS[1].passport
    assert (model.weights, model.context_tokens, model.licence) == (stated.sha256, 2048, "Apache-2.0")
    assert model.tasks == frozenset(stated.tasks)
    assert model.location is Location.OWN


@given(st.permutations([EXPLORATION, LISTED, replace(LISTED, id=UseCaseId("x"), ceiling=Level.RESTRICTED)]), st.data())
def test_order_does_not_matter(use_cases: list[UseCaseRecord], data: st.DataObject) -> None:
    models = data.draw(st.permutations(MODELS))
    usual = [EXPLORATION, LISTED, replace(LISTED, id=UseCaseId("x"), ceiling=Level.RESTRICTED)]
    assert policy_bytes(use_cases, models, 7) == policy_bytes(usual, MODELS, 7)


def test_the_time_is_part_of_the_version() -> None:
    assert policy_bytes([EXPLORATION], MODELS, 7) != policy_bytes([EXPLORATION], MODELS, 8)
