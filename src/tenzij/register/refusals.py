"""What the register says no to: verbs that cannot be done, and starts that must not be.

- `RegisterFailed` ends a start; its `final` says that trying again cannot help. All others answer one verb.
- Sentences name what to do, and ids; never a key, a pepper or a stored value.
"""

from __future__ import annotations

from tenzij.errors import CallerError, OperatorError, PlatformError


class RegisterFailed(OperatorError):
    """The register cannot start on this folder. `reason_code` is stable."""

    code = "register_failed"

    def __init__(self, reason_code: str, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.reason_code = reason_code
        self.final = final


class StorageFailed(PlatformError):
    """The database would not store or read; nothing was changed."""

    code = "register_storage"


class BadCall(CallerError):
    """No such verb, or arguments that are not the verb's."""

    code = "bad_call"


class NotFound(CallerError):
    """No such key, model or use case."""

    status = 404
    code = "not_found"


class NameTaken(CallerError):
    """A live key has that name."""

    status = 409
    code = "name_taken"


class ModelExists(CallerError):
    """A model of that id is admitted, with other weights."""

    status = 409
    code = "model_exists"


class TooMany(CallerError):
    """More of these than the register keeps."""

    status = 409
    code = "too_many"
