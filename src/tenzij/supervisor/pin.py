"""The register's public key, pinned at the first start: `policy.pub` below TENZIJ_HOME, 64 hex digits and a newline.

The gateway believes a policy version that this key signed. So a register whose key differs from the pinned one does not
get to start a platform: somebody replaced its folder, or the pin.
"""

from __future__ import annotations

import re
from typing import Final

from tenzij.errors import OperatorError
from tenzij.supervisor.home import Home, bad_home, replace_file

_KEY: Final = re.compile(r"[0-9a-f]{64}")
_FILE_MODE: Final = 0o644


class PolicyKeyChanged(OperatorError):
    """The register signs with another key than at the first start, or the pin cannot be read."""

    code = "policy_key_changed"


def verify_pinned(home: Home, key: object) -> str:
    """`key` (as the register says it), pinned if none was. Raises PolicyKeyChanged or BadHome."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise PolicyKeyChanged("the register does not say with which key it signs")
    pinned = _pinned(home)
    if pinned is None:
        replace_file(home.policy_key, f"{key}\n".encode(), _FILE_MODE)
    elif pinned != key:
        raise PolicyKeyChanged(
            f"the register signs with another key than the one pinned in {home.policy_key}: "
            "if its folder was made anew or put back on purpose, remove that file; if not, find out who did"
        )
    return key


def _pinned(home: Home) -> str | None:
    try:
        text = home.policy_key.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise bad_home(error, home.policy_key) from None
    if not _KEY.fullmatch(text):
        raise PolicyKeyChanged(f"{home.policy_key} does not hold a key: put it back, or remove it to pin anew")
    return text
