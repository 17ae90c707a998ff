"""A worker: one model's engine, ready when it has loaded the right weights and listens on a socket of its own.

Rules
- The weights' file is named by its hash; no other name is looked at.
- Whether the worker hashes its weights is said to it (`weights.py`); that it did, and what came out, it must say. The
  file must look the same before the launch and when the worker is ready, or nothing is believed.
- What it hands over must be the place of a listening socket (`worker_socket.py`).
"""

from __future__ import annotations

import contextlib
import socket

from tenzij import config
from tenzij.channels.control import ModelSpec, Ready, Refusal, Start, ToChild, close_all
from tenzij.errors import OperatorError
from tenzij.supervisor import weights
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import WEIGHTS, Profile, profile_for_worker
from tenzij.supervisor.home import Home
from tenzij.supervisor.role import Launch, Unfit
from tenzij.supervisor.worker_socket import connection_to, verify_is_listening_socket
from tenzij.types import Sha256, Verification


class WorkerRole:
    """One model's engine: ready when it has loaded the right weights and listens on a socket of its own."""

    kind = "worker"
    holds_text = True

    def __init__(self, settings: config.Config, home: Home, spec: ModelSpec, slot: int, launch: Launch) -> None:
        self.spec = spec
        self.slot = slot
        self.weights: Sha256 | None = None  # what is loaded, once ready
        self.verification: Verification | None = None
        self._settings = settings
        self._home = home
        self._launch = launch
        self._look: weights.Look | None = None
        self._hash = True
        self._socket: int | None = None
        self._pid = 0
        self._user = -1

    @property
    def name(self) -> str:
        return f"worker:{self.spec.model}"

    @property
    def start_timeout_s(self) -> float:
        return self._settings.worker.start_timeout_s

    def launch(self) -> Launched:
        if self.spec.file != f"{self.spec.weights}.gguf":
            raise Unfit("its weights have a file name that is not their hash", final=True)
        self._look = weights.look_at(self._home.models / self.spec.file, self.spec)
        known = weights.records(self._home).get(self.spec.weights)
        self._hash = self._settings.worker.verify == "always" or known != self._look
        return self._launch(self._profile())

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        worker = self._settings.worker
        settings = {
            "model": self.spec.model,
            "weights": self.spec.weights,
            "size_bytes": self.spec.size_bytes,
            "file": launched.paths[f"{WEIGHTS}/{self.spec.file}"],
            "tasks": self.spec.tasks,
            "context_tokens": worker.context_tokens or self.spec.context_tokens,
            "slots": worker.slots,
            "threads": worker.threads,
            "batch_tokens": worker.batch_tokens,
            "gpu_layers": worker.gpu_layers,
            "hash": self._hash,
        }
        return [(Start(settings), [])]

    def accept(self, ready: Ready, descriptors: list[int], launched: Launched) -> None:
        try:
            place = verify_is_listening_socket(descriptors)
            verification = self._verified(ready)
        except Unfit:
            close_all(descriptors)
            raise
        except Refusal as error:
            close_all(descriptors)
            raise Unfit(str(error)) from None
        self._socket, self._pid = place, launched.process.pid
        self._user = launched.user
        self.weights, self.verification = self.spec.weights, verification

    def connection(self) -> socket.socket:
        """A stream to the engine. Raises Refusal."""
        if self._socket is None:
            raise Refusal("the worker is not ready")
        return connection_to(self._socket, self._pid, self._user)

    def gone(self) -> None:
        if self._socket is not None:
            close_all([self._socket])
        self._socket, self.weights, self.verification = None, None, None

    def _profile(self) -> Profile:
        profile = profile_for_worker(self.spec.model, self.spec.file, self._home.path, self._settings.worker, self.slot)
        return profile

    def _verified(self, ready: Ready) -> Verification:
        """How the weights were held against their passport, if it is as it was asked. Raises Unfit."""
        asked = Verification.HASHED if self._hash else Verification.UNCHANGED
        if ready.facts.get("verification") != asked:
            raise Unfit("did not verify its weights as it was told to")
        said = ready.facts.get("weights")
        if said != self.spec.weights and (self._hash or said is not None):
            raise Unfit("loaded other weights than its passport names", final=True)
        look = weights.look_at(self._home.models / self.spec.file, self.spec)
        if look != self._look:
            raise Unfit("its weights were written to while it loaded them")
        if self._hash:
            self._remember(look)
        return asked

    def _remember(self, look: weights.Look) -> None:
        with contextlib.suppress(OperatorError):  # without a record the next start hashes again
            weights.remember(self._home, self.spec.weights, look)
