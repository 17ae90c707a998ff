"""The worker program for GGUF weights: llama.cpp's server, embedded through xllamacpp, on a Unix socket.

- Only the first bytes are looked at here, to tell a file of another kind from a machine that is short of memory;
  llama.cpp parses the rest, inside the sandbox, after the weights were held against their passport.
- Stopping is `os._exit`: llama.cpp's own way waits for requests and threads, and there is nothing to save.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from tenzij.engines.worker import CannotStart, WorkerConfig, run_worker

GGUF_MAGIC: Final = b"GGUF"

_running: list[Any] = []  # the engine stops when its object is collected, so it is held for the life of the process


def main(control: socket.socket) -> int:
    """Runs the worker; never returns: exits the process with the status."""
    # Not by returning: unloading the library joins its threads, which a running request can hold up for minutes.
    os._exit(run_worker(control, start_llamacpp))


def start_llamacpp(config: WorkerConfig, weights: str, path: str) -> None:
    """Loads the weights and serves them on a Unix socket at `path`. Raises CannotStart."""
    verify_is_gguf(weights)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # a crash would start a debugger on itself
    import xllamacpp  # after its output is dropped and the environment emptied

    from tenzij.engines.llamacpp_settings import settings_for

    settings = settings_for(config, weights, path)
    try:
        engine = xllamacpp.Server(settings)
    except MemoryError:
        raise _too_little_memory() from None
    except RuntimeError:  # its message is the same whatever went wrong
        raise CannotStart(
            "engine_start_failed",
            "llama.cpp could not load the weights: too little memory (worker.memory_mib, worker.slots, "
            "worker.context_tokens), or a kind of model that this version does not know",
        ) from None
    _running.append(engine)
    if config.is_embedding:
        verify_embeds(engine)


def verify_is_gguf(weights: str) -> None:
    """Raises CannotStart unless the file begins as a GGUF file does."""
    with open(weights, "rb") as file:
        if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise CannotStart("not_gguf", "the weights are not a GGUF file", final=True)


def verify_embeds(engine: Any) -> None:
    """Raises CannotStart when the weights do not say how to make an embedding (pooling): every request would fail."""
    answer = engine.handle_embeddings({"input": "a"})
    if not isinstance(answer, dict) or "data" not in answer:
        raise CannotStart("no_embeddings", "the passport names embedding, the weights cannot do that", final=True)


def _too_little_memory() -> CannotStart:
    return CannotStart(
        "not_enough_memory",
        "too little memory to load the weights: raise worker.memory_mib, or lower worker.slots or "
        "worker.context_tokens",
    )
