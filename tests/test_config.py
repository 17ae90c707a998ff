"""The machine's configuration: faults are all listed, the example and the page are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenzij.cli.config_docs import EXAMPLE, PAGE, example_toml, page_markdown
from tenzij.config import BadConfig, Config, config_from_file, config_from_text

ROOT = Path(__file__).parent.parent


def test_the_example_file_is_what_the_code_says() -> None:
    assert (ROOT / EXAMPLE).read_text("utf-8") == example_toml()


def test_the_page_is_what_the_code_says() -> None:
    assert (ROOT / PAGE).read_text("utf-8") == page_markdown()


def test_the_example_with_every_setting_uncommented_is_the_defaults() -> None:
    uncommented = re.sub(r"^# ([a-z_]+ = )", r"\1", (ROOT / EXAMPLE).read_text("utf-8"), flags=re.MULTILINE)
    assert "\nport = 8484" in uncommented
    assert config_from_text(uncommented) == Config()


def test_every_setting_has_a_help_sentence() -> None:
    for section in Config.model_fields.values():
        fields = section.annotation.model_fields  # type: ignore[union-attr]
        for name, field in fields.items():
            assert field.description, name
            assert field.description.endswith("."), name


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    assert config_from_file(tmp_path / "config.toml") == Config()


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(BadConfig) as caught:
        config_from_text(
            "[gateway]\nport = 'x'\nhots = 'y'\n[ledger]\nnode = 'Not A Node'\n[nonsense]\n"
            "[worker]\ndevices = ['/etc/x']\n"
        )
    for place in ("gateway.port", "gateway.hots", "ledger.node", "nonsense", "worker.devices"):
        assert place in caught.value.message
    assert "5 fault(s)" in caught.value.message
    assert "did you mean host?" in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\nhost = '0.0.0.0'\n", "behind_tls_proxy"),
        ("[worker]\ngpu_layers = 4\n", "worker.devices"),
        ("[worker]\ndevices = ['/etc/passwd']\n", "/etc/passwd is not below /dev"),
        ("[gateway]\nport = 99999\n", "gateway.port"),
        ("[gateway]\nport = '1'\n", "must be a whole number"),
        ("gateway = 3\n", "must be a section"),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_a_fault_says_what_to_do(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(words)):
        config_from_text(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_proxy(host: str) -> None:
    assert config_from_text(f"[gateway]\nhost = '{host}'\n").gateway.host == host


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="Is a directory"):
        config_from_file(tmp_path)


def test_an_unreadable_file_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match="is not UTF-8"):
        config_from_file(tmp_path / "config.toml")


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().gateway.port = 1  # type: ignore[misc]
