"""The page about the API is held to the code: every route, header, field and error code stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tenzij.engines import faults
from tenzij.errors import CallerError, EngineError, PlatformError, TenzijError
from tenzij.gateway import (
    app,
    chat_request,
    completion_request,
    edge,
    embedding_request,
    headers,
    journey,
    refusals,
    state,
    turns,
)
from tenzij.gateway.faults import INTERNAL, Fault, fault_from_refusal
from tenzij.gateway.leash import Reason
from tenzij.gateway.tally import BROKEN_OFF
from tenzij.identity import refusals as key_refusals
from tenzij.ledger import client as ledger_client
from tenzij.ledger import entries as ledger_entries
from tenzij.policy.decide import rule_names
from tenzij.policy.decision import Refused

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "api.md").read_text("utf-8")
NAMED = set(re.findall(r"`([^`\s]+)`", PAGE))
MODULES = (edge, faults, refusals, key_refusals, state, turns, journey, ledger_client, ledger_entries)
BASES = (TenzijError, CallerError, EngineError, PlatformError, key_refusals.KeyRefused)  # of which there is no instance
ALLOWING = {"local_named", "local_default"}


def codes_with_status() -> Iterator[tuple[str, int]]:
    for module in MODULES:
        for thing in vars(module).values():
            is_error = isinstance(thing, type) and issubclass(thing, TenzijError) and thing not in BASES
            if is_error or isinstance(thing, Fault):
                yield thing.code, thing.status
    for rule in set(rule_names()) - ALLOWING:
        fault = fault_from_refusal(Refused(rule, None))
        yield fault.code, fault.status
    yield INTERNAL.code, INTERNAL.status
    for reason in (Reason.ENGINE_SILENT, Reason.TOO_LONG):
        yield reason.value, 504
    yield Reason.STOPPING.value, 503
    yield Reason.KEY_REVOKED.value, 401
    yield Reason.KEY_EXPIRED.value, 401


def rows() -> dict[str, set[int]]:
    """The statuses with which each code stands in the table of errors."""
    found: dict[str, set[int]] = {}
    for statuses, codes in re.findall(r"^\| ([\d, ]+) \| (`.*?`) \|", PAGE, re.MULTILINE):
        for code in re.findall(r"`(\w+)`", codes):
            found.setdefault(code, set()).update(int(status) for status in statuses.split(", "))
    return found


def test_every_code_stands_in_the_table_with_its_status() -> None:
    table = rows()
    for code, status in codes_with_status():
        assert status in table.get(code, set()), f"{code} {status}"


def test_the_table_names_no_code_that_does_not_exist() -> None:
    assert rows().keys() == {code for code, _ in codes_with_status()}


def test_every_reason_to_break_off_is_in_the_page_about_the_log() -> None:
    page = (DOCS / "ledger-format.md").read_text("utf-8")
    for code in BROKEN_OFF.values():
        assert f"`{code}`" in page, code


def test_every_field_is_named() -> None:
    for module in (chat_request, completion_request, embedding_request):
        for field in module.KNOWN | module.UNSUPPORTED:
            assert field in NAMED, field


def test_every_route_and_header_is_named() -> None:
    for path, (method, _) in app.ROUTES.items():
        assert f"`{method} {path}`" in PAGE, path
    for header in (headers.USE_CASE, headers.DECLARED, "Tenzij-Verzoek", "Tenzij-Besluit", "Tenzij-Locatie"):
        assert f"`{header}`" in PAGE, header
