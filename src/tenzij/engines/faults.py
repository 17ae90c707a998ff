"""What can go wrong with an engine, each with its status and stable code; whose fault it is shows in the base.

Sentences are ours. What an engine says is looked at to tell one fault from another and is never passed on: llama.cpp
quotes pieces of the caller's JSON, schema and roles in what it says.
"""

from __future__ import annotations

from tenzij.errors import CallerError, EngineError


class EngineUnreachable(EngineError):
    """No connection, or one that broke before an answer began."""

    status = 503
    code = "engine_unavailable"

    def __init__(self) -> None:
        super().__init__("The model's engine cannot be reached now. Try again in a moment.", retry_after_s=2)


class BrokenAnswer(EngineError):
    """The answer stopped before its end, or is not what an engine may send."""

    def __init__(self, what: str = "The model's engine stopped in the middle of its answer.") -> None:
        super().__init__(f"{what} Try again; if it happens again, tell who runs this machine.")


class EngineFailed(EngineError):
    """The engine refused a request that was written for it, or failed at it."""

    def __init__(self) -> None:
        super().__init__("The model's engine failed at this request. Try again, or tell who runs this machine.")


class ContextTooLong(CallerError):
    """The prompt does not fit."""

    code = "context_length_exceeded"

    def __init__(self, limit: int | None, counted: int | None, param: str) -> None:
        holds = f"This model's context holds {limit} tokens" if limit else "The text does not fit this model's context"
        given = f"; the request has {counted}" if limit and counted else ""
        super().__init__(f"{holds}{given}. Send less text.", param=param)


class UnfollowableSchema(CallerError):
    """A JSON schema that the engine cannot hold an answer to, exactly."""

    code = "invalid_json_schema"

    def __init__(self, rule: str) -> None:
        super().__init__(f"The JSON schema cannot be followed: {rule}.", param="response_format")


class UnusableMessages(CallerError):
    """Messages that the model's chat template has no form for."""

    code = "invalid_messages"

    def __init__(self) -> None:
        super().__init__(
            "The model has no form for these messages. Send an optional system message first, then user and assistant "
            "messages in turn, the last from the user.",
            param="messages",
        )


class UnusablePrompt(CallerError):
    """A prompt without any token."""

    code = "invalid_prompt"

    def __init__(self) -> None:
        super().__init__("The prompt is empty. Send some text.", param="prompt")
