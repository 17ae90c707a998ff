"""The shared vocabulary, on one screen: the words that more than one folder uses.

The Dutch names stand in `docs/design.md`, table "Words". Nothing here does anything.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NewType

ModelId = NewType("ModelId", str)  # "smollm2-135m-instruct": what a client writes in `model`
UseCaseId = NewType("UseCaseId", str)  # "verkenning"
KeyId = NewType("KeyId", str)  # public id of an API key, never the key: "k_7f3a…"
RequestId = NewType("RequestId", str)  # 32 lower-case hex digits: the W3C trace id of one request
Sha256 = NewType("Sha256", str)  # 64 lower-case hex digits


class Level(IntEnum):
    """Class of confidentiality (vertrouwelijkheidsniveau); ordered, higher is more confidential."""

    OPEN = 1  # openbaar
    INTERNAL = 2  # beperkt_openbaar, intern
    CONFIDENTIAL = 3  # zaakvertrouwelijk, vertrouwelijk
    RESTRICTED = 4  # confidentieel, departementaal vertrouwelijk
    STATE_SECRET = 5  # geheim, zeer_geheim, Stg. Confidentieel and up: refused outright

    @property
    def code(self) -> str:
        """The name on the wire: `niveau_1` … `niveau_4`, `staatsgeheim`."""
        return "staatsgeheim" if self is Level.STATE_SECRET else f"niveau_{self.value}"


class PersonalData(StrEnum):
    """Kinds of personal data found in a text; the second axis beside `Level`. A set of them, not a ladder."""

    ORDINARY = "gewoon"
    NATIONAL_NUMBER = "bsn"
    SPECIAL = "bijzonder"  # AVG articles 9 and 10
    UNKNOWN = "onbekend"  # detection missing, late, or unable to read the content


class Location(StrEnum):
    """Where a model runs (verwerkingslocatie). The first two are government systems: local."""

    OWN = "eigen"
    PARTNER = "partner"
    SOVEREIGN = "soeverein"
    CONTRACTED = "gecontracteerd"


class Task(StrEnum):
    """What a request asks of a model; also a capability that a passport can state."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


class Capability(StrEnum):
    """What a model can do beyond its tasks, as its passport states."""

    TOOLS = "tools"
    IMAGES = "images"
    STRUCTURED = "structured_output"  # answers held to a JSON schema or to JSON


class Verification(StrEnum):
    """How the weights were held against their passport when the worker started."""

    HASHED = "gehasht"  # every byte was hashed in this start
    UNCHANGED = "ongewijzigd"  # inode, size, mtime and ctime equal those of the last hashed start
