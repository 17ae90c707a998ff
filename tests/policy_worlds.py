"""Small worlds for tests of the policy: policy versions and requests over a few names, by hand and by Hypothesis."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from tenzij.policy.facts import Facts, Findings
from tenzij.policy.snapshot import ExceptionGrant, Model, Snapshot, UseCase
from tenzij.types import Capability, KeyId, Level, Location, ModelId, PersonalData, Sha256, Task, UseCaseId

SMALL = ModelId("klein")
LARGE = ModelId("groot")
OUTSIDE = ModelId("elders-1")
NOWHERE = ModelId("bestaat-niet")
EXPLORE = UseCaseId("verkenning")
LETTERS = UseCaseId("brieven")
HASH = Sha256("cd" * 32)


def model(model_id: ModelId = SMALL, **changes: Any) -> Model:
    """An admitted local model that chats and completes."""
    fields: dict[str, Any] = {
        "id": model_id,
        "weights": Sha256((model_id.encode().hex() + "0" * 64)[:64]),
        "location": Location.OWN,
        "tasks": frozenset({Task.CHAT, Task.COMPLETION}),
        "capabilities": frozenset(),
        "context_tokens": 2048,
        "licence": "Apache-2.0",
    }
    return Model(**{**fields, **changes})


def use_case(use_case_id: UseCaseId = EXPLORE, **changes: Any) -> UseCase:
    """An active use case for levels 1 and 2 that permits ordinary and unknown personal data, with the small model."""
    fields: dict[str, Any] = {
        "id": use_case_id,
        "active": True,
        "floor": Level.OPEN,
        "ceiling": Level.INTERNAL,
        "personal_data": frozenset({PersonalData.ORDINARY, PersonalData.UNKNOWN}),
        "refuse_findings": True,
        "models": (SMALL,),
    }
    return UseCase(**{**fields, **changes})


def snapshot(*parts: Model | UseCase, **changes: Any) -> Snapshot:
    """A policy version of these parts; without any: the small model and the use case `verkenning`."""
    chosen = parts or (model(), use_case())
    fields: dict[str, Any] = {
        "hash": HASH,
        "rules": "1",
        "made_ms": 1_000,
        "use_cases": MappingProxyType({each.id: each for each in chosen if isinstance(each, UseCase)}),
        "models": MappingProxyType({each.id: each for each in chosen if isinstance(each, Model)}),
        "supplier_models": MappingProxyType({OUTSIDE: "leverancier"}),
    }
    return Snapshot(**{**fields, **changes})


def findings(*kinds: PersonalData, level: Level | None = None) -> Findings:
    """What a detector found."""
    return Findings(detector="proef/1", level=level, personal_data=frozenset(kinds))


def facts(**changes: Any) -> Facts:
    """A chat for `verkenning` that names no model, in which nothing was found."""
    fields: dict[str, Any] = {
        "time_ms": 5_000,
        "caller": KeyId("k_1"),
        "use_case": EXPLORE,
        "declared": None,
        "findings": findings(),
        "task": Task.CHAT,
        "model": None,
    }
    return Facts(**{**fields, **changes})


def grant(**changes: Any) -> ExceptionGrant:
    """An exception for `verkenning`, as later rule sets will know it."""
    fields: dict[str, Any] = {
        "id": "2026-001",
        "use_case": EXPLORE,
        "supplier": "leverancier",
        "model": OUTSIDE,
        "tasks": frozenset({Task.CHAT}),
        "ceiling": Level.OPEN,
        "personal_data": frozenset(),
        "from_ms": 0,
        "until_ms": 10_000,
        "max_requests": 10,
        "max_tokens": 1_000,
        "max_cost_microeuros": 5_000,
        "obligations": ("pseudonimiseer:naam",),
        "bar": (SMALL,),
    }
    return ExceptionGrant(**{**fields, **changes})


LEVELS = st.sampled_from(list(Level))
KINDS = st.frozensets(st.sampled_from(list(PersonalData)))
TASKS = st.frozensets(st.sampled_from(list(Task)))
NEEDS = st.frozensets(st.sampled_from(list(Capability)))


def mostly(usual: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`usual` nine times out of ten: without that hardly any request would pass all rules, and little be tested."""
    return st.integers(0, 9).flatmap(lambda roll: other if roll == 5 else st.just(usual))


MODELS = st.builds(
    model,
    st.sampled_from([SMALL, LARGE]),
    location=mostly(Location.OWN, st.sampled_from(list(Location))),  # also what a well-formed version cannot hold
    tasks=mostly(frozenset({Task.CHAT}), TASKS),
    capabilities=mostly(frozenset({Capability.TOOLS}), NEEDS),
)
USE_CASES = st.builds(
    use_case,
    mostly(EXPLORE, st.just(LETTERS)),
    active=mostly(True, st.booleans()),
    floor=mostly(Level.OPEN, st.none() | LEVELS),
    ceiling=mostly(Level.RESTRICTED, LEVELS),
    personal_data=KINDS,
    refuse_findings=st.booleans(),
    models=mostly((SMALL, LARGE), st.lists(st.sampled_from([SMALL, LARGE, OUTSIDE, NOWHERE]), unique=True).map(tuple)),
)
SNAPSHOTS = st.builds(
    lambda models, use_cases, rules, exceptions: snapshot(*models, *use_cases, rules=rules, exceptions=exceptions),
    st.lists(MODELS, min_size=1, max_size=3),
    st.lists(USE_CASES, min_size=1, max_size=3),
    mostly("1", st.just("2")),
    st.sampled_from([(), (grant(),)]),
)
FACTS = st.builds(
    facts,
    time_ms=st.integers(0, 2**53 - 1),
    caller=mostly(KeyId("k_1"), st.none()),
    use_case=mostly(EXPLORE, st.sampled_from([LETTERS, UseCaseId("onbekend"), None])),
    declared=mostly(None, LEVELS),
    findings=st.builds(
        lambda level, kinds: Findings("proef/1", level, kinds), mostly(None, LEVELS), mostly(frozenset(), KINDS)
    ),
    task=mostly(Task.CHAT, st.sampled_from(list(Task))),
    model=st.sampled_from([None, SMALL, SMALL, LARGE, OUTSIDE, NOWHERE]),
    needs=mostly(frozenset(), NEEDS),
    supplier=mostly(None, st.just("leverancier")),
    tokens_wanted=st.integers(0, 10**9),
    switches=st.sampled_from([frozenset(), frozenset({"uitgang_dicht"})]),
    key_use_cases=st.sampled_from([(), (EXPLORE,), (EXPLORE, LETTERS)]),
)
