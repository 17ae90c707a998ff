"""Policy versions as bytes: one form only, strict in every field, and nothing that points nowhere."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_worlds import LARGE, LETTERS, MODELS, OUTSIDE, SMALL, USE_CASES, grant, model, snapshot, use_case
from tenzij.policy.snapshot import Snapshot
from tenzij.policy.snapshot_json import BadSnapshot, bytes_from_snapshot, hash_of, snapshot_from_bytes
from tenzij.types import Capability, Level, Location, PersonalData, Sha256, Task

WHOLE = snapshot(
    model(SMALL),
    model(LARGE, capabilities=frozenset(Capability), tasks=frozenset(Task), location=Location.PARTNER),
    use_case(models=(SMALL, LARGE)),
    use_case(LETTERS, active=False, floor=None, models=()),
    exceptions=(grant(), grant(id="2026-002", reassess_until_ms=77, bar=(LARGE, SMALL))),
)
TREE: dict[str, Any] = json.loads(bytes_from_snapshot(WHOLE))

GOLDEN = (
    b'{"formaat":"tenzij-beleidsversie/1","gemaakt_ms":1000,'
    b'"leveranciersmodellen":{"elders-1":"leverancier"},'
    b'"modellen":{"klein":{"context_tokens":2048,"gewichten":"6b6c65696e000000000000000000000000000000000000000000000000000000",'
    b'"licentie":"Apache-2.0","taken":["chat","completion"],"vermogens":[],"verwerkingslocatie":"eigen"}},'
    b'"regels":"1","toepassingen":{"verkenning":{"actief":true,"bovengrens":"niveau_2","modellen":["klein"],'
    b'"ondergrens":"niveau_1","persoonsgegevens":["gewoon","onbekend"],"weiger_bevindingen":true}},"uitzonderingen":{}}'
)


def canonical(tree: Any) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tree_with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    change(tree)
    return tree


def test_the_bytes_are_as_they_were() -> None:
    """Hashes on file must stay right: these bytes never change for format 1."""
    assert bytes_from_snapshot(snapshot()) == GOLDEN


def test_the_name_is_the_hash_of_the_bytes() -> None:
    assert snapshot_from_bytes(GOLDEN).hash == hashlib.sha256(GOLDEN).hexdigest() == hash_of(GOLDEN)


def test_a_whole_version_comes_back() -> None:
    payload = bytes_from_snapshot(WHOLE)
    first = grant(bar=(SMALL,))
    expected = replace(WHOLE, hash=hash_of(payload))
    assert snapshot_from_bytes(payload) == replace(
        expected, exceptions=(first, grant(id="2026-002", reassess_until_ms=77, bar=(LARGE, SMALL)))
    )
    assert payload == canonical(TREE)


WELL_FORMED = st.builds(
    lambda models, use_cases, made_ms: snapshot(*models, *use_cases, made_ms=made_ms),
    st.lists(MODELS, max_size=3),
    st.lists(USE_CASES, max_size=3),
    st.integers(0, 2**53 - 1),
)


@given(WELL_FORMED)
def test_what_can_be_written_is_read_back_and_written_the_same(version: Snapshot) -> None:
    try:
        payload = bytes_from_snapshot(version)
    except BadSnapshot:
        return
    read = snapshot_from_bytes(payload)
    assert read == replace(version, hash=read.hash)
    assert bytes_from_snapshot(read) == payload == canonical(json.loads(payload))


def test_order_of_making_does_not_matter() -> None:
    turned = replace(
        WHOLE,
        models=MappingProxyType(dict(reversed(list(WHOLE.models.items())))),
        use_cases=MappingProxyType(dict(reversed(list(WHOLE.use_cases.items())))),
        exceptions=tuple(reversed(WHOLE.exceptions)),
    )
    assert bytes_from_snapshot(turned) == bytes_from_snapshot(WHOLE)


def test_the_order_of_a_use_cases_models_matters() -> None:
    """It says which is the default."""
    turned = snapshot(model(SMALL), model(LARGE), use_case(models=(LARGE, SMALL)))
    assert snapshot_from_bytes(bytes_from_snapshot(turned)).use_cases[use_case().id].models == (LARGE, SMALL)


def test_what_was_read_cannot_be_changed() -> None:
    read = snapshot_from_bytes(GOLDEN)
    with pytest.raises(TypeError):
        read.models[LARGE] = model(LARGE)  # type: ignore[index]
    with pytest.raises(AttributeError):
        read.use_cases.pop(LETTERS)  # type: ignore[attr-defined]


def paths(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every field, inside lists too."""
    below: list[tuple[str | int, ...]] = []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        below += [(*path, key), *paths(value, (*path, key))]
    return below


DATA_KEYS = ("modellen", "toepassingen", "uitzonderingen", "leveranciersmodellen")
FIELDS = [path for path in paths(TREE) if isinstance(path[-1], str) and not (len(path) == 2 and path[0] in DATA_KEYS)]


def replaced(path: tuple[str | int, ...], value: object, *, remove: bool = False) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    holder: Any = tree
    for step in path[:-1]:
        holder = holder[step]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return tree


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_each_field_is_required(path: tuple[str | int, ...]) -> None:
    with pytest.raises(BadSnapshot):
        snapshot_from_bytes(canonical(replaced(path, None, remove=True)))


