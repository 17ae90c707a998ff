"""Everything that can go wrong, in families by whose fault it is.

- Each error knows its HTTP status, a stable code, and one sentence for a person that says what to do.
- A sentence never quotes what the caller or an engine sent: it names the field and the rule.
- A subclass fixes `status` and `code`; the message comes with the instance.
"""

from __future__ import annotations

from typing import ClassVar


class TenzijError(Exception):
    """Base of all our errors. `str(error)` is the sentence."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param  # the request's field at fault, as OpenAI's `error.param`
        self.retry_after_s = retry_after_s  # sent as `Retry-After` where set


class CallerError(TenzijError):
    """The caller can mend it by sending something else (4xx)."""

    status = 400
    code = "invalid_request"


class EngineError(TenzijError):
    """The engine failed, is not ready, or sent what it should not (502, 503, 504)."""

    status = 502
    code = "engine_error"


class OperatorError(TenzijError):
    """Whoever runs the machine can mend it: configuration, files, the platform's own requirements."""

    status = 503
    code = "operator_error"


class PlatformError(TenzijError):
    """Our own fault, or a part of the platform that is missing: closed until it is back."""

    status = 503
    code = "platform_unavailable"
    # 503 by default: most of these are a process that is restarting.


class LedgerUnavailable(PlatformError):
    """The ledger cannot record now, so nothing may happen (promise 6)."""

    code = "ledger_unavailable"


class PolicyUnavailable(PlatformError):
    """There is no valid, current policy version, so everything is refused (promise 7)."""

    code = "policy_unavailable"
