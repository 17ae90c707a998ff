"""Why a key gives no entrance: one class for each stable code, with the sentence that says what to do.

- Nothing of what was presented is quoted.
- 401: another key would help. 403: the key is good, the place is not.
"""

from __future__ import annotations

from typing import ClassVar

from tenzij.errors import CallerError


class KeyRefused(CallerError):
    """Base of what follows; each subclass fixes `sentence`."""

    status = 401
    code = "invalid_api_key"
    sentence: ClassVar[str] = "The API key is not accepted."

    def __init__(self) -> None:
        super().__init__(self.sentence)


class MissingKey(KeyRefused):
    """No key was presented, or not in the way that we take one."""

    code = "missing_api_key"
    sentence = (
        "No API key was sent. Send it in the header `Authorization: Bearer tenzij_…`; whoever runs this platform "
        "makes one with `tenzij key create`."
    )


class UnknownKey(KeyRefused):
    """Not a key of ours: mistyped, made up, or of another installation."""

    sentence = (
        "This API key is not known here. Check that it was copied whole, without spaces or quotes, and that it is of "
        "this installation; `tenzij key create` makes a new one."
    )


class ExpiredKey(KeyRefused):
    """Its term is over."""

    code = "expired_api_key"
    sentence = "This API key has expired. Ask whoever runs this platform for a new one (`tenzij key create`)."


class RevokedKey(KeyRefused):
    """It was withdrawn."""

    code = "revoked_api_key"
    sentence = (
        "This API key was revoked and will not work again. Ask whoever runs this platform why, and for a new one "
        "(`tenzij key create`)."
    )


class LoopbackOnly(KeyRefused):
    """The key works from the machine itself only, and the request came from elsewhere. The gateway raises it."""

    status = 403
    code = "loopback_only_key"
    sentence = (
        "This API key works only on the machine that runs the platform. Ask for a key without `--loopback-only` to "
        "use it from elsewhere."
    )
