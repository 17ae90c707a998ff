"""The headers that we read and write. Every other header of a request is ignored, and none is passed on.

- `Authorization: Bearer <key>`: who asks; read by `identity.keys`.
- `Tenzij-Toepassing`: which of the key's use cases; needed when it has several.
- `Tenzij-Vertrouwelijkheid`: how confidential the caller declares it; can only raise the class, never lower it. Ours
  (niveau_1 … niveau_4) or ZGW's words (Gemma ZGW, `vertrouwelijkheidaanduiding`).
- An answer says where it came from: `Tenzij-Verzoek`, `Tenzij-Locatie`, `Tenzij-Gewichten`, `Tenzij-Besluit`. Whoever
  holds a `Tenzij-Verzoek` holds the name of an entry in the ledger: it is sent only once that entry is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tenzij.gateway.asgi import Headers
from tenzij.gateway.refusals import InvalidHeader
from tenzij.policy.decision import Decision, Local
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Level, RequestId, UseCaseId

USE_CASE = "Tenzij-Toepassing"
DECLARED = "Tenzij-Vertrouwelijkheid"

LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        "niveau_1": Level.OPEN,
        "niveau_2": Level.INTERNAL,
        "niveau_3": Level.CONFIDENTIAL,
        "niveau_4": Level.RESTRICTED,
        "staatsgeheim": Level.STATE_SECRET,
        "openbaar": Level.OPEN,
        "beperkt_openbaar": Level.INTERNAL,
        "intern": Level.INTERNAL,
        "zaakvertrouwelijk": Level.CONFIDENTIAL,
        "vertrouwelijk": Level.CONFIDENTIAL,
        "confidentieel": Level.RESTRICTED,
        "departementaal_vertrouwelijk": Level.RESTRICTED,
        "geheim": Level.STATE_SECRET,
        "zeer_geheim": Level.STATE_SECRET,
    }
)


def declared_from_header(value: str | None) -> Level | None:
    """The class that the caller declares. Raises InvalidHeader: a word that we do not know may mean a high one."""
    if value is None:
        return None
    level = LEVELS.get(value.strip().lower())
    if level is None:
        raise InvalidHeader(f"{DECLARED} must be one of: {', '.join(LEVELS)}.", param=DECLARED)
    return level


def use_case_from_header(value: str | None, of_key: tuple[UseCaseId, ...]) -> UseCaseId | None:
    """The use case, by name or because the key has only one; None when it is not chosen or not the key's."""
    if value is None:
        return of_key[0] if len(of_key) == 1 else None
    chosen = UseCaseId(value.strip())
    return chosen if chosen in of_key else None


def provenance(request: RequestId, decision: Decision, snapshot: Snapshot | None) -> Headers:
    """What an answer, or a refusal, tells about its decision."""
    told: dict[str, str] = {"Tenzij-Verzoek": request, "X-Request-Id": request}
    told["Tenzij-Besluit"] = f"{decision.rule};beleid={decision.snapshot or 'geen'}"
    if isinstance(decision, Local):
        told["Tenzij-Gewichten"] = decision.weights
        if snapshot is not None and decision.model in snapshot.models:
            told["Tenzij-Locatie"] = snapshot.models[decision.model].location.value
    return tuple((name.lower().encode(), value.encode()) for name, value in told.items())
