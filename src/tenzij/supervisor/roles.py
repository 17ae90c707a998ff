"""Gateway, ledger and register: what each is started with, and what it must say to count as ready.

A child's `Ready` is a claim: each role holds it against what the supervisor knows. Workers are in `worker_role.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from tenzij import config
from tenzij.channels.control import Ready, Start, ToChild, Workers, close_all
from tenzij.errors import OperatorError
from tenzij.supervisor import pin
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.profiles import (
    STATE,
    Profile,
    profile_for_gateway,
    profile_for_ledger,
    profile_for_register,
)
from tenzij.supervisor.home import Home
from tenzij.supervisor.role import Launch, Unfit

START_TIMEOUT_S: Final = 60.0


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

    def __init__(self, settings: config.Config, home: Home, launch: Launch) -> None:
        super().__init__(profile_for_ledger(home.path, settings.confinement), launch)
        self._settings = settings

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        ledger = self._settings.ledger
        return [
            (Start({"folder": launched.paths[STATE], "organisation": ledger.organisation, "node": ledger.node}), [])
        ]


class RegisterRole(_Plain):
    """Ready when it signs with the pinned key."""

    def __init__(self, settings: config.Config, home: Home, launch: Launch) -> None:
        super().__init__(profile_for_register(home.path, settings.confinement), launch)
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
    ) -> None:
        super().__init__(profile_for_gateway(settings.confinement), launch)
        self._settings = settings
        self._listener = listener
        self._policy_key = policy_key
        self._workers = workers

    def first_words(self, launched: Launched) -> list[tuple[ToChild, list[int]]]:
        if not self._policy_key():  # the register was never ready yet
            return []
        settings = {
            "gateway": self._settings.gateway.model_dump(mode="json"),
            "slots": self._settings.worker.slots,  # of each model's engine
            "policy_key": self._policy_key(),
            "organisation": self._settings.ledger.organisation,
            "node": self._settings.ledger.node,
        }
        return [(Start(settings), [os.dup(self._listener.fileno())]), (self._workers(), [])]


def _verify_none(descriptors: list[int]) -> None:
    if descriptors:
        close_all(descriptors)
        raise Unfit("sent descriptors where none belong")
