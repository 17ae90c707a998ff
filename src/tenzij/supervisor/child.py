"""One child: its process now, the ones after it, and the one task that owns all of that.

Rules
- Everything that happens to a child (a wish, a message, a deadline, the end of its process) goes through one queue to
  `run`, which alone changes it. What comes late from an earlier life is dropped.
- `lifecycle.py` says which state follows; arriving in a state acts: STARTING launches, FAILING kills, STOPPING asks and
  then forces, BACKOFF waits.
- The control channel is not trusted: whatever breaks its rules is a fault, and a fault ends the process.
- A process on its way down is not listened to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tenzij.channels.control import Connect, Failed, Models, Ready, Stop, ToChild, close_all
from tenzij.errors import OperatorError
from tenzij.supervisor.events import presentable
from tenzij.supervisor.life import Fault, Gone, Happening, Heard, Life, Silent
from tenzij.supervisor.lifecycle import WITH_PROCESS, Event, State, after, failures_after, pause_s
from tenzij.supervisor.role import Role, Unfit
from tenzij.supervisor.timing import AT_ONCE, StopPlan

SILENT_END_S: Final = 1.0  # from a closed control channel to the end of its process, before that is a fault


@dataclass(frozen=True, slots=True)
class Patience:
    """How a child that fails is treated."""

    first_pause_s: float
    longest_pause_s: float
    give_up_after: int  # failed starts in a row
    forgiven_after_s: float  # ready for this long: the row starts anew


@dataclass(frozen=True, slots=True)
class _Wanted:
    pass


@dataclass(frozen=True, slots=True)
class _Unwanted:
    plan: StopPlan


@dataclass(frozen=True, slots=True)
class _WordsKnown:
    pass


@dataclass(frozen=True, slots=True)
class _PauseOver:
    pass


class Child:
    """A child in state STOPPED. `changed` is called after every change, `heard` for what is not about itself."""

    def __init__(
        self,
        role: Role,
        patience: Patience,
        changed: Callable[[Child], None],
        heard: Callable[[Child, Connect | Models], None],
    ) -> None:
        self.role = role
        self.state = State.STOPPED
        self.reason = ""  # why it is not ready, for a person
        self._patience = patience
        self._changed = changed
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Happening | _Wanted | _Unwanted | _WordsKnown | _PauseOver] = asyncio.Queue()
        self._life: Life | None = None
        self._failures = 0  # in a row
        self._fault = ""  # of the life now, or of the last one
        self._final = False
        self._plan = AT_ONCE
        self._timers: list[asyncio.TimerHandle] = []  # of the state now
        self._reached = asyncio.Event()  # another one at each change

    @property
    def name(self) -> str:
        """As the role has it."""
        return self.role.name

    @property
    def pid(self) -> int | None:
        """Of the outermost process; None when there is none."""
        return self._life.pid if self._life else None

    def start(self) -> None:
        """It shall run. For one that is stopped or given up."""
        self._inbox.put_nowait(_Wanted())

    def stop(self, plan: StopPlan) -> None:
        """It shall not run; `run` returns once it does not."""
        self._inbox.put_nowait(_Unwanted(plan))

    def speak(self) -> None:
        """Its first words may be known by now: says them, if it runs and waits for them."""
        self._inbox.put_nowait(_WordsKnown())

    def fault(self, reason: str) -> None:
        """It broke a rule that another part watches."""
        if self._life is not None:
            self._inbox.put_nowait(Fault(self._life, reason))

    def kill(self) -> None:
        """Ends its process at once, whatever was planned."""
        if self._life is not None:
            self._life.kill()

    def send(self, message: ToChild, descriptors: Sequence[int] = ()) -> None:
        """Sends it, and closes the descriptors. Nobody gets it when no process was told its first words."""
        if self._life is None:
            close_all(descriptors)
        else:
            self._life.send(message, descriptors)

    async def until(self, *states: State) -> State:
        """Waits until it is in one of the states; which one."""
        while self.state not in states:
            reached = self._reached
            await reached.wait()
        return self.state

    async def run(self) -> None:
        """Owns the child until it was stopped. Cancelled, it ends what runs."""
        is_wanted = True
        try:
            while is_wanted or self.state is not State.STOPPED:
                happening = await self._inbox.get()
                is_wanted = is_wanted and not isinstance(happening, _Unwanted)
                match happening:
                    case Heard():
                        self._on_message(happening)
                    case Fault() | Silent() | Gone():
                        self._on_life(happening)
                    case _:
                        self._on_wish(happening)
        finally:
            self._abandon()

    def _on_wish(self, wish: _Wanted | _Unwanted | _WordsKnown | _PauseOver) -> None:
        match wish:
            case _Wanted() if self.state in (State.STOPPED, State.GIVEN_UP):
                self._failures = 0
                self._advance(Event.START)
            case _Unwanted(plan):
                self._plan = plan
                self._advance(Event.STOP)
            case _WordsKnown():
                self._say_first_words()
            case _PauseOver() if self.state is State.BACKOFF:
                self._advance(Event.BACKOFF_OVER)
            case _:
                pass  # it came too late to matter

    def _on_life(self, happening: Fault | Silent | Gone) -> None:
        if happening.life is not self._life:
            return
        match happening:
            case Fault(_, reason, final):
                self._on_fault(reason, final)
            case Silent() if self.state in (State.STARTING, State.READY):
                self._after(SILENT_END_S, lambda: self.fault("closed its control channel"))
            case Gone(life):
                self._on_gone(life)

    def _advance(self, event: Event) -> None:
        before, self.state = self.state, after(self.state, event)
        if self.state is before:
            return
        self._cancel_timers()
        self.reason = self._reason_now()
        self._changed(self)
        self._reached.set()
        self._reached = asyncio.Event()
        self._act()

    def _act(self) -> None:
        match self.state:
            case State.STARTING:
                self._launch()
            case State.FAILING:
                self.kill()
            case State.STOPPING:
                self._ask_to_stop()
            case State.BACKOFF:
                pause = pause_s(self._failures, self._patience.first_pause_s, self._patience.longest_pause_s)
                self._after(pause, lambda: self._inbox.put_nowait(_PauseOver()))
            case State.READY | State.STOPPED | State.GIVEN_UP:
                pass

    def _reason_now(self) -> str:
        if self.state not in (State.FAILING, State.BACKOFF, State.GIVEN_UP):
            return ""
        if self.state is State.GIVEN_UP and not self._final:
            return f"{self._fault}; given up after {self._failures} failed starts in a row"
        return self._fault

    # Up

    def _launch(self) -> None:
        self._fault, self._final = "", False
        try:
            launched = self.role.launch()
        except Unfit as error:
            self._on_end(error.reason, final=error.final)
        except OperatorError as error:
            self._on_end(error.message, final=True)
        except OSError as error:
            self._on_end(f"cannot be launched: {error.strerror}")
        else:
            self._life = Life(launched, self._inbox.put_nowait)
            timeout_s = self.role.start_timeout_s
            self._after(timeout_s, lambda: self.fault(f"not ready within {timeout_s:g} seconds"))
            self._say_first_words()

    def _say_first_words(self) -> None:
        if self._life is None or self._life.is_told or self.state is not State.STARTING:
            return
        try:
            self._life.begin(self.role.first_words(self._life.launched))
        except OSError as error:
            self.fault(f"cannot be started: {error.strerror}")

    def _on_message(self, heard: Heard) -> None:
        if heard.life is not self._life or self.state not in (State.STARTING, State.READY):
            close_all(heard.descriptors)
            return
        heard.life.has_spoken = True
        match heard.message:
            case Ready() as ready:
                self._on_ready(heard.life, ready, list(heard.descriptors))
            case Failed(code, reason, final):
                self._on_fault(self._words(code, reason), final)
            case Models() if self.state is State.STARTING:
                self._on_fault("names models before it is ready")
            case Connect() | Models() as message:
                self._heard(self, message)

    def _on_ready(self, life: Life, ready: Ready, descriptors: list[int]) -> None:
        if self.state is State.READY:
            close_all(descriptors)
            self._on_fault("says twice that it is ready")
            return
        try:
            self.role.accept(ready, descriptors, life.launched)
        except Unfit as error:
            self._on_fault(error.reason, error.final)
        else:
            life.ready_since_s = self._loop.time()
            self._advance(Event.READY)

    def _words(self, code: str, reason: str) -> str:
        """A failure in its own words; without them when they might be a request's."""
        if self.role.holds_text and self.state is State.READY:
            return f"failed ({presentable(code)[:64]})"
        return f"{presentable(reason)} ({presentable(code)[:64]})"

    # Down

    def _on_fault(self, reason: str, final: bool = False) -> None:
        if self.state not in WITH_PROCESS:
            return
        self._fault = self._fault or reason
        self._final = self._final or final
        if self.state is State.STOPPING:
            self.kill()
        self._advance(Event.FAULT)

    def _on_gone(self, life: Life) -> None:
        end = life.end()
        life.close()
        self._life = None
        self.role.gone()
        ready_for_s = None if life.ready_since_s is None else self._loop.time() - life.ready_since_s
        self._on_end(end, ready_for_s=ready_for_s)

    def _on_end(self, reason: str, *, final: bool = False, ready_for_s: float | None = None) -> None:
        """Nothing runs now. The first reason counts: what comes after it is its consequence."""
        self._fault = self._fault or reason
        self._final = self._final or final
        self._failures = failures_after(self._failures, ready_for_s, self._patience.forgiven_after_s)
        hopeless = self._final or self._failures >= self._patience.give_up_after
        self._advance(Event.EXHAUSTED if hopeless else Event.EXITED)

    def _ask_to_stop(self) -> None:
        life = self._life
        if life is None:
            return
        if not life.is_told:  # it waits for its first words, and would not understand
            life.kill()
        life.send(Stop(self._plan.drain_s))
        self._after(self._plan.terminate_s, life.terminate)
        self._after(self._plan.kill_s, life.kill)

    def _abandon(self) -> None:
        self._cancel_timers()
        if self._life is not None:
            self._life.abandon()
            self._life.close()
            self._life = None
            self.role.gone()
        while not self._inbox.empty():
            happening = self._inbox.get_nowait()
            if isinstance(happening, Heard):
                close_all(happening.descriptors)

    def _after(self, delay_s: float, then: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(delay_s, then))

    def _cancel_timers(self) -> None:
        while self._timers:
            self._timers.pop().cancel()
