"""The fields that chat and text completions share: how an answer is drawn, where it stops, how it is delivered."""

from __future__ import annotations

from dataclasses import dataclass

from tenzij.gateway.asked import MAX_MODEL_CHARS, MAX_USER_CHARS
from tenzij.gateway.fields import Fields
from tenzij.gateway.refusals import UnsupportedParameter
from tenzij.types import ModelId

KNOWN = frozenset(
    {
        "frequency_penalty", "logprobs", "max_tokens", "model", "n", "presence_penalty", "seed", "stop", "stream",
        "stream_options", "temperature", "top_p", "user",
    }
)  # fmt: skip

MAX_SEED = 2**32 - 2  # engines seed with 32 bits, and all ones means "choose one yourself"
MAX_TOKENS = 1_000_000
MAX_STOPS = 4
MAX_STOP_CHARS = 256


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the answer reaches the client."""

    stream: bool
    include_usage: bool


def model_from(fields: Fields) -> ModelId | None:
    """The model as named; None when the request names none."""
    named = fields.text("model", 1, MAX_MODEL_CHARS)
    return None if named is None else ModelId(named)


def verify_user(fields: Fields) -> None:
    """`user` is accepted because clients send it; it goes nowhere: a key says who asks."""
    fields.text("user", 0, MAX_USER_CHARS)


def verify_one_answer(fields: Fields) -> None:
    """Raises unless exactly one answer is asked."""
    if fields.integer("n", 1, 128) not in (None, 1):
        raise UnsupportedParameter("n can only be 1: ask again for another answer.", param="n")


def stops_from(fields: Fields) -> tuple[str, ...]:
    """The texts that end the answer."""
    value = fields.value("stop")
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(stop, str) and 1 <= len(stop) <= MAX_STOP_CHARS for stop in stops)
    ):
        rule = f"must be a string or a list of at most {MAX_STOPS}, each of 1 to {MAX_STOP_CHARS} characters"
        raise fields.fault("stop", rule)
    return tuple(stops)


def delivery_from(fields: Fields) -> Delivery:
    """Whether to stream, and with the usage at the end."""
    stream = fields.flag("stream") or False
    if not fields.has("stream_options"):
        return Delivery(stream, False)
    if not stream:
        raise fields.fault("stream_options", "goes only with stream set to true")
    options = Fields(
        fields.value("stream_options"),
        "stream_options.",
        known={"include_usage"},
        unsupported={"include_obfuscation"},
    )
    return Delivery(stream, options.flag("include_usage") or False)
