"""One process of a child, from its launch to its end, with what lives as long: control channel, watch, what was said.

It decides nothing: it tells what happens (`Happening`, with itself in it, so that what comes late is known to be of an
earlier life) and does what it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tenzij.channels.control import ToChild, ToSupervisor, close_all
from tenzij.supervisor.channel import Channel
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.events import presentable
from tenzij.supervisor.process import Process

Words = Sequence[tuple[ToChild, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Heard:
    """A message came. Who takes this owns the descriptors."""

    life: Life
    message: ToSupervisor
    descriptors: Sequence[int]


@dataclass(frozen=True, slots=True)
class Fault:
    """The process cannot be let go on."""

    life: Life
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Silent:
    """The control channel has ended."""

    life: Life


@dataclass(frozen=True, slots=True)
class Gone:
    """The process has ended."""

    life: Life


Happening = Heard | Fault | Silent | Gone


class Life:
    """A process that was just launched. `close` is its owner's to call, once."""

    def __init__(self, launched: Launched, tell: Callable[[Happening], None]) -> None:
        self.launched = launched
        self.is_told = False  # it has its first words
        self.has_spoken = False  # it sent a message
        self.ready_since_s: float | None = None
        self._process = Process(launched.process, lambda: tell(Gone(self)))
        self._channel = Channel(
            launched.control,
            lambda message, descriptors: tell(Heard(self, message, descriptors)),
            lambda why: tell(Fault(self, why)),
            lambda: tell(Silent(self)),
        )

    @property
    def pid(self) -> int:
        """Of the outermost process."""
        return self._process.pid

    def begin(self, words: Words) -> None:
        """Says its first words; with none, it goes on waiting for them."""
        self.is_told = bool(words)
        for message, descriptors in words:
            self.send(message, descriptors)

    def send(self, message: ToChild, descriptors: Sequence[int] = ()) -> None:
        """Sends it and closes the descriptors; drops it when it would come before the first words."""
        if self.is_told:
            self._channel.send(message, descriptors)
        else:
            close_all(descriptors)

    def terminate(self) -> None:
        """Asks it to end, by SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()

    def end(self) -> str:
        """How it ended, in words; with what was printed if it never said anything else."""
        end = self._process.end()
        words = "" if self.has_spoken else presentable(self.launched.early_words())
        return f"{end}: {words}" if words else end

    def abandon(self) -> None:
        """Ends it without looking on."""
        self._process.abandon()

    def close(self) -> None:
        """Lets go of all that is open."""
        self._channel.close()
        self.launched.close()
