"""Whether a model's worker can take a request now, must be waited for, or will not do. Pure."""

from __future__ import annotations

from enum import Enum, auto

from tenzij.channels.control import WorkerState
from tenzij.types import Sha256


class Standing(Enum):
    """What a request may expect of a worker."""

    READY = auto()
    COMING = auto()  # it starts, or starts again: worth a wait
    ABSENT = auto()  # given up, stopped: waiting does not help
    OTHER_WEIGHTS = auto()  # it runs, with weights that the policy did not admit


_COMING = frozenset({"starting", "backoff"})


def standing(worker: WorkerState | None, weights: Sha256) -> Standing:
    """`weights` are those that the decision named. A worker that nobody told of yet is on its way."""
    if worker is None or worker.state in _COMING:
        return Standing.COMING
    if worker.state != "ready":
        return Standing.ABSENT
    return Standing.READY if worker.weights == weights else Standing.OTHER_WEIGHTS
