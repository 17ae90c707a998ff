"""One llama.cpp worker with the real model, for all tests that only ask it things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenzij.channels.control import Ready
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.passport import default_passport
from tenzij.testing.worker_process import LLAMACPP, WorkerProcess, worker_config


@pytest.fixture(scope="session")
def llamacpp_worker(default_model_file: Path) -> Iterator[WorkerProcess]:
    """A running worker: 2 slots of 4096 tokens."""
    with WorkerProcess(LLAMACPP) as worker:
        worker.start(worker_config(default_model_file, default_passport().sha256))
        ready = worker.outcome()
        if not isinstance(ready, Ready):
            raise RuntimeError(f"the worker did not start: {ready}")
        yield worker


@pytest.fixture
async def engine(llamacpp_worker: WorkerProcess) -> AsyncIterator[LlamaCpp]:
    """The adapter, over that worker."""
    made = LlamaCpp(llamacpp_worker.connect)
    yield made
    await made.close()
