"""POST /v1/chat/completions: JSON tree -> what is asked, or a CallerError.

- A message is a role and a text. "developer" is OpenAI's newer word for "system". A list of text parts is joined by
  newlines, as llama.cpp and vLLM do.
- What is not text is refused by a code of its own, and an address is never fetched.
- An answer of ours may be sent back as it came (`message.model_dump()`): its nulls and empty lists mean nothing.

OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from typing import Any

from tenzij.engines.protocol import Generation, Message
from tenzij.errors import CallerError
from tenzij.gateway import sampling
from tenzij.gateway.asked import Asked
from tenzij.gateway.fields import Fields
from tenzij.gateway.refusals import (
    AudioNotSupported,
    FilesNotSupported,
    ImagesNotSupported,
    ToolsNotSupported,
    UnsupportedContent,
    UnsupportedParameter,
)
from tenzij.gateway.response_format import response_format_from
from tenzij.types import Capability, Task

KNOWN = sampling.KNOWN | {
    "function_call", "functions", "max_completion_tokens", "messages", "response_format", "store", "tool_choice",
    "tools", "top_logprobs",
}  # fmt: skip
UNSUPPORTED = frozenset(
    {
        "audio", "logit_bias", "metadata", "modalities", "moderation", "parallel_tool_calls", "prediction",
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning", "reasoning_effort",
        "safety_identifier", "service_tier", "verbosity", "web_search_options",
    }
)  # fmt: skip
MAX_MESSAGES = 2048

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TOOL_ROLES = frozenset({"tool", "function"})
_MESSAGE_KNOWN = frozenset({"role", "content", "tool_calls", "function_call", "annotations"})
_MESSAGE_UNSUPPORTED = frozenset({"name", "refusal", "audio", "tool_call_id", "reasoning_content", "weight"})
_PARTS: dict[str, tuple[type[CallerError], str]] = {
    "image_url": (ImagesNotSupported, "a picture"),
    "input_image": (ImagesNotSupported, "a picture"),
    "input_audio": (AudioNotSupported, "sound"),
    "file": (FilesNotSupported, "a file"),
    "input_file": (FilesNotSupported, "a file"),
}


def asked_from_chat(tree: Any) -> Asked:
    """What a chat request asks. Raises CallerError."""
    fields = Fields(tree, known=KNOWN, unsupported=UNSUPPORTED)
    _verify_no_tools(fields)
    if fields.flag("store"):
        raise UnsupportedParameter("store can only be false: nothing is stored here.", param="store")
    sampling.verify_user(fields)
    sampling.verify_one_answer(fields)
    messages = _messages_from(fields)
    shape = response_format_from(fields)
    delivery = sampling.delivery_from(fields)
    return Asked(
        task=Task.CHAT,
        model=sampling.model_from(fields),
        prompt_bytes=sum(len(message.content.encode()) + 16 for message in messages),
        needs=frozenset({Capability.STRUCTURED}) if shape else frozenset(),
        stream=delivery.stream,
        include_usage=delivery.include_usage,
        generation=Generation(
            task=Task.CHAT,
            messages=messages,
            max_tokens=_max_tokens_from(fields),
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1),
            seed=fields.integer("seed", 0, sampling.MAX_SEED),
            stop=sampling.stops_from(fields),
            frequency_penalty=fields.number("frequency_penalty", -2, 2),
            presence_penalty=fields.number("presence_penalty", -2, 2),
            logprobs=_logprobs_from(fields),
            response_format=shape,
        ),
    )


def _verify_no_tools(fields: Fields) -> None:
    for name in ("tools", "functions"):
        if fields.has(name) and fields.value(name) != []:
            raise ToolsNotSupported(f"{name} is not supported by the models here. Leave it out.", param=name)
    for name in ("tool_choice", "function_call"):
        if fields.has(name) and fields.value(name) != "none":
            raise ToolsNotSupported(f'{name} can only be "none": there are no tools.', param=name)


def _max_tokens_from(fields: Fields) -> int | None:
    older = fields.integer("max_tokens", 1, sampling.MAX_TOKENS)
    newer = fields.integer("max_completion_tokens", 1, sampling.MAX_TOKENS)
    if older is not None and newer is not None and older != newer:
        raise fields.fault("max_tokens", "differs from max_completion_tokens; send one of them")
    return newer if older is None else older


def _logprobs_from(fields: Fields) -> int | None:
    wanted = fields.flag("logprobs") or False
    alternatives = fields.integer("top_logprobs", 0, 20)
    if alternatives is not None and not wanted:
        raise fields.fault("top_logprobs", "goes only with logprobs set to true")
    return (alternatives or 0) if wanted else None


def _messages_from(fields: Fields) -> tuple[Message, ...]:
    given = fields.required("messages")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_MESSAGES:
        raise fields.fault("messages", f"must be a list of 1 to {MAX_MESSAGES} messages")
    return tuple(_message_from(message, f"messages[{index}].") for index, message in enumerate(given))


def _message_from(tree: Any, path: str) -> Message:
    fields = Fields(tree, path, known=_MESSAGE_KNOWN, unsupported=_MESSAGE_UNSUPPORTED)
    role = fields.required("role")
    if isinstance(role, str) and role in _TOOL_ROLES:
        raise ToolsNotSupported(
            f"{path}role: messages of tools are not supported by the models here.", param=path + "role"
        )
    if not isinstance(role, str) or role not in _ROLES:
        raise fields.fault("role", 'must be "system", "developer", "user" or "assistant"')
    for name in ("tool_calls", "function_call", "annotations"):
        if fields.has(name) and fields.value(name) != []:
            raise ToolsNotSupported(f"{path}{name} is not supported by the models here.", param=path + name)
    return Message(_ROLES[role], _content_from(fields))


def _content_from(fields: Fields) -> str:
    content = fields.required("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise fields.fault("content", "must be a string or a list of text parts")
    path = fields.path + "content"
    return "\n".join(_text_from_part(part, f"{path}[{index}].") for index, part in enumerate(content))


def _text_from_part(part: Any, path: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in _PARTS:
        error, what = _PARTS[kind]
        raise error(f"{path}type: {what} is not supported by the models here; send text.", param=path + "type")
    if kind != "text":
        raise UnsupportedContent(f'{path}type must be "text".', param=path + "type")
    fields = Fields(part, path, known={"type", "text"}, unsupported={"cache_control", "prompt_cache_breakpoint"})
    text = fields.required("text")
    if not isinstance(text, str):
        raise fields.fault("text", "must be a string")
    return text
