"""Entries: their bytes are fixed, their schema is closed, and no sentence fits into them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from ledger.samples import MODEL, NOON_MS, POLICY, WEIGHTS, decision, facts, outcome, request
from tenzij.ledger.canonical import canonical_bytes, value_from_canonical
from tenzij.ledger.conversion import besluit_from
from tenzij.ledger.entries import (
    KINDS,
    MAX_ENTRY_BYTES,
    BadEntry,
    Entries,
    EntryTooLarge,
    bytes_from_entry,
    entry_from_bytes,
)
from tenzij.ledger.fields import Origin, ms_from_timestamp, timestamp_from_ms
from tenzij.policy.decision import Exceptional, Refused
from tenzij.policy.facts import Facts, Findings, Volume
from tenzij.types import Level, PersonalData, Sha256

GOLDEN_DECISION = {
    "actie": "verzoek.beoordelen",
    "actor": "k_7f3a",
    "besluit": {
        "beleid": POLICY,
        "controle": "gehasht",
        "gewichten": WEIGHTS,
        "model": MODEL,
        "niveau": "niveau_2",
        "regel": "local_default",
        "uitspraak": "lokaal",
        "waarschuwingen": [],
    },
    "feiten": {
        "bevindingen": {"aantallen": {}, "detector": "geen", "niveau": None, "persoonsgegevens": ["onbekend"]},
        "gevraagd_model": None,
        "leverancier": None,
        "schakelaars": [],
        "sleutel_toepassingen": [],
        "taak": "chat",
        "toepassing": "verkenning",
        "tokens_gewenst": 1100,
        "verklaard_niveau": None,
        "vermogens": [],
        "volumes": [],
    },
    "object": f"model/{MODEL}",
    "oorsprong": "lokaal",
    "resultaat": "toegestaan",
    "soort": "besluit",
    "tijdstempel": "2026-11-20T16:00:00.123Z",
    "verbintenissen": {"vraag": "c3" * 32},
    "versie": 1,
    "verzoek": "0" * 31 + "7",
}

GOLDEN_OUTCOME = {
    "actie": "verzoek.afronden",
    "actor": "k_7f3a",
    "besluit": 41,
    "duur_ms": 1000,
    "einde": "stop",
    "gebruik": {"antwoord_tokens": 34, "vraag_tokens": 12},
    "object": f"model/{MODEL}",
    "oorsprong": "lokaal",
    "reden": None,
    "resultaat": "voltooid",
    "soort": "uitkomst",
    "tijdstempel": "2026-11-20T16:00:01.123Z",
    "verbintenissen": {"antwoord": "d4" * 32},
    "versie": 1,
    "verzoek": "0" * 31 + "7",
}

SAMPLES: list[tuple[Entries, dict[str, Any]]] = [
    (decision(7, question="c3" * 32), GOLDEN_DECISION),
    (outcome(7, 41, answer="d4" * 32), GOLDEN_OUTCOME),
]


@pytest.mark.parametrize(("entry", "golden"), SAMPLES, ids=["besluit", "uitkomst"])
def test_the_schema_of_version_1_is_this(entry: Entries, golden: dict[str, Any]) -> None:
    """Entries of version 1 exist in logs: this test is the schema. A change is a new version, beside it."""
    data = bytes_from_entry(entry)
    assert json.loads(data) == golden
    assert data == canonical_bytes(golden)
    assert entry_from_bytes(data) == entry
    assert (entry.kind, entry.version) == (golden["soort"], 1)


def test_every_kind_has_a_golden_sample() -> None:
    assert sorted(entry.kind for entry, _ in SAMPLES) == sorted(KINDS)


@pytest.mark.parametrize(("_", "golden"), SAMPLES, ids=["besluit", "uitkomst"])
def test_the_six_fields_of_bio_are_in_each(_: Entries, golden: dict[str, Any]) -> None:
    for field in ("actie", "object", "resultaat", "oorsprong", "actor", "tijdstempel"):
        assert isinstance(golden[field], str) and golden[field]


def _paths(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    return found


def _changed(golden: dict[str, Any], path: tuple[str, ...], value: object) -> bytes:
    tree = json.loads(json.dumps(golden))
    where = tree
    for key in path[:-1]:
        where = where[key]
    if value is _GONE:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


_GONE = object()


@pytest.mark.parametrize(("_", "golden"), SAMPLES, ids=["besluit", "uitkomst"])
def test_every_field_is_needed_and_typed(_: Entries, golden: dict[str, Any]) -> None:
    for path in _paths(golden):
        if path == ("feiten", "bevindingen", "aantallen"):
            continue  # the keys below it are codes, not fields
        for value in (_GONE, "Wie is de burgemeester van deze gemeente?", 1.5, -1, True, [[]], {"x": 1}, "\u00e9"):
            with pytest.raises(BadEntry):
                entry_from_bytes(_changed(golden, path, value))


@pytest.mark.parametrize(("_", "golden"), SAMPLES, ids=["besluit", "uitkomst"])
def test_unknown_fields_are_refused_at_every_level(_: Entries, golden: dict[str, Any]) -> None:
    tables = [(), *[path for path in _paths(golden) if path != ("feiten", "bevindingen", "aantallen")]]
    for path in tables:
        where: Any = golden
        for key in path:
            where = where[key]
        if isinstance(where, dict):
            with pytest.raises(BadEntry):
                entry_from_bytes(_changed(golden, (*path, "opmerking"), "x"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("versie",), 2),
        (("soort",), "register"),
        (("verzoek",), "A" * 32),
        (("verzoek",), "0" * 32 + "\n"),
        (("tijdstempel",), "2026-13-01T00:00:00.000Z"),
        (("tijdstempel",), "2026-11-21T10:00:00.000+01:00"),
        (("tijdstempel",), "2026-11-21T10:00:00Z"),
        (("oorsprong",), "10.1.2.3"),
        (("resultaat",), "geweigerd"),
        (("object",), "model/een-ander"),
        (("actor",), "Jan de Vries"),
        (("actor",), ""),
        (("actor",), "k" * 129),
        (("besluit", "gewichten"), "B2" * 32),
        (("besluit", "uitspraak"), "elders"),
        (("besluit", "niveau"), "niveau_9"),
        (("besluit", "waarschuwingen"), ["een zin met spaties"]),
        (("feiten", "taak"), "dichten"),
        (("feiten", "tokens_gewenst"), 2**53),
        (("feiten", "schakelaars"), ["b", "a"]),
        (("feiten", "schakelaars"), ["a", "a"]),
        (("feiten", "vermogens"), ["tools", "images"]),
        (("feiten", "bevindingen", "persoonsgegevens"), ["onbekend", "bsn"]),
        (("feiten", "bevindingen", "aantallen"), {"een kind": 1}),
        (("verbintenissen", "vraag"), "kort"),
    ],
)
def test_decisions_that_are_not(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(BadEntry):
        entry_from_bytes(_changed(GOLDEN_DECISION, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("resultaat",), "geweigerd"),
        (("resultaat",), "mislukt"),  # without a reason
        (("reden",), "engine_error"),  # with a whole answer
        (("besluit",), -1),
        (("duur_ms",), 2**53),
        (("gebruik", "vraag_tokens"), None),
    ],
)
def test_outcomes_that_are_not(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(BadEntry):
        entry_from_bytes(_changed(GOLDEN_OUTCOME, path, value))


def test_bytes_that_say_the_same_otherwise_are_refused() -> None:
    data = bytes_from_entry(decision(7))
    for other in (
        data + b" ",
        b" " + data,
        data.replace(b'"actie":', b'"actie": '),
        json.dumps(json.loads(data)).encode(),
    ):
        with pytest.raises(BadEntry):
            entry_from_bytes(other)
    twice = data.replace(b'"versie":1', b'"versie":1,"versie":1')
    with pytest.raises(BadEntry, match="not_canonical"):
        entry_from_bytes(twice)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 16_000, b'{"soort":"besluit"}']
)
def test_bytes_that_are_no_entry_are_refused(data: bytes) -> None:
    with pytest.raises(BadEntry):
        entry_from_bytes(data)


def test_a_lone_surrogate_does_not_become_bytes() -> None:
    with pytest.raises(BadEntry):
        bytes_from_entry(msgspec.structs.replace(decision(7), actor="\ud800"))


def _refused_naming(count: int) -> Entries:
    instead = tuple(f"model-{number:0100d}" for number in range(count))
    verdict = Refused("model_unknown", POLICY, Level.OPEN, instead)
    return besluit_from(facts(), verdict, None, request=request(1), origin=Origin.LOCAL)


def test_an_entry_above_the_limit_is_refused_on_both_sides() -> None:
    assert len(bytes_from_entry(_refused_naming(100))) <= MAX_ENTRY_BYTES
    with pytest.raises(EntryTooLarge):
        bytes_from_entry(_refused_naming(200))
    with pytest.raises(EntryTooLarge):
        entry_from_bytes(b"{" + b" " * MAX_ENTRY_BYTES)


def test_the_largest_entry_is_exactly_the_limit() -> None:
    names = tuple(f"model-{number:0100d}" for number in range(143))
    room = MAX_ENTRY_BYTES - len(bytes_from_entry(_refused_naming(143))) - len(',""')
    full = Refused("model_unknown", POLICY, Level.OPEN, (*names, "m" * room))
    data = bytes_from_entry(besluit_from(facts(), full, None, request=request(1), origin=Origin.LOCAL))
    assert len(data) == MAX_ENTRY_BYTES
    assert bytes_from_entry(entry_from_bytes(data)) == data
    over = Refused("model_unknown", POLICY, Level.OPEN, (*names, "m" * (room + 1)))
    with pytest.raises(EntryTooLarge):
        bytes_from_entry(besluit_from(facts(), over, None, request=request(1), origin=Origin.LOCAL))


def test_the_other_verdicts_have_fixed_bytes_too() -> None:
    """What the first part never writes is in its final form as well."""
    outside = facts(
        declared=Level.OPEN,
        findings=Findings("tenzij/1", Level.INTERNAL, frozenset({PersonalData.ORDINARY}), (("naam", 2),)),
        model="elders-1",
        supplier="leverancier-a",
        volumes=(Volume("u-2", 3, 4, 5), Volume("u-1", 0, 0, 0)),
        switches=frozenset({"b", "a"}),
    )
    verdict = Exceptional(
        "exception", POLICY, outside.model or MODEL, "leverancier-a", "u-1", Level.INTERNAL, ("pseudonimiseer:naam",)
    )
    entry = besluit_from(outside, verdict, None, request=request(2), origin=Origin.EXTERNAL)
    tree = value_from_canonical(bytes_from_entry(entry))
    assert entry_from_bytes(bytes_from_entry(entry)) == entry
    assert tree["besluit"] == {
        "beleid": POLICY,
        "leverancier": "leverancier-a",
        "model": "elders-1",
        "niveau": "niveau_2",
        "regel": "exception",
        "uitspraak": "uitzondering",
        "uitzondering": "u-1",
        "verplichtingen": ["pseudonimiseer:naam"],
    }
    assert tree["feiten"]["bevindingen"] == {
        "aantallen": {"naam": 2},
        "detector": "tenzij/1",
        "niveau": "niveau_2",
        "persoonsgegevens": ["gewoon"],
    }
    assert tree["feiten"]["schakelaars"] == ["a", "b"]
    assert [volume["uitzondering"] for volume in tree["feiten"]["volumes"]] == ["u-1", "u-2"]
    refused = bytes_from_entry(
        besluit_from(facts(caller=None), Refused("no_policy", None), None, request=request(3), origin=Origin.LOCAL)
    )
    assert value_from_canonical(refused)["besluit"] == {
        "alternatieven": [],
        "beleid": None,
        "niveau": None,
        "regel": "no_policy",
        "uitspraak": "geweigerd",
    }
    assert value_from_canonical(refused)["actor"] == "onbekend"


def test_timestamps_are_utc_with_milliseconds() -> None:
    assert timestamp_from_ms(NOON_MS) == "2026-11-20T16:00:00.123Z"
    assert timestamp_from_ms(0) == "1970-01-01T00:00:00.000Z"
    for time_ms in (0, 1, 999, NOON_MS, 253_402_300_799_999):
        assert ms_from_timestamp(timestamp_from_ms(time_ms)) == time_ms


def test_every_fact_is_in_the_entry() -> None:
    """A fact that is added to the policy must be added here, in a new version: else decisions do not replay."""
    fields = set(Facts.__dataclass_fields__) - {"time_ms", "caller"}
    assert fields == set(decision(1).facts.__struct_fields__)
    assert set(Findings.__dataclass_fields__) == set(decision(1).facts.findings.__struct_fields__)
    assert Sha256(POLICY) in bytes_from_entry(decision(1)).decode()
