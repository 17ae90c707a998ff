"""What the first start prepares in the register: the default model, and one key for the person at this machine.

- The default model is admitted when its weights are there and no model ever was; withdrawn, it stays withdrawn.
- The key is random, for the use case `verkenning`, for this machine only, for seven days. It is made once: when any key
  exists, none is made, and the person is told how to make another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenzij.engines.passport import default_passport
from tenzij.passport import tree_from_passport
from tenzij.register.operator import OperatorClient

USE_CASE = "verkenning"
KEY_NAME = "eerste start"
KEY_DAYS = 7


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a person needs after a start."""

    models: tuple[str, ...]  # ids of the admitted models
    key: str | None  # shown once; None when it was made at an earlier start
    key_until_ms: int | None  # end of the first start's key, when it is still on file


def prepare(register: OperatorClient, home: Path) -> Welcome:
    """Admits the default model and makes the first key, where this is the first start."""
    if not register.call("model_known"):
        passport = default_passport()
        if (home / "models" / f"{passport.file.sha256}.gguf").is_file():
            register.call("model_add", passport=tree_from_passport(passport))
    models = tuple(model["id"] for model in register.call("model_list"))
    keys = register.call("key_list")
    if keys:
        ends = [key["expires_ms"] for key in keys if key["name"] == KEY_NAME and key["state"] == "active"]
        return Welcome(models, None, max(ends, default=None))
    made = register.call("key_create", name=KEY_NAME, use_cases=[USE_CASE], days=KEY_DAYS, loopback_only=True)
    return Welcome(models, made["key"], made["expires_ms"])
