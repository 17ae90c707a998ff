"""What the platform reports while it runs, for the command line to show. No text of a request is ever in it.

A child's own words are not trusted: `presentable` takes out what a terminal would act on and keeps them short.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from tenzij.supervisor.lifecycle import State

MOST_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Unconfined:
    """The operator's unsafe switch is on. `notice` says what that means on this machine; it must be shown."""

    notice: str


@dataclass(frozen=True, slots=True)
class Listening:
    """The listener for clients is bound; requests are answered from `Serving` on."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address for a client, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ChildChanged:
    """A child went to another state. `reason` says why where it is not plain."""

    child: str  # "gateway", "ledger", "register" or "worker:<model>"
    state: State
    reason: str = ""
    pid: int | None = None  # of the outermost process, while there is one


@dataclass(frozen=True, slots=True)
class Serving:
    """Register, ledger and gateway are ready: requests are answered. Models may still be starting."""

    url: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The platform is going down, because of `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Everything has ended. `lingering` names children that could not be ended in time."""

    lingering: tuple[str, ...] = ()


Event = Unconfined | Listening | ChildChanged | Serving | Stopping | Stopped


def presentable(text: str) -> str:
    """`text` on one line, without control and invisible characters, cut to `MOST_CHARACTERS`."""
    plain = "".join(c if unicodedata.category(c)[0] not in "CZ" else " " for c in text[: 4 * MOST_CHARACTERS])
    plain = " ".join(plain.split())
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 1] + "…"
