"""What an operator can do, verb by verb, on a register in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from register_world import DAY_MS, Clock, new_key, opened, passport
from tenzij.errors import CallerError, TenzijError
from tenzij.identity.keys import Keyring, is_well_formed
from tenzij.identity.refusals import ExpiredKey, RevokedKey, UnknownKey
from tenzij.passport import BadPassport
from tenzij.policy.decide import decide
from tenzij.policy.decision import Local, Refused
from tenzij.policy.facts import NO_DETECTION, Facts
from tenzij.policy.signature import verify_signature
from tenzij.policy.snapshot import Snapshot
from tenzij.policy.snapshot_json import snapshot_from_bytes
from tenzij.register import api_keys, models
from tenzij.register.refusals import BadCall, ModelExists, NameTaken, NotFound, TooMany
from tenzij.register.register import Register
from tenzij.register.verbs import VERBS, perform
from tenzij.types import KeyId, Level, ModelId, PersonalData, Task, UseCaseId


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def register(tmp_path: Path, clock: Clock) -> Iterator[Register]:
    with opened(tmp_path, clock) as register:
        yield register


def ring(register: Register) -> Keyring:
    return Keyring(register.secrets.pepper, register.published.keys)


def snapshot(register: Register) -> Snapshot:
    return snapshot_from_bytes(register.published.version.content)


def asked(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "time_ms": 0,
        "caller": KeyId("k_1"),
        "use_case": UseCaseId("verkenning"),
        "declared": None,
        "findings": NO_DETECTION,
        "task": Task.CHAT,
        "model": None,
    }
    return Facts(**{**fields, **changes})


def test_a_new_register_has_one_use_case_no_model_and_no_key(register: Register) -> None:
    assert perform(register, "key_list", {}) == []
    assert perform(register, "model_list", {}) == []
    (use_case,) = perform(register, "use_case_list", {})
    assert use_case["id"] == "verkenning"
    assert use_case["active"]
    assert (use_case["floor"], use_case["ceiling"]) == ("niveau_1", "niveau_2")
    assert use_case["personal_data"] == ["gewoon", "onbekend"]
    assert len(register.published.keys) == 0


def test_exploration_takes_unknown_findings_locally_and_refuses_what_is_sensitive(register: Register) -> None:
    perform(register, "model_add", {"passport": passport()})
    version = snapshot(register)
    assert isinstance(decide(asked(), version), Local)
    assert isinstance(decide(asked(model=ModelId("klein")), version), Local)
    assert decide(asked(declared=Level.CONFIDENTIAL), version).rule == "above_ceiling"
    for kind in (PersonalData.NATIONAL_NUMBER, PersonalData.SPECIAL):
        found = type(NO_DETECTION)("proef/1", None, frozenset({kind}))
        assert decide(asked(findings=found), version).rule == "personal_data_not_allowed"


def test_a_key_is_given_once_and_stored_nowhere(register: Register, tmp_path: Path) -> None:
    made = new_key(register)
    assert is_well_formed(made["key"])
    assert ring(register).caller(made["key"], made["made_ms"]).key == made["id"]
    listed = perform(register, "key_list", {})
    assert listed == [{field: value for field, value in made.items() if field != "key"}]
    register.close()
    for file in tmp_path.iterdir():
        assert made["key"].encode() not in file.read_bytes()
        assert made["key"][7:50].encode() not in file.read_bytes()


def test_a_key_works_for_its_days(register: Register, clock: Clock) -> None:
    made = new_key(register, days=7)
    assert made["expires_ms"] == clock.now_ms + 7 * DAY_MS
    ring(register).caller(made["key"], clock.now_ms + 7 * DAY_MS - 1)
    with pytest.raises(ExpiredKey):
        ring(register).caller(made["key"], clock.now_ms + 7 * DAY_MS)
    clock.now_ms += 7 * DAY_MS
    assert perform(register, "key_list", {})[0]["state"] == "expired"


def test_a_revoked_key_is_refused_from_then_on(register: Register, clock: Clock) -> None:
    made, other = new_key(register, "een"), new_key(register, "twee")
    clock.now_ms += 5
    revoked = perform(register, "key_revoke", {"id": made["id"]})
    assert (revoked["state"], revoked["revoked_ms"]) == ("revoked", clock.now_ms)
    with pytest.raises(RevokedKey):
        ring(register).caller(made["key"], clock.now_ms)
    assert ring(register).caller(other["key"], clock.now_ms).key == other["id"]


def test_revoking_again_changes_nothing(register: Register, clock: Clock) -> None:
    made = new_key(register)
    first = perform(register, "key_revoke", {"id": made["id"]})
    clock.now_ms += 1000
    assert perform(register, "key_revoke", {"id": made["id"]}) == first


def test_a_long_dead_key_is_forgotten_by_the_ring_but_not_by_the_record(register: Register, clock: Clock) -> None:
    expired, revoked = new_key(register, "een", days=1), new_key(register, "twee", days=366)
    perform(register, "key_revoke", {"id": revoked["id"]})
    clock.now_ms += DAY_MS + api_keys.REMEMBERED_MS
    new_key(register, "drie")
    for made in (expired, revoked):
        with pytest.raises(UnknownKey):
            ring(register).caller(made["key"], clock.now_ms)
    assert len(perform(register, "key_list", {})) == 3


def test_options_of_a_key_reach_its_caller(register: Register, clock: Clock) -> None:
    made = new_key(register, loopback_only=True, owner="o_afdeling")
    caller = ring(register).caller(made["key"], clock.now_ms)
    assert (caller.owner, caller.loopback_only, caller.use_cases) == ("o_afdeling", True, ("verkenning",))


def test_without_an_owner_a_key_has_a_pseudonym_that_says_nothing(register: Register) -> None:
    one, other = new_key(register, "Jan Jansen"), new_key(register, "Piet")
    assert one["owner"] != other["owner"]
    assert "Jan" not in one["owner"]


def test_a_name_is_free_again_once_its_key_is_dead(register: Register, clock: Clock) -> None:
    made = new_key(register, "afdeling")
    with pytest.raises(NameTaken):
        new_key(register, "afdeling")
    perform(register, "key_revoke", {"id": made["id"]})
    new_key(register, "afdeling", days=1)
    clock.now_ms += DAY_MS
    new_key(register, "afdeling")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"name": ""}, BadCall),
        ({"name": " x"}, BadCall),
        ({"name": "x\n"}, BadCall),
        ({"name": "x" * 101}, BadCall),
        ({"days": 0}, BadCall),
        ({"days": 367}, BadCall),
        ({"days": -1}, BadCall),
        ({"days": True}, BadCall),
        ({"days": 1.5}, BadCall),
        ({"days": "7"}, BadCall),
        ({"use_cases": []}, BadCall),
        ({"use_cases": ["verkenning", "verkenning"]}, BadCall),
        ({"use_cases": "verkenning"}, BadCall),
        ({"use_cases": [f"u{number}" for number in range(33)]}, BadCall),
        ({"use_cases": ["bestaat-niet"]}, NotFound),
        ({"use_cases": ["verkenning", "bestaat-niet"]}, NotFound),
        ({"loopback_only": "no"}, BadCall),
        ({"extra": 1}, BadCall),
        ({"owner": 3}, BadCall),
        ({"owner": ""}, BadCall),
        ({"owner": "Jan Jansen"}, BadCall),
    ],
)
def test_a_key_that_cannot_be_is_not_made(
    register: Register, changes: dict[str, Any], refusal: type[TenzijError]
) -> None:
    before = register.published
    with pytest.raises(refusal):
        new_key(register, **changes)
    assert perform(register, "key_list", {}) == []
    assert register.published is before


def test_there_is_an_end_to_the_number_of_keys(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_LIVE_KEYS", 2)
    first = new_key(register, "een")
    new_key(register, "twee")
    with pytest.raises(TooMany):
        new_key(register, "drie")
    perform(register, "key_revoke", {"id": first["id"]})
    new_key(register, "drie")


def test_a_model_is_admitted_with_its_passport(register: Register) -> None:
    added = perform(register, "model_add", {"passport": passport("klein")})
    assert added["passport"] == passport("klein")
    assert perform(register, "model_list", {}) == [added]
    assert [spec.file for spec in register.published.models] == ["ab" * 32 + ".gguf"]
    version = snapshot(register)
    assert version.models[ModelId("klein")].weights == "ab" * 32
    assert version.use_cases[UseCaseId("verkenning")].models == ("klein",)


def test_a_bad_passport_is_refused_with_all_its_faults(register: Register) -> None:
    before = register.published
    with pytest.raises(BadPassport) as caught:
        perform(register, "model_add", {"passport": passport(licence="", context_tokens=0)})
    assert len(caught.value.faults) == 2
    assert register.published is before


def test_the_same_passport_again_changes_nothing(register: Register, clock: Clock) -> None:
    added = perform(register, "model_add", {"passport": passport()})
    version = register.published.version
    clock.now_ms += 1000
    assert perform(register, "model_add", {"passport": passport()}) == added
    assert register.published.version == version


def test_other_weights_under_the_same_id_are_refused(register: Register) -> None:
    perform(register, "model_add", {"passport": passport("klein", "ab" * 32)})
    with pytest.raises(ModelExists):
        perform(register, "model_add", {"passport": passport("klein", "cd" * 32)})
    assert snapshot(register).models[ModelId("klein")].weights == "ab" * 32


def test_a_better_passport_keeps_the_models_place(register: Register, clock: Clock) -> None:
    for model in ("eerste", "tweede"):
        perform(register, "model_add", {"passport": passport(model)})
        clock.now_ms += 1000
    evaluation = [{"name": "duidelijke-taal", "metric": "SARI", "score": "31.2", "date": "2026-10-01"}]
    changed = perform(register, "model_add", {"passport": passport("eerste", evaluation=evaluation)})
    assert changed["version"] == 2
    assert snapshot(register).use_cases[UseCaseId("verkenning")].models == ("eerste", "tweede")


def test_a_withdrawn_model_is_gone_and_may_come_back_otherwise(register: Register, clock: Clock) -> None:
    for model in ("een", "twee"):
        perform(register, "model_add", {"passport": passport(model)})
        clock.now_ms += 1000
    perform(register, "model_remove", {"id": "een"})
    assert decide(asked(model=ModelId("een")), snapshot(register)) == Refused(
        "model_unknown", snapshot(register).hash, Level.OPEN, ("twee",)
    )
    assert [spec.model for spec in register.published.models] == ["twee"]
    with pytest.raises(NotFound):
        perform(register, "model_remove", {"id": "een"})
    clock.now_ms += 1000
    again = perform(register, "model_add", {"passport": passport("een", "cd" * 32)})
    assert again["version"] == 2
    assert snapshot(register).use_cases[UseCaseId("verkenning")].models == ("twee", "een")


def test_a_withdrawn_model_stays_known(register: Register) -> None:
    assert perform(register, "model_known", {}) == []
    model = perform(register, "model_add", {"passport": passport()})["id"]
    perform(register, "model_remove", {"id": model})
    assert perform(register, "model_list", {}) == []
    assert perform(register, "model_known", {}) == [model]


def test_there_is_an_end_to_the_number_of_models(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_MODELS", 1)
    perform(register, "model_add", {"passport": passport("een")})
    with pytest.raises(TooMany):
        perform(register, "model_add", {"passport": passport("twee")})
    perform(register, "model_add", {"passport": passport("een", name="Nieuwe naam")})


def test_the_policy_is_shown_as_it_was_signed(register: Register) -> None:
    shown = perform(register, "policy", {})
    content = shown["snapshot"].encode()
    verify_signature(content, bytes.fromhex(shown["signature"]), bytes.fromhex(shown["key"]))
    assert snapshot_from_bytes(content).hash == shown["hash"]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("", {}),
        ("__init__", {}),
        ("key_create", {}),
        ("key_list", {"extra": 1}),
        ("key_revoke", {}),
        ("key_revoke", {"id": 1}),
        ("model_add", {"passport": "x"}),
        ("model_add", {"passport": None}),
    ],
)
def test_calls_that_are_none_are_refused(register: Register, verb: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(BadCall):
        perform(register, verb, arguments)


@pytest.mark.parametrize("odd", ["'; DROP TABLE api_key; --", '" OR 1=1 --', "%", "_", "k_' OR '1'='1", "\\"])
def test_pitfall_20_sql_in_a_value_is_a_value(register: Register, odd: str) -> None:
    """Parameters only: what looks like SQL finds and changes nothing, and comes back as it was (CVE-2026-42208)."""
    made = new_key(register, odd)
    with pytest.raises(NotFound):
        perform(register, "key_revoke", {"id": odd})
    with pytest.raises(NotFound):
        perform(register, "model_remove", {"id": odd})
    with pytest.raises(CallerError):
        new_key(register, "x", use_cases=[odd])
    (listed,) = perform(register, "key_list", {})
    assert (listed["id"], listed["name"], listed["state"]) == (made["id"], odd, "active")


def test_answers_are_plain_json(register: Register) -> None:
    perform(register, "model_add", {"passport": passport()})
    made = new_key(register)
    arguments: dict[str, dict[str, Any]] = {
        "key_create": {"name": "y", "use_cases": ["verkenning"], "days": 1},
        "key_revoke": {"id": made["id"]},
        "model_add": {"passport": passport("ander")},
        "model_remove": {"id": "klein"},
    }
    for verb in VERBS:
        answer = perform(register, verb, arguments.get(verb, {}))
        assert json.loads(json.dumps(answer)) == answer
