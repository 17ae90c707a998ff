"""What `tenzij check` finds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tenzij.config import Config, Confinement
from tenzij.supervisor import home as homes
from tenzij.supervisor.confinement import ability, selftest
from tenzij.supervisor.confinement.ability import CannotConfine
from tenzij.supervisor.confinement.selftest import Finding, run_selftest

UNSAFE = Config(confinement=Confinement(unsafe_run_unconfined=True))


def failed(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.process, finding.probe) for finding in findings if not finding.held]


def weights(home: Path, content: bytes) -> Path:
    file = home / "models" / f"{hashlib.sha256(content).hexdigest()}.gguf"
    file.write_bytes(content)
    file.chmod(0o444)
    return file


@pytest.fixture
def only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries to break out: another test does."""
    monkeypatch.setattr(selftest, "_broken_out", lambda config, home: iter(()))


def test_all_holds_on_this_machine(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    homes.prepared(home)
    weights(home, b"some weights")
    weights(home, b"other weights")
    findings = run_selftest(Config(), home)
    assert failed(findings) == []
    assert {finding.process for finding in findings} == {"platform", "worker", "gateway", "ledger", "register"}
    assert sum(finding.probe.startswith("weights match") for finding in findings) == 2
    assert {finding.process for finding in findings if "write durably" in finding.probe} == {"ledger", "register"}


@pytest.mark.usefixtures("only_looked_at")
def test_a_new_home_is_made(tmp_path: Path) -> None:
    assert failed(run_selftest(Config(), tmp_path / "new" / "home")) == []
    assert (tmp_path / "new" / "home" / "models").is_dir()


@pytest.mark.usefixtures("only_looked_at")
def test_weights_that_are_not_what_their_name_says_are_found(home: Path) -> None:
    file = weights(home, b"some weights")
    file.chmod(0o644)
    file.write_bytes(b"other weights")
    assert failed(run_selftest(Config(), home)) == [("platform", f"weights match their name: {file.name[:12]}…")]


def test_a_ledger_that_cannot_write_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "ledger").mkdir(exist_ok=True)
    monkeypatch.setattr(
        "tenzij.supervisor.confinement.plan.landlock.WRITE", 0
    )  # as on a folder that is full or read-only
    assert ("ledger", "write durably to its own folder") in failed(run_selftest(Config(), home))


@pytest.mark.usefixtures("forget_ability")
def test_an_unconfined_platform_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ability, "bubblewraps", list)
    with pytest.raises(CannotConfine):
        run_selftest(Config(), home)
    findings = run_selftest(UNSAFE, home)
    assert failed(findings) == [("platform", "every process is confined")]
    assert findings[0].detail.startswith("UNSAFE")


@pytest.mark.usefixtures("only_looked_at")
def test_the_switch_that_is_not_needed_is_named(home: Path) -> None:
    findings = run_selftest(UNSAFE, home)
    assert failed(findings) == []
    assert "not needed" in findings[0].detail
