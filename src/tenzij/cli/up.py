"""`tenzij up`: starts the platform in the foreground, shows progress, and ends with what a person needs.

- One line an event, on stdout; never the text of a request. What went wrong ends on stderr, with exit status 1.
- The supervisor keeps the main thread, as it must; what the first start asks of the register runs in another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import typer

from tenzij.cli.first_start import Welcome, prepare
from tenzij.cli.output import command_name, console
from tenzij.cli.place import Place
from tenzij.cli.welcome import welcome_text
from tenzij.config import Config, Confinement
from tenzij.errors import TenzijError
from tenzij.supervisor.confinement.ability import CannotConfine, way_to_confine
from tenzij.supervisor.events import ChildChanged, Event, Listening, Serving, Stopped, Stopping, Unconfined
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.platform import Platform

_SHOWN = {
    State.STARTING: "starting",
    State.READY: "ready",
    State.FAILING: "failed",
    State.BACKOFF: "stopped; will be started again",
    State.GIVEN_UP: "given up",
}
_SETTLED = (State.READY, State.GIVEN_UP)


def up(context: typer.Context) -> None:
    """Run the platform in the foreground, until Ctrl-C."""
    place: Place = context.obj
    asyncio.run(_Foreground(place, place.config()).run())


class _Foreground:
    """One run of the platform, with what it prints. Everything here happens in the main thread but `_prepare`."""

    def __init__(self, place: Place, config: Config) -> None:
        self._place = place
        self._states: dict[str, State] = {}
        self._serving: str | None = None
        self._confined = True
        self._confinement = config.confinement
        self._failure: TenzijError | None = None
        self._changed = asyncio.Event()
        self._platform = Platform(config, place.home, self._report)

    async def run(self) -> None:
        """Until the platform stops. Raises OperatorError or PlatformError when it could not start or go on."""
        async with asyncio.TaskGroup() as group:
            greeting = group.create_task(self._greet(), name="greeting")
            try:
                await self._platform.run()
            except TenzijError as error:
                self._failure = error  # raised below: out of a task group it would be wrapped
            finally:
                greeting.cancel()
        if self._failure is not None:
            raise self._failure

    async def _greet(self) -> None:
        await self._until(lambda: self._states.get("register") is State.READY)
        try:
            welcome = await asyncio.to_thread(self._prepare)
        except TenzijError as error:
            self._failure = error
            self._platform.stop("the first start could not be prepared")
            return
        workers = {f"worker:{model}": model for model in welcome.models}
        await self._until(
            lambda: self._serving is not None and all(self._states.get(worker) in _SETTLED for worker in workers)
        )
        ready = [model for worker, model in workers.items() if self._states[worker] is State.READY]
        _say(welcome_text(self._serving or "", welcome, ready, confined=self._confined, command=command_name()))

    def _prepare(self) -> Welcome:
        with self._place.register() as register:
            return prepare(register, self._place.home)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _report(self, event: Event) -> None:
        match event:
            case ChildChanged(child, state, reason):
                self._states[child] = state
                if state in _SHOWN:
                    _say(f"  {child:<32} {_SHOWN[state]}" + (f": {reason}" if reason else ""))
            case Unconfined(notice):
                self._confined = _can_confine(self._confinement)
                _say(notice)
            case Listening():
                _say(f"tenzij starts; its state is in {self._place.home}")
                _say(f"  listening on {event.url}")
            case Serving(url):
                self._serving = url
            case Stopping(reason):
                _say(f"stopping: {reason}")
            case Stopped(lingering):
                _say("stopped" + (f"; these did not end: {', '.join(lingering)}" if lingering else ""))
        self._changed.set()


def _can_confine(confinement: Confinement) -> bool:
    """Whether children are confined although the unsafe switch is on."""
    try:
        way_to_confine(confinement)
    except CannotConfine:
        return False
    return True


def _say(text: str) -> None:
    console.print(text, markup=False)
