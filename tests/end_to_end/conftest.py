"""The whole platform with the real model, started once for the tests that only ask it things."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from end_to_end.running import Running

MODEL = "smollm2-135m-instruct"


def home_with_model(folder: Path, model_file: Path) -> Path:
    """A new home folder that has the default model's weights already, as after `make up` has fetched them."""
    (folder / "models").mkdir(mode=0o755, parents=True)
    folder.chmod(0o700)
    # Not a hard link: making one changes the file's ctime, which a worker that is loading it takes for a write.
    shutil.copy(model_file, folder / "models" / model_file.name)
    return folder


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Whatever a test started itself is gone after it, also when it failed."""
    before = len(Running.every)
    yield
    for running in Running.every[before:]:
        running.kill()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, default_model_file: Path) -> Iterator[Running]:
    """A running platform with the real model."""
    running = Running(home_with_model(tmp_path_factory.mktemp("tenzij") / "home", default_model_file))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def client(platform: Running) -> Iterator[openai.OpenAI]:
    """The official client with only `base_url` and the key changed."""
    with openai.OpenAI(base_url=platform.base_url, api_key=platform.key, max_retries=0, timeout=60) as made:
        yield made
