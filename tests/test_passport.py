"""Passports: strict, every fault listed, nothing quoted, and round trips."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.passport import BadPassport, Passport, passport_from_tree, tree_from_passport
from tenzij.types import Capability, Task

TREE: dict[str, Any] = {
    "id": "smollm2-135m-instruct",
    "name": "SmolLM2 135M Instruct",
    "file": {"sha256": "ab" * 32, "size_bytes": 98362432, "format": "gguf"},
    "licence": "Apache-2.0",
    "producer": {"name": "Hugging Face", "country": "US"},
    "source": "https://example.org/model.gguf",
    "openness": {"weights": "open", "data": "partial", "code": "open"},
    "languages": ["en"],
    "tasks": ["chat", "completion"],
    "capabilities": ["tools"],
    "context_tokens": 8192,
    "chat_template": "chatml",
    "evaluation": [{"name": "duidelijke-taal", "metric": "SARI", "score": "31.2", "date": "2026-10-01"}],
    "admitted": {"by": "beheer", "date": "2026-11-21"},
}
OPTIONAL = {"chat_template", "evaluation", "admitted"}


def tree_with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    change(tree)
    return tree


def faults_of(tree: Any) -> tuple[str, ...]:
    with pytest.raises(BadPassport) as caught:
        passport_from_tree(tree)
    return caught.value.faults


def test_a_whole_passport_is_read() -> None:
    passport = passport_from_tree(TREE)
    assert passport.tasks == (Task.CHAT, Task.COMPLETION)
    assert passport.capabilities == (Capability.TOOLS,)
    assert passport.file.size_bytes == 98362432
    assert passport.evaluation[0].score == "31.2"
    assert tree_from_passport(passport) == TREE


def test_optional_fields_may_be_missing() -> None:
    tree = {field: value for field, value in TREE.items() if field not in OPTIONAL}
    passport = passport_from_tree(tree)
    assert (passport.chat_template, passport.evaluation, passport.admitted) == (None, (), None)
    assert tree_from_passport(passport) == {**tree, "evaluation": []}


@pytest.mark.parametrize("field", sorted(set(TREE) - OPTIONAL))
def test_each_required_field_is_required(field: str) -> None:
    assert faults_of(tree_with(lambda tree: tree.pop(field))) == (f"{field}: is missing",)


@pytest.mark.parametrize("field", sorted(TREE))
@pytest.mark.parametrize("value", [None, True, 1.5, {"x": 1}, [[1]], "\x00", ""], ids=repr)
def test_each_field_refuses_another_type(field: str, value: object) -> None:
    found = faults_of({**TREE, field: value})
    assert any(fault.startswith(field) for fault in found)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.update(id="Hoofdletter"), "id: must be small letters"),
        (lambda t: t.update(id="a/b"), "id: must be small letters"),
        (lambda t: t.update(id="a..b"), "id: must be small letters"),
        (lambda t: t.update(id="a" * 65), "id: must be 1 to 64"),
        (lambda t: t.update(chat_template=None), "chat_template: is missing"),
        (lambda t: t["file"].update(sha256="AB" * 32), "file.sha256: must be 64"),
        (lambda t: t["file"].update(sha256="ab" * 31), "file.sha256: must be 64"),
        (lambda t: t["file"].update(size_bytes=True), "file.size_bytes: must be a whole number"),
        (lambda t: t["file"].update(size_bytes=0), "file.size_bytes: must be a whole number"),
        (lambda t: t["file"].update(size_bytes=2**53), "file.size_bytes: must be a whole number"),
        (lambda t: t["file"].update(format="pickle"), "file.format: must be one of gguf"),
        (lambda t: t["file"].update(path="/etc"), "file.path: is not a field"),
        (lambda t: t.update(licence="see website"), "licence: must be an SPDX"),
        (lambda t: t["producer"].update(country="nl"), "producer.country: must be an ISO"),
        (lambda t: t["openness"].update(code="half"), "openness.code: must be one of open"),
        (lambda t: t.update(languages=[]), "languages: must be a list of 1"),
        (lambda t: t.update(languages=["Nederlands"]), "languages: must be BCP 47"),
        (lambda t: t.update(tasks=["chat", "chat"]), "tasks: must not hold the same twice"),
        (lambda t: t.update(tasks=["dance"]), "tasks: each must be one of chat"),
        (lambda t: t.update(context_tokens=8192.0), "context_tokens: must be a whole number"),
        (lambda t: t["evaluation"][0].update(score=0.3), "evaluation[0].score: must be text"),
        (lambda t: t["evaluation"][0].pop("date"), "evaluation[0].date: is missing"),
        (lambda t: t["evaluation"].append(3), "evaluation[1]: must be a table"),
        (lambda t: t["admitted"].update(date="2026-13-01"), "admitted.date: must be a date"),
    ],
)
def test_a_fault_names_field_and_rule(change: Callable[[dict[str, Any]], object], fault: str) -> None:
    (found,) = faults_of(tree_with(change))
    assert found.startswith(fault)


def test_all_faults_are_listed_at_once() -> None:
    tree = tree_with(lambda t: (t.update(id="A", extra=1, context_tokens=0), t["producer"].pop("name")))
    assert [fault.partition(":")[0] for fault in faults_of(tree)] == ["id", "producer.name", "context_tokens", "extra"]


def test_values_are_not_quoted() -> None:
    canary = "KANARIE-7391"
    tree = tree_with(lambda t: t.update(id=canary, licence=f"{canary} {canary}", tasks=[canary], languages=[canary]))
    with pytest.raises(BadPassport) as caught:
        passport_from_tree(tree)
    assert canary not in str(caught.value)


def test_an_unknown_field_with_an_odd_name_is_shown_in_ascii() -> None:
    (found,) = faults_of({**TREE, "x\x1b[31m" + "y" * 500: 1})
    assert found.isascii()
    assert found.isprintable()
    assert len(found) < 300


@pytest.mark.parametrize("tree", [None, [], "id", 3])
def test_what_is_no_table_is_refused(tree: object) -> None:
    assert faults_of(tree) == ("the whole: must be a table",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(changes=st.dictionaries(st.sampled_from([*TREE, "other"]), JSON, min_size=1))
def test_any_tree_gives_a_passport_or_faults(changes: dict[str, Any]) -> None:
    try:
        passport = passport_from_tree({**TREE, **changes})
    except BadPassport as error:
        assert error.faults
    else:
        again: Passport = passport_from_tree(json.loads(json.dumps(tree_from_passport(passport))))
        assert again == passport
