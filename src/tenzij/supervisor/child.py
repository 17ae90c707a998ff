"""One child: its process now, the ones after it, and the one task that owns all of that.

Rules
- Everything that happens to a child (a wish, a message, a deadline, the end of its process) goes through one queue to
  `run`, which alone changes it. Each happening carries the number of the life it belongs to; what comes late from an
  earlier life is dropped.
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

from tenzij.channels.control import Connect, Failed, Models, Ready, Stop, ToChild, ToSupervisor, close_all
from tenzij.errors import OperatorError
from tenzij.supervisor.channel import Channel
from tenzij.supervisor.events import presentable
from tenzij.supervisor.launcher import Launched
from tenzij.supervisor.lifecycle import WITH_PROCESS, Event, State, after, failures_after, pause_s
from tenzij.supervisor.process import Process
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
class _Heard:
    life: int
    message: ToSupervisor
    descriptors: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Fault:
    life: int
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class _Gone:
    life: int


@dataclass(frozen=True, slots=True)
class _Silent:
    """The control channel has ended."""

    life: int


@dataclass(frozen=True, slots=True)
class _PauseOver:
    life: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    pass


@dataclass(frozen=True, slots=True)
class _Speak:
    pass


@dataclass(frozen=True, slots=True)
class _Unwanted:
    plan: StopPlan


_Happening = _Heard | _Fault | _Silent | _Gone | _PauseOver | _Wanted | _Speak | _Unwanted


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
        self._inbox: asyncio.Queue[_Happening] = asyncio.Queue()
        self._life = 0
        self._failures = 0
        self._final = False
        self._fault = ""
        self._ready_since_s: float | None = None
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._launched: Launched | None = None
        self._has_spoken = False
        self._is_told = False
        self._timers: list[asyncio.TimerHandle] = []
        self._plan = AT_ONCE
        self._reached = asyncio.Event()  # set anew at each change

    @property
    def name(self) -> str:
        """As the role has it."""
        return self.role.name

    @property
    def pid(self) -> int | None:
        """Of the outermost process; None when there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """It shall run. For one that is stopped or given up."""
        self._inbox.put_nowait(_Wanted())

    def speak(self) -> None:
        """Its first words may be known by now: says them, if it runs and waits for them."""
        self._inbox.put_nowait(_Speak())

    def stop(self, plan: StopPlan) -> None:
        """It shall not run; `run` returns once it does not."""
        self._inbox.put_nowait(_Unwanted(plan))

    def kill(self) -> None:
        """Ends its process at once, whatever was planned."""
        if self._process is not None:
            self._process.kill()

    def fault(self, reason: str, *, final: bool = False) -> None:
        """It broke a rule that another part watches."""
        self._inbox.put_nowait(_Fault(self._life, reason, final))

    def send(self, message: ToChild, descriptors: Sequence[int] = ()) -> None:
        """Sends it, and closes the descriptors. Nobody gets it when no process was told its first words."""
        if self._channel is None or not self._is_told:
            close_all(descriptors)
        else:
            self._channel.send(message, descriptors)

    async def until(self, *states: State) -> State:
        """Waits until it is in one of the states; which one."""
        while self.state not in states:
            reached = self._reached
            await reached.wait()
        return self.state

    async def run(self) -> None:
        """Owns the child until it was stopped. Cancelled, it kills what runs."""
        try:
            while True:
                happening = await self._inbox.get()
                self._handle(happening)
                if isinstance(happening, _Unwanted | _Gone) and self.state is State.STOPPED:
                    return
        finally:
            self._abandon()

    def _handle(self, happening: _Happening) -> None:
        match happening:
            case _Wanted():
                if self.state in (State.STOPPED, State.GIVEN_UP):
                    self._failures, self._final, self._fault = 0, False, ""
                    self._advance(Event.START)
            case _Speak():
                self._say_first_words()
            case _Unwanted(plan):
                self._plan = plan
                self._advance(Event.STOP)
            case _Heard(life, message, descriptors):
                self._on_message(life, message, descriptors)
            case _ if happening.life != self._life:
                pass
            case _Fault(_, reason, final):
                self._on_fault(reason, final)
            case _Silent():
                if self.state in (State.STARTING, State.READY):
                    self._after(SILENT_END_S, lambda: self.fault("closed its control channel"))
            case _Gone():
                self._on_gone()
            case _PauseOver():
                if self.state is State.BACKOFF:
                    self._advance(Event.BACKOFF_OVER)

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
            case State.READY:
                self._ready_since_s = self._loop.time()
            case State.FAILING:
                self.kill()
            case State.STOPPING:
                self._ask_to_stop()
            case State.BACKOFF:
                life = self._life
                pause = pause_s(self._failures, self._patience.first_pause_s, self._patience.longest_pause_s)
                self._after(pause, lambda: self._inbox.put_nowait(_PauseOver(life)))
            case State.STOPPED | State.GIVEN_UP:
                pass

    def _reason_now(self) -> str:
        if self.state in (State.STARTING, State.READY, State.STOPPING, State.STOPPED):
            return ""
        if self.state is State.GIVEN_UP and not self._final:
            return f"{self._fault}; given up after {self._failures} failed starts in a row"
        return self._fault

    # Up

    def _launch(self) -> None:
        self._life += 1
        self._fault, self._ready_since_s, self._has_spoken, self._is_told = "", None, False, False
        life = self._life
        try:
            launched = self.role.launch()
        except Unfit as error:
            self._failed_to_launch(error.reason, final=error.final)
            return
        except OperatorError as error:
            self._failed_to_launch(error.message, final=True)
            return
        except OSError as error:
            self._failed_to_launch(f"cannot be launched: {error.strerror}")
            return
        self._launched = launched
        self._process = Process(launched.process, lambda: self._inbox.put_nowait(_Gone(life)))
        self._channel = Channel(
            launched.control,
            lambda message, descriptors: self._inbox.put_nowait(_Heard(life, message, descriptors)),
            lambda why: self._inbox.put_nowait(_Fault(life, why)),
            lambda: self._inbox.put_nowait(_Silent(life)),
        )
        self._after(
            self.role.start_timeout_s,
            lambda: self.fault(f"not ready within {self.role.start_timeout_s:g} seconds"),
        )
        self._say_first_words()

    def _say_first_words(self) -> None:
        if self._launched is None or self._is_told or self.state is not State.STARTING:
            return
        try:
            words = self.role.first_words(self._launched)
            self._is_told = bool(words)
            for message, descriptors in words:
                self.send(message, descriptors)
        except OSError as error:
            self.fault(f"cannot be started: {error.strerror}")

    def _failed_to_launch(self, reason: str, *, final: bool = False) -> None:
        self._fault, self._final = reason, final
        self._ended()

    def _on_message(self, life: int, message: ToSupervisor, descriptors: Sequence[int]) -> None:
        if life != self._life or self.state not in (State.STARTING, State.READY):
            close_all(descriptors)
            return
        self._has_spoken = True
        match message:
            case Ready():
                self._on_ready(message, list(descriptors))
            case Failed(code, reason, final):
                self._on_fault(self._words(code, reason), final)
            case Models() if self.state is State.STARTING:
                self._on_fault("names models before it is ready", final=False)
            case Connect() | Models():
                self._heard(self, message)

    def _on_ready(self, message: Ready, descriptors: list[int]) -> None:
        if self.state is State.READY or self._launched is None:
            close_all(descriptors)
            self._on_fault("says twice that it is ready", final=False)
            return
        try:
            self.role.accept(message, descriptors, self._launched)
        except Unfit as error:
            self._on_fault(error.reason, error.final)
        else:
            self._advance(Event.READY)

    def _words(self, code: str, reason: str) -> str:
        """A failure in its own words; without them when they might be a request's."""
        if self.role.holds_text and self.state is State.READY:
            return f"failed ({presentable(code)[:64]})"
        return f"{presentable(reason)} ({presentable(code)[:64]})"

    # Down

    def _on_fault(self, reason: str, final: bool) -> None:
        if self.state not in WITH_PROCESS:
            return
        self._fault = self._fault or reason
        self._final = self._final or final
        if self.state is State.STOPPING:
            self.kill()
        self._advance(Event.FAULT)

    def _on_gone(self) -> None:
        if self._process is None or self._launched is None:
            return
        words = "" if self._has_spoken else self._launched.early_words()
        end = self._process.end()
        self._fault = self._fault or (f"{end}: {presentable(words)}" if words else end)
        self._forget()
        self.role.gone()
        self._ended()

    def _ended(self) -> None:
        ready_for = None if self._ready_since_s is None else self._loop.time() - self._ready_since_s
        self._failures = failures_after(self._failures, ready_for, self._patience.forgiven_after_s)
        hopeless = self._final or self._failures >= self._patience.give_up_after
        self._advance(Event.EXHAUSTED if hopeless else Event.EXITED)

    def _ask_to_stop(self) -> None:
        if not self._is_told:  # it waits for its first words, and would not understand
            self.kill()
        self.send(Stop(self._plan.drain_s))
        if self._process is not None:
            self._after(self._plan.terminate_s, self._process.terminate)
            self._after(self._plan.kill_s, self._process.kill)

    def _abandon(self) -> None:
        if self._process is not None:
            self._process.abandon()
            self.role.gone()
        self._forget()
        while not self._inbox.empty():
            happening = self._inbox.get_nowait()
            if isinstance(happening, _Heard):
                close_all(happening.descriptors)

    def _forget(self) -> None:
        self._cancel_timers()
        if self._channel is not None:
            self._channel.close()
        if self._launched is not None:
            self._launched.close()
        self._channel, self._process, self._launched = None, None, None

    def _after(self, delay_s: float, then: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(delay_s, then))

    def _cancel_timers(self) -> None:
        while self._timers:
            self._timers.pop().cancel()
