"""The kinds of children: what each is started with, and what it must say to count as ready.

- `launch` comes in from outside (`launcher.launch`), as do the programs, so that tests can put others in their place.
- A child's `Ready` is a claim: each role holds it against what the supervisor knows.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from typing_extensions import override

from tenzij import config
from tenzij.channels.control import ModelSpec, Ready, Refusal, Start, ToChild, Workers, close_all
from tenzij.errors import OperatorError
from tenzij.supervisor import pin, weights
from tenzij.supervisor.home import Home
from tenzij.supervisor.launcher import Launched
from tenzij.supervisor.profiles import (
    STATE,
    WEIGHTS,
    Profile,
    profile_for_gateway,
    profile_for_ledger,
    profile_for_register,
    profile_for_worker,
)
from tenzij.supervisor.role import Unfit
from tenzij.supervisor.worker_socket import connection_to, verify_is_listening_socket
from tenzij.types import Sha256, Verification

START_TIMEOUT_S: Final = 60.0  # for all but workers, whose time the configuration sets

Launch = Callable[[Profile], Launched]


class _Plain:
    """What gateway, ledger and register have in common."""

    holds_text = False
    start_timeout_s = START_TIMEOUT_S

    def __init__(self, profile: Profile, launch: Launch) -> None:
        self._profile = profile
        self._launch = launch

    @property
    def name(self) -> str:
        return self._profile.name

    @property
    def kind(self) -> str:
        return self._profile.name

    def launch(self) -> Launched:
        return self._launch(self._profile)

    def accept(self, ready: Ready, descriptors: list[int], launched: Launched) -> None:
        _verify_none(descriptors)

    def gone(self) -> None:
        pass


class LedgerRole(_Plain):
    """Ready when it says so."""

    def __init__(self, settings: config.Config, home: Home, launch: Launch, program: str | None) -> None:
        super().__init__(_with_program(profile_for_ledger(home.path, settings.confinement), program), launch)
        self._settings = settings

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        ledger = self._settings.ledger
        return [
            (Start({"folder": launched.paths[STATE], "organisation": ledger.organisation, "node": ledger.node}), [])
        ]


class RegisterRole(_Plain):
    """Ready when it signs with the pinned key."""

    def __init__(self, settings: config.Config, home: Home, launch: Launch, program: str | None) -> None:
        super().__init__(_with_program(profile_for_register(home.path, settings.confinement), program), launch)
        self._home = home
        self.policy_key = ""

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        return [(Start({"folder": launched.paths[STATE]}), [])]

    @override
    def accept(self, ready: Ready, descriptors: list[int], launched: Launched) -> None:
        super().accept(ready, descriptors, launched)
        try:
            self.policy_key = pin.verify_pinned(self._home, ready.facts.get("policy_key"))
        except OperatorError as error:
            raise Unfit(error.message, final=True) from None


class GatewayRole(_Plain):
    """Gets the listener and the workers' states at each start."""

    holds_text = True

    def __init__(
        self,
        settings: config.Config,
        listener: socket.socket,
        policy_key: Callable[[], str],
        workers: Callable[[], Workers],
        launch: Launch,
        program: str | None,
    ) -> None:
        super().__init__(_with_program(profile_for_gateway(settings.confinement), program), launch)
        self._settings = settings
        self._listener = listener
        self._policy_key = policy_key
        self._workers = workers

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        if not self._policy_key():  # the register was never ready yet
            return []
        settings = {
            "gateway": self._settings.gateway.model_dump(mode="json"),
            "policy_key": self._policy_key(),
            "organisation": self._settings.ledger.organisation,
            "node": self._settings.ledger.node,
        }
        return [(Start(settings), [os.dup(self._listener.fileno())]), (self._workers(), [])]


class WorkerRole:
    """One model's engine: ready when it has loaded the right weights and listens on a socket of its own."""

    kind = "worker"
    holds_text = True

    def __init__(
        self, settings: config.Config, home: Home, spec: ModelSpec, slot: int, launch: Launch, program: str | None
    ) -> None:
        self.spec = spec
        self.slot = slot
        self.weights: Sha256 | None = None  # what is loaded, once ready
        self.verification: Verification | None = None
        self._settings = settings
        self._home = home
        self._launch = launch
        self._program = program
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
        return _with_program(profile, self._program)

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


def _with_program(profile: Profile, program: str | None) -> Profile:
    return replace(profile, program=program) if program else profile


def _verify_none(descriptors: list[int]) -> None:
    if descriptors:
        close_all(descriptors)
        raise Unfit("sent descriptors where none belong")
