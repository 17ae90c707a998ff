"""What a caller can do wrong at the edge: one class for each stable code.

- Sentences come with the instance, say what to do, and never quote what the client sent: not a value, not a field's
  name that is not in our own lists.
- What the policy refuses is not here but in `verdict`.
"""

from __future__ import annotations

from typing import ClassVar

from tenzij.errors import CallerError


class InvalidJson(CallerError):
    """The body is not one strict JSON value."""

    code = "invalid_json"


class BodyTooLarge(CallerError):
    """More bytes than configured."""

    status = 413
    code = "body_too_large"


class BodyTooComplex(CallerError):
    """More values or deeper nesting than allowed."""

    code = "body_too_complex"


class BodyTimeout(CallerError):
    """The client took too long to send its body."""

    status = 408
    code = "body_timeout"


class UnsupportedEncoding(CallerError):
    """The body is compressed."""

    status = 415
    code = "unsupported_content_encoding"


class InvalidHeader(CallerError):
    """A header of ours is repeated or has a value that it cannot have."""

    code = "invalid_header"


class InvalidValue(CallerError):
    """A known field has a wrong type or is out of range."""

    code = "invalid_value"


class MissingParameter(CallerError):
    """A field that must be there is not."""

    code = "missing_required_parameter"


class UnknownParameter(CallerError):
    """A field that OpenAI's API does not have either."""

    code = "unknown_parameter"


class UnsupportedParameter(CallerError):
    """A field of OpenAI's API that does nothing here, and so is refused, never ignored."""

    code = "unsupported_parameter"


class UnsupportedContent(CallerError):
    """Content that is not text."""

    code = "unsupported_content"


class ToolsNotSupported(CallerError):
    """Tools, functions, or messages about their use."""

    code = "tools_not_supported"


class ImagesNotSupported(UnsupportedContent):
    """A picture, by value or by address."""

    code = "images_not_supported"


class AudioNotSupported(UnsupportedContent):
    """Sound."""

    code = "audio_not_supported"


class FilesNotSupported(UnsupportedContent):
    """An attached file."""

    code = "files_not_supported"


class ContextLengthExceeded(CallerError):
    """More tokens than the model's context holds."""

    code = "context_length_exceeded"


class UnknownRoute(CallerError):
    """No such path."""

    status = 404
    code = "unknown_url"


class ModelNotFound(CallerError):
    """No such model, or none that this caller may see."""

    status = 404
    code = "model_not_found"


class MethodNotAllowed(CallerError):
    """The path exists, for another method. `allow` is the header's value."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class ClientGone(Exception):
    """The client hung up while sending: nobody is left to answer. Not an error of ours, so not of that family."""

    code: ClassVar[str] = "client_gone"