@pytest.mark.parametrize("path", paths(TREE), ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("value", [1.5, -1, 2**53, {"x": 1}, [1], [[]], "\x00", "", "é", "\x7f"], ids=ascii)
def test_each_field_refuses_what_does_not_belong(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(BadSnapshot):
        snapshot_from_bytes(canonical(replaced(path, value)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(extra=1), "cannot be read"),
        (lambda t: t["modellen"]["klein"].update(extra=1), "cannot be read"),
        (lambda t: t.update(formaat="tenzij-beleidsversie/2"), "format"),
        (lambda t: t["toepassingen"]["verkenning"]["modellen"].append("weg"), "not admitted"),
        (lambda t: t["toepassingen"]["verkenning"]["modellen"].append("klein"), "twice"),
        (lambda t: t["toepassingen"]["verkenning"].update(ondergrens=None), "without a class floor"),
        (lambda t: t["toepassingen"]["verkenning"].update(ondergrens="niveau_3"), "floor above its ceiling"),
        (lambda t: t["toepassingen"]["verkenning"].update(bovengrens="staatsgeheim"), "cannot be read"),
        (lambda t: t["modellen"]["klein"].update(verwerkingslocatie="gecontracteerd"), "government system"),
        (lambda t: t["leveranciersmodellen"].update(klein="leverancier"), "both local"),
        (lambda t: t["uitzonderingen"]["2026-001"].update(toepassing="weg"), "no use case"),
        (lambda t: t["uitzonderingen"]["2026-001"].update(leverancier="ander"), "no supplier's model"),
        (lambda t: t["uitzonderingen"]["2026-001"].update(lat=["weg"]), "not admitted"),
        (lambda t: t["uitzonderingen"]["2026-001"].update(van_ms=10_000), "ends before"),
        (lambda t: t["modellen"].pop("klein"), "not admitted"),
        (lambda t: t["modellen"].update({"Hoofd": t["modellen"]["klein"]}), "cannot be read"),
        (lambda t: t["modellen"]["klein"]["taken"].append("chat"), "canonical"),
        (lambda t: t["modellen"]["klein"]["taken"].reverse(), "canonical"),
    ],
)
def test_contradictions_are_refused(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(BadSnapshot, match=said):
        snapshot_from_bytes(canonical(tree_with(change)))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        GOLDEN + b" ",
        GOLDEN + b"\n",
        b" " + GOLDEN,
        b"\xef\xbb\xbf" + GOLDEN,
        GOLDEN[:-1],
        GOLDEN.replace(b'"regels":"1"', b'"regels":"1","regels":"1"'),
        GOLDEN.replace(b'"regels":"1"', b'"regels":"\\u0031"'),
        GOLDEN.replace(b'"regels":"1"', b'"regels":"\xc3\x28"'),
        GOLDEN.replace(b"1000", b"1000.0"),
        GOLDEN.replace(b"1000", b"1e3"),
        GOLDEN.replace(b"1000", b"-0"),
        GOLDEN.replace(b'"actief":true', b'"actief": true'),
        b"[" * 100_000,
        b'{"formaat":' * 50_000,
    ],
    ids=range(19),
)
def test_other_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(BadSnapshot):
        snapshot_from_bytes(payload)


@given(st.integers(0, len(GOLDEN) - 1), st.integers(0, 255))
def test_one_changed_byte_is_refused_or_makes_another_version(place: int, byte: int) -> None:
    changed = GOLDEN[:place] + bytes([byte]) + GOLDEN[place + 1 :]
    try:
        read = snapshot_from_bytes(changed)
    except BadSnapshot:
        return
    assert bytes_from_snapshot(read) == changed
    assert (read.hash == hash_of(GOLDEN)) == (changed == GOLDEN)


@given(st.binary())
def test_any_bytes_give_a_version_or_a_refusal(payload: bytes) -> None:
    with pytest.raises(BadSnapshot):
        snapshot_from_bytes(payload)


@pytest.mark.parametrize(
    "version",
    [
        snapshot(model(), use_case(ceiling=Level.STATE_SECRET)),
        snapshot(model(), use_case(floor=Level.STATE_SECRET)),
        snapshot(model(), use_case(models=(LARGE,))),
        snapshot(model(weights=Sha256("AB" * 32)), use_case()),
        snapshot(model(licence="één\ud800"), use_case()),
        snapshot(model(location=Location.SOVEREIGN), use_case()),
        snapshot(model(), use_case(floor=None)),
        snapshot(made_ms=-1),
        snapshot(exceptions=(grant(model=SMALL),)),
        snapshot(supplier_models=MappingProxyType({}), exceptions=(grant(),)),
        snapshot(supplier_models=MappingProxyType({SMALL: "leverancier", OUTSIDE: "leverancier"})),
    ],
    ids=range(11),
)
def test_a_bad_version_is_not_written(version: Snapshot) -> None:
    with pytest.raises(BadSnapshot):
        bytes_from_snapshot(version)


def test_values_are_not_quoted() -> None:
    canary = "KANARIE7391"
    for path in paths(TREE):
        with pytest.raises(BadSnapshot) as caught:
            snapshot_from_bytes(canonical(replaced(path, canary + "\x00")))
        assert canary not in str(caught.value)


def test_unknown_personal_data_is_an_ordinary_member_of_the_set() -> None:
    kinds = frozenset(PersonalData)
    version = snapshot(model(), use_case(personal_data=kinds))
    assert snapshot_from_bytes(bytes_from_snapshot(version)).use_cases[use_case().id].personal_data == kinds
