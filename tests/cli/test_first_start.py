"""The first start: one model, one key, once; and what a person then reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tenzij.cli.first_start import KEY_NAME, Welcome, prepare
from tenzij.cli.welcome import NOTHING_LEAVES, welcome_text
from tenzij.engines.passport import default_passport
from tenzij.register.operator import OperatorClient

MODEL = default_passport().id


class Register:
    """A register that remembers what it was asked."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.known: list[str] = []
        self.keys: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, verb: str, **arguments: Any) -> Any:
        self.asked.append((verb, arguments))
        match verb:
            case "model_list":
                return list(self.models)
            case "model_known":
                return list(self.known)
            case "key_list":
                return list(self.keys)
            case "model_add":
                self.models.append({"id": arguments["passport"]["id"]})
                self.known.append(arguments["passport"]["id"])
                return {}
            case "key_create":
                made = {"id": "k_1", "name": arguments["name"], "state": "active", "expires_ms": 1_800_000_000_000}
                self.keys.append(made)
                return made | {"key": "tenzij_secret"}
        raise AssertionError(verb)

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@pytest.fixture
def register() -> Register:
    return Register()


def first(register: Register, home: Path) -> Welcome:
    return prepare(cast(OperatorClient, register), home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{default_passport().file.sha256}.gguf").write_bytes(b"weights")
    return tmp_path


def test_it_admits_the_default_model_and_makes_one_key(register: Register, home: Path) -> None:
    welcome = first(register, home)
    assert welcome.models == (MODEL,)
    assert welcome.key == "tenzij_secret"
    ((_, made),) = [asked for asked in register.asked if asked[0] == "key_create"]
    assert made == {"name": KEY_NAME, "use_cases": ["verkenning"], "days": 7, "loopback_only": True}


def test_a_second_start_makes_nothing_and_shows_no_key(register: Register, home: Path) -> None:
    first(register, home)
    register.asked.clear()
    welcome = first(register, home)
    assert set(register.verbs()) == {"model_known", "model_list", "key_list"}
    assert welcome.key is None
    assert welcome.key_until_ms == 1_800_000_000_000


def test_a_revoked_first_key_is_not_promised(register: Register, home: Path) -> None:
    first(register, home)
    register.keys[0]["state"] = "revoked"
    assert first(register, home).key_until_ms is None


def test_a_withdrawn_model_does_not_come_back(register: Register, home: Path) -> None:
    first(register, home)
    register.models.clear()
    register.asked.clear()
    assert first(register, home).models == ()
    assert "model_add" not in register.verbs()


def test_without_weights_no_model_is_admitted(register: Register, tmp_path: Path) -> None:
    assert first(register, tmp_path).models == ()
    assert "model_add" not in register.verbs()


URL = "http://127.0.0.1:8484"


def test_the_first_welcome_has_all_that_a_person_needs() -> None:
    text = welcome_text(URL, Welcome((MODEL,), "tenzij_secret", 0), [MODEL], confined=True)
    assert f"{URL}/v1" in text
    assert text.count("tenzij_secret") == 2  # by itself, and in the line to paste
    assert "curl" in text
    assert NOTHING_LEAVES in text


def test_a_later_welcome_says_how_to_make_another_key() -> None:
    text = welcome_text(URL, Welcome((MODEL,), None, 1_800_000_000_000), [MODEL], confined=True)
    assert "tenzij key create" in text
    assert "2027-01-15" in text


def test_an_unsafe_start_claims_nothing() -> None:
    text = welcome_text(URL, Welcome((MODEL,), None, None), [MODEL], confined=False)
    assert NOTHING_LEAVES not in text
    assert "UNSAFE" in text


def test_without_a_ready_model_nothing_is_offered_to_try() -> None:
    assert "curl" not in welcome_text(URL, Welcome((MODEL,), "k", 0), [], confined=True)
    assert "tenzij model add" in welcome_text(URL, Welcome((), "k", 0), [], confined=True)
