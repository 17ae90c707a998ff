"""docs/ledger-format.md names everything that is in the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.samples import IDENTITY, decision, outcome, request
from ledger.test_entries import GOLDEN_DECISION, GOLDEN_OUTCOME
from tenzij.ledger import commitments, decision_entry, fields, outcome_entry, segment
from tenzij.ledger.book import SETTLED_KEPT
from tenzij.ledger.canonical import value_from_canonical
from tenzij.ledger.entries import KINDS, MAX_ENTRY_BYTES
from tenzij.types import PersonalData, Task, Verification

PAGE = (Path(__file__).parents[2] / "docs" / "ledger-format.md").read_text("utf-8")


def _keys(tree: object) -> set[str]:
    found: set[str] = set()
    if isinstance(tree, dict):
        found |= set(tree)
        for inner in tree.values():
            found |= _keys(inner)
    if isinstance(tree, list):
        for inner in tree:
            found |= _keys(inner)
    return found


def _header() -> dict[str, Any]:
    header = segment.Header(IDENTITY, 1, 0, (segment.Unfinished(request(1), 0, "model/m"),))
    tree: dict[str, Any] = value_from_canonical(segment.bytes_from_header(header)[44:])
    return tree


def _verdict_fields() -> set[str]:
    records = (decision_entry.LocalRecord, decision_entry.ExceptionalRecord, decision_entry.RefusedRecord)
    volume = decision_entry.VolumeRecord
    return {name for record in (*records, volume) for name in record.__struct_encode_fields__}


@pytest.mark.parametrize(
    "name",
    sorted(
        _keys(GOLDEN_DECISION)
        | _keys(GOLDEN_OUTCOME)
        | _keys(_header())
        | _verdict_fields()
        | {*KINDS, *PersonalData, *Task, *Verification, *fields.Origin, *fields.LEVELS} - {"niveau_2", "niveau_3"}
        | {fields.UNKNOWN_ACTOR, fields.LEDGER_ACTOR, fields.UNKNOWN_MODEL, segment.FORMAT}
        | {outcome_entry.CLIENT_GONE, outcome_entry.GATEWAY_GONE, outcome_entry.GIVEN_UP}
        | {"toegestaan", "geweigerd", "voltooid", "afgebroken", "mislukt"}
        | {decision(1).action, outcome(1, 0).action}
    ),
)
def test_every_field_and_code_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE or f'{{"{name}": ' in PAGE


def test_limits_and_labels_are_those_of_the_code() -> None:
    assert f"{MAX_ENTRY_BYTES:,} bytes" in PAGE
    assert f"last {SETTLED_KEPT:,}" in PAGE
    for label in (commitments.QUESTION, commitments.ANSWER):
        assert f'"{label.decode()}"' in PAGE
    characters = {*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@+-?"}
    assert {chr(byte) for byte in fields.CODE_BYTES} == characters
    assert "`A-Z a-z 0-9 . _ : / @ + - ?`" in PAGE
