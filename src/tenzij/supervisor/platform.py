"""The whole platform on one TENZIJ_HOME, from the lock to the last process gone.

    lock ▶ sweeper ▶ listeners ▶ register, ledger, gateway ▶ workers ▶ … ▶ gateway down ▶ all others down

Rules
- Nothing is made or bound before the lock is held, and nothing of it is left afterwards.
- It runs in the main thread: children die with the thread that launched them.
- Ctrl-C, SIGTERM and a closed terminal stop it in order, within `supervisor.stop_timeout_s`; a second one kills.
- It speaks no HTTP and sees no text.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tenzij import config
from tenzij.errors import PlatformError
from tenzij.supervisor import listener, operator_socket
from tenzij.supervisor.confinement import launcher
from tenzij.supervisor.confinement.ability import way_to_confine
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.events import Event, Listening, Serving, Stopped, Stopping, Unconfined
from tenzij.supervisor.family import Family, Means
from tenzij.supervisor.home import prepared
from tenzij.supervisor.lock import locked
from tenzij.supervisor.role import Launch
from tenzij.supervisor.sweeper import sweeping

LOCK_WAIT_S: Final = 5.0  # for a command that has the register to itself, or the sweeper of a killed platform
NO_PROGRAMS: Final[Mapping[str, str]] = MappingProxyType({})
_SIGNALS: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal was closed"}


class GivenUp(PlatformError):
    """A child that nothing works without was given up."""

    code = "given_up"


def with_programs(launch: Launch, programs: Mapping[str, str]) -> Launch:
    """A `launch` that starts another module than a role's own, by the role's kind: "gateway", "ledger", …"""

    def launched(profile: Profile) -> launcher.Launched:
        return launch(replace(profile, program=programs.get(profile.name.partition(":")[0], profile.program)))

    return launched


class Platform:
    """One platform. `report` hears what happens.

    For tests, `programs` puts another module in the place of a role's own ("gateway", "ledger", "register", "worker"),
    and `launch` another launcher.
    """

    def __init__(
        self,
        settings: config.Config,
        home: Path,
        report: Callable[[Event], None],
        programs: Mapping[str, str] = NO_PROGRAMS,
        launch: Launch | None = None,
    ) -> None:
        self._settings = settings
        self._path = home
        self._hears = report
        self._confines = launch is None
        self._launch = with_programs(launch or partial(launcher.launch, confinement=settings.confinement), programs)
        self._stop_wanted = asyncio.Event()
        self._failure: str | None = None
        self._family: Family | None = None

    def stop(self, reason: str) -> None:
        """Has `run` take everything down and return. Asked a second time it kills."""
        if not self._stop_wanted.is_set():
            self._report(Stopping(reason))
            self._stop_wanted.set()
        elif self._family is not None:
            self._family.kill()

    async def run(self) -> None:
        """Runs until it is stopped. In the main thread, once.

        Raises OperatorError when it cannot start; GivenUp when a child was given up that nothing works without.
        """
        notice = self._verify_confinement()
        home = prepared(self._path)
        with ExitStack() as held:
            lock = held.enter_context(locked(home, LOCK_WAIT_S))
            held.enter_context(sweeping(home, lock))
            clients = held.enter_context(await listener.bound_soon(self._settings.gateway))
            operators = held.enter_context(operator_socket.listening(home))
            held.enter_context(self._signals())
            listening = Listening(*listener.address_of(clients))
            if notice:
                self._report(Unconfined(notice))
            self._report(listening)
            means = Means(self._settings, home, clients, operators, self._launch)
            lingering = await self._live(means, Serving(listening.url))
        self._report(Stopped(tuple(lingering)))
        if self._failure is not None:
            raise GivenUp(self._failure)

    async def _live(self, means: Means, serving: Serving) -> list[str]:
        async with asyncio.TaskGroup() as group:
            self._family = Family(means, group, self._report, self._fail)
            coming_up = group.create_task(self._bring_up(self._family, serving), name="coming up")
            await self._stop_wanted.wait()
            coming_up.cancel()
            return await self._family.take_down()

    async def _bring_up(self, family: Family, serving: Serving) -> None:
        await family.bring_up()
        self._report(serving)

    def _verify_confinement(self) -> str | None:
        """What must be shown when the unsafe switch is on. Raises CannotConfine when it is off and would be needed."""
        confinement = self._settings.confinement
        if self._confines and not confinement.unsafe_run_unconfined:
            way_to_confine(confinement)
        return launcher.unsafe_notice(confinement)

    def _report(self, event: Event) -> None:
        with suppress(OSError):  # a terminal that is gone is no reason to go down
            self._hears(event)

    def _fail(self, reason: str) -> None:
        if not self._stop_wanted.is_set():
            self._failure = reason
            self.stop(reason)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        # Under nohup a closed terminal is to be ignored. SIGINT is heeded even where it was ignored: scripts start us
        # with `&`, which ignores it, and who sends it then means it.
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heeded = [number for number in _SIGNALS if not (nohup and number == signal.SIGHUP)]
        for number in heeded:
            loop.add_signal_handler(number, self.stop, _SIGNALS[number])
        try:
            yield
        finally:
            for number in heeded:
                loop.remove_signal_handler(number)
