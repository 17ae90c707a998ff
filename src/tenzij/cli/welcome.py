"""What a person reads when the platform is ready: the address, the key (once), a line to paste, and what holds."""

from __future__ import annotations

import json

from tenzij.cli.first_start import KEY_DAYS, USE_CASE, Welcome
from tenzij.cli.output import day

NOTHING_LEAVES = "No process that sees a question has a network: nothing can leave this machine."
_ANY_KEY = "YOUR_KEY"


def welcome_text(url: str, welcome: Welcome, ready: list[str], *, confined: bool, command: str = "tenzij") -> str:
    """The whole text.

    `ready` are the models that answer; `confined` is False only in an unsafe start; `command` is how to call tenzij.
    """
    parts = ["", f"Ready. Address (base_url):  {url}/v1", ""]
    if welcome.key:
        parts += [
            f"Your key, shown this once; for use case {USE_CASE}, from this machine only, {KEY_DAYS} days:",
            "",
            f"    {welcome.key}",
            "",
        ]
    elif welcome.key_until_ms:
        parts += [
            f"The key that the first start showed works until {day(welcome.key_until_ms)}.",
            f"Another: {command} key create NAME",
            "",
        ]
    else:
        parts += [f"Make a key: {command} key create NAME", ""]
    if ready:
        parts += ["Try it:", "", _curl(url, welcome.key or _ANY_KEY, ready[0]), ""]
    elif welcome.models:
        parts += ["No model is ready: the lines above say why.", ""]
    else:
        parts += [f"There is no model yet: {command} model add FILE --passport PASSPORT (docs/models.md).", ""]
    parts.append(NOTHING_LEAVES if confined else "UNSAFE: the processes are not confined; anything could leave.")
    parts.append("Ctrl-C stops everything.")
    return "\n".join(parts)


def _curl(url: str, key: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    return (
        f"    curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\\n"
        f"      -H 'Content-Type: application/json' \\\n"
        f"      -d '{json.dumps(body)}'"
    )
