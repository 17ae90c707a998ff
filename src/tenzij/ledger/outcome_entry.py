"""The entry `uitkomst`: how an allowed request ended. Exactly one for each allowed decision, always.

Rules
- `voltooid`: answered whole. `afgebroken`: stopped before its end (the client hung up, the gateway or the machine went
  away). `mislukt`: could not be done. The last two say why in `reden`, a stable code, never a message.
- What is not known is null: an outcome that the ledger itself writes knows neither usage nor duration.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from tenzij.ledger.fields import Code, Count, Entry, Hash, ms_from_timestamp

CLIENT_GONE: Final = "client_weg"  # whoever asked hung up
GATEWAY_GONE: Final = "gateway_weg"  # written by the ledger: nobody answers for the request any more
GIVEN_UP: Final = "opgegeven"  # the decision became durable after its asker had stopped waiting for it


class UsageRecord(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"prompt_tokens": "vraag_tokens", "answer_tokens": "antwoord_tokens"},
):
    """Tokens (`gebruik`), as the engine counted them."""

    prompt_tokens: Count
    answer_tokens: Count


class AnswerCommitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"answer": "antwoord"}):
    """HMAC-SHA-256 of the answer, under a key of this entry alone (`commitments`); null: there was none."""

    answer: Hash | None


class OutcomeEntry(
    Entry,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="uitkomst",
    rename={
        "action": "actie",
        "result": "resultaat",
        "decision": "besluit",
        "reason": "reden",
        "finish": "einde",
        "usage": "gebruik",
        "duration_ms": "duur_ms",
        "commitments": "verbintenissen",
    },
):
    """One outcome. Build it with `conversion.uitkomst_from`."""

    kind: ClassVar[str] = "uitkomst"
    action: Literal["verzoek.afronden"] = "verzoek.afronden"
    result: Literal["voltooid", "afgebroken", "mislukt"]
    decision: Count  # index of the decision in the log
    reason: Code | None
    finish: Code | None  # "stop", "length"
    usage: UsageRecord | None
    duration_ms: Count | None
    commitments: AnswerCommitment

    def __post_init__(self) -> None:
        """Raises ValueError when the fields contradict each other."""
        ms_from_timestamp(self.timestamp)
        if (self.result == "voltooid") != (self.reason is None):
            raise ValueError("reden stands with afgebroken and mislukt, and only there")
