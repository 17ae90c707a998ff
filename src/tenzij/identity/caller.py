"""Who asks, after the key was checked."""

from __future__ import annotations

from dataclasses import dataclass

from tenzij.types import KeyId, UseCaseId


@dataclass(frozen=True, slots=True)
class Caller:
    """One key's holder, as far as a request needs it."""

    key: KeyId
    owner: str  # pseudonym of the person or system
    use_cases: tuple[UseCaseId, ...]
    expires_ms: int
    loopback_only: bool
