"""What tests of several folders share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

import own
from tenzij.config import home_from_environment
from tenzij.engines.passport import default_passport

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.fixture(scope="session")
def default_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, `<sha256>.gguf`: TENZIJ_TEST_MODEL where set, else what scripts/default-model fetched."""
    name = f"{default_passport().sha256}.gguf"
    path = Path(os.environ.get("TENZIJ_TEST_MODEL") or home_from_environment() / "models" / name)
    if not path.is_file():
        pytest.fail(f"the default model is not at {path}: run scripts/default-model first (`make test` does)")
    if path.name == name:
        return path
    copy = tmp_path_factory.mktemp("weights") / name
    shutil.copy(path, copy)
    copy.chmod(0o444)
    return copy


@pytest.fixture(autouse=True)
def _only_what_this_test_starts() -> None:
    own.remember()
