"""Passports on disk: a TOML file -> `Passport`, and the one of the default model, which tenzij ships.

The record and its rules are in `tenzij.passport`. A file that cannot be read is a fault like any other in it.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Final

from tenzij.passport import BadPassport, Passport, passport_from_tree

MAX_PASSPORT_BYTES: Final = 1024 * 1024
DEFAULT_PASSPORT: Final = "smollm2-135m-instruct.toml"


def passport_from_text(text: str) -> Passport:
    """The passport that `text` (TOML) states. Raises BadPassport with all faults."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPassport([f"the whole: is not TOML: {error}"]) from None
    except RecursionError:
        raise BadPassport(["the whole: is nested too deep"]) from None
    return passport_from_tree(tree)


def passport_from_file(path: Path) -> Passport:
    """The passport in `path`. Raises BadPassport with all faults."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PASSPORT_BYTES + 1)
    except OSError as error:
        raise BadPassport([f"the whole: {path} cannot be read: {error.strerror}"]) from None
    if len(content) > MAX_PASSPORT_BYTES:
        raise BadPassport([f"the whole: is larger than {MAX_PASSPORT_BYTES} bytes"])
    try:
        return passport_from_text(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadPassport(["the whole: is not UTF-8 text"]) from None


def default_passport() -> Passport:
    """The passport of the model that `scripts/default-model` fetches."""
    shipped = resources.files("tenzij.engines").joinpath("passports", DEFAULT_PASSPORT)
    return passport_from_text(shipped.read_text("utf-8"))
