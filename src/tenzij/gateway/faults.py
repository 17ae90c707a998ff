"""What goes wrong, as a client is told it: status, code, sentences; from an error of ours or a refusal by the policy.

- OpenAI's error object: `{"error": {"message", "type", "param", "code"}}`; a refusal adds the Dutch sentence as `nl`.
- A refusal's code is the rule's name, but for a model that does not exist: OpenAI's clients know that as
  `model_not_found`.
- Only our own errors have sentences. Anything else becomes `INTERNAL`, which says nothing about itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tenzij.errors import TenzijError
from tenzij.gateway.refusals import MethodNotAllowed
from tenzij.policy.decision import Refused
from tenzij.policy.sentences import sentence

# What the request itself got wrong is 400, as OpenAI answers it; everything else that a rule refuses is 403.
_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "model_unknown": 404,
        "capability_not_supported": 400,
        "task_not_supported": 400,
        "use_case_not_chosen": 400,
        "no_policy": 503,
        "rules_unknown": 503,
    }
)
_CODE: Mapping[str, str] = MappingProxyType({"model_unknown": "model_not_found", "no_policy": "policy_unavailable"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure, ready to be told."""

    status: int
    code: str
    message: str
    param: str | None = None
    dutch: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def tree(self) -> dict[str, object]:
        """OpenAI's error object."""
        shown: dict[str, object] = {
            "message": self.message,
            "type": type_of_status(self.status),
            "param": self.param,
            "code": self.code,
        }
        if self.dutch is not None:
            shown["nl"] = self.dutch
        return {"error": shown}


INTERNAL = Fault(
    500,
    "internal_error",
    "Something went wrong here, and not through your request. Try again; if it stays, tell who runs this machine.",
)


def fault_from_error(error: BaseException) -> Fault:
    """What a client is told about `error`; `INTERNAL` unless it is one of ours."""
    if not isinstance(error, TenzijError):
        return INTERNAL
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    return Fault(error.status, error.code, error.message, error.param, headers=tuple(headers))


def fault_from_refusal(refusal: Refused) -> Fault:
    """What a client is told when the policy says no."""
    param = "model" if refusal.rule.startswith("model_") else None
    return Fault(
        status=_STATUS.get(refusal.rule, 403),
        code=_CODE.get(refusal.rule, refusal.rule),
        message=sentence(refusal, "en"),
        param=param,
        dutch=sentence(refusal, "nl"),
    )


def type_of_status(status: int) -> str:
    """OpenAI's family of errors for an HTTP status."""
    if status >= 500:
        return "server_error"
    families = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return families.get(status, "invalid_request_error")
