"""A policy version as canonical bytes, and back. Its name is the SHA-256 of those bytes.

Rules
- Bytes that are not the canonical form of what they say are refused, even if they parse. So one policy version has one
  hash, and doubled keys or white space cannot make two readers see different things. Keys and sets are sorted.
- Refused too: unknown or missing fields, wrong types, unknown words, an id that points nowhere, an active use case
  without a class floor, a model that is both local and a supplier's, a "local" model that runs elsewhere.
- Signatures are in `signature`, and are checked before this runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from tenzij.errors import PlatformError
from tenzij.policy.snapshot import LOCAL, Snapshot
from tenzij.policy.snapshot_wire import (
    FORMAT,
    LEVELS,
    ModelWire,
    VersionWire,
    snapshot_from_wire,
    wire_from_snapshot,
)
from tenzij.types import Sha256

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(VersionWire)


class BadSnapshot(PlatformError):
    """The bytes are not a policy version that may be decided by."""

    code = "bad_policy_version"


def hash_of(payload: bytes) -> Sha256:
    """The name of the policy version that these bytes are."""
    return Sha256(hashlib.sha256(payload).hexdigest())


def bytes_from_snapshot(snapshot: Snapshot) -> bytes:
    """The canonical bytes; `snapshot.hash` is not among them. Raises BadSnapshot when they would not be read back."""
    try:
        payload = _encoder.encode(wire_from_snapshot(snapshot))
    except (KeyError, ValueError):
        raise BadSnapshot("The policy version holds a class or a text that has no place in one.") from None
    snapshot_from_bytes(payload)
    return payload


def snapshot_from_bytes(payload: bytes) -> Snapshot:
    """The policy version that `payload` is, byte for byte. Raises BadSnapshot."""
    try:
        wire = _decoder.decode(payload)
    except msgspec.DecodeError as error:
        place = str(error).rpartition(" - at ")[2]  # what is before it may quote the value
        raise BadSnapshot(f"The policy version cannot be read, at {place}.") from None
    except (UnicodeDecodeError, RecursionError):  # what msgspec lets through for bad UTF-8 and deep nesting
        raise BadSnapshot("The policy version cannot be read.") from None
    faults = list(_faults(wire))
    if faults:
        raise BadSnapshot("The policy version contradicts itself: " + "; ".join(faults[:20]) + ".")
    snapshot = snapshot_from_wire(wire, hash_of(payload))
    if _encoder.encode(wire_from_snapshot(snapshot)) != payload:
        raise BadSnapshot("The policy version is not in canonical form.")
    return snapshot


def _faults(wire: VersionWire) -> Iterator[str]:
    if wire.format != FORMAT:
        yield f"the format is not {FORMAT}"
    for model_id, model in wire.models.items():
        if model.location not in LOCAL:
            yield f"model {model_id} does not run on a government system"
        if model_id in wire.supplier_models:
            yield f"model {model_id} is both local and a supplier's"
    for use_case_id, use_case in wire.use_cases.items():
        yield from _dangling(f"use case {use_case_id}", use_case.models, wire.models)
        if use_case.active and use_case.floor is None:
            yield f"use case {use_case_id} is active without a class floor"
        if use_case.floor is not None and LEVELS[use_case.floor] > LEVELS[use_case.ceiling]:
            yield f"use case {use_case_id} has its floor above its ceiling"
    for exception_id, grant in wire.exceptions.items():
        yield from _dangling(f"exception {exception_id}", grant.bar, wire.models)
        if grant.use_case not in wire.use_cases:
            yield f"exception {exception_id} is for no use case that is there"
        if wire.supplier_models.get(grant.model) != grant.supplier:
            yield f"exception {exception_id} is for no supplier's model that is there"
        if grant.from_ms >= grant.until_ms:
            yield f"exception {exception_id} ends before it begins"


def _dangling(owner: str, named: list[str], models: dict[str, ModelWire]) -> Iterator[str]:
    if len(set(named)) != len(named):
        yield f"{owner} names a model twice"
    if any(model not in models for model in named):
        yield f"{owner} names a model that is not admitted"
