"""What an operator is told where processes cannot be confined."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenzij.config import Confinement
from tenzij.supervisor.confinement import ability, seccomp
from tenzij.supervisor.confinement.ability import CannotConfine, explanation, way_to_confine
from tenzij.supervisor.confinement.code_view import CodeView, unreadable_by_others
from tenzij.supervisor.confinement.plan import Way
from tenzij.supervisor.confinement.seccomp import NoSeccomp

pytestmark = pytest.mark.usefixtures("forget_ability")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("user.max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
        ("kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
    ],
)
def test_a_setting_that_closes_is_named(name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ability, "_setting", lambda asked: value if asked == name else "")
    assert name in explanation("bwrap: no")
    assert told in explanation("bwrap: no")


def test_otherwise_bubblewrap_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ability, "_setting", lambda _: "")
    assert "(bwrap: second)" in explanation("bwrap: first\nbwrap: second\n")
    assert "container" in explanation("")


def test_a_bubblewrap_that_does_not_work_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ability, "bubblewraps", lambda: [Path("/usr/bin/false")])
    with pytest.raises(CannotConfine, match="cannot be confined here"):
        way_to_confine(Confinement())


def test_the_second_bubblewrap_is_tried_when_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ability.bubblewraps()
    monkeypatch.setattr(ability, "bubblewraps", lambda: [Path("/usr/bin/false"), *real])
    assert way_to_confine(Confinement()).bubblewrap == real[0]


def test_a_missing_libseccomp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise NoSeccomp("the library libseccomp is missing")

    monkeypatch.setattr(seccomp, "_library", missing)
    monkeypatch.setattr(ability, "filter_before", lambda _: seccomp.allowing([]))
    with pytest.raises(CannotConfine, match="libseccomp is missing"):
        way_to_confine(Confinement())


def test_another_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(CannotConfine, match="riscv64"):
        way_to_confine(Confinement())


def test_the_trial_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Way] = []
    real = ability.trial

    def counted(way: Way) -> str | None:
        made.append(way)
        return real(way)

    monkeypatch.setattr(ability, "trial", counted)
    assert way_to_confine(Confinement()) == way_to_confine(Confinement())
    assert len(made) == 1


@pytest.fixture
def code(tmp_path: Path) -> CodeView:
    """A small installation that everybody can read."""
    package = tmp_path / "source" / "tenzij"
    (package / "policy").mkdir(parents=True)
    (package / "policy" / "decide.py").write_text("")
    (package / "__pycache__").mkdir(mode=0o700)
    packages = tmp_path / "site-packages"
    (packages / "msgspec").mkdir(parents=True)
    python = tmp_path / "python"
    python.write_text("")
    for path in (package, package / "policy", packages, packages / "msgspec", python):
        path.chmod(0o755)
    (package / "policy" / "decide.py").chmod(0o644)
    return CodeView(python, (python, packages, package), (str(packages), str(package.parent)), package)


def test_code_that_everybody_can_read_is_fine(code: CodeView) -> None:
    assert unreadable_by_others(code) == []


@pytest.mark.parametrize("path", ["python", "source/tenzij/policy", "source/tenzij/policy/decide.py", "site-packages"])
def test_code_from_a_clone_under_umask_077_is_found(path: str, code: CodeView, tmp_path: Path) -> None:
    (tmp_path / path).chmod(0o700)
    assert tmp_path / path in unreadable_by_others(code)


def test_root_is_told_how_to_open_the_code(code: CodeView, monkeypatch: pytest.MonkeyPatch) -> None:
    (code.package / "policy").chmod(0o700)
    monkeypatch.setattr(ability, "code_view", lambda: code)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(CannotConfine, match=r"chmod -R go\+rX"):
        way_to_confine(Confinement())
