"""``POST /v1/chat/completions`` as clients send it: parsed, checked, and kept as raw JSON where it passes through."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import (
    check_model,
    read_object,
    take,
    take_model,
    take_routing,
)
from tokenhub.gateway.dialects.request import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    TextRequest,
    check_max_tokens,
    conversation_of,
    take_max_tokens,
)
from tokenhub.gateway.errors import InvalidRequest

MAX_CHOICES = 128

_NULL = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = _NULL
    name: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    tool_calls: msgspec.Raw = _NULL
    tool_call_id: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    thinking_blocks: msgspec.Raw = _NULL

    def size(self) -> int:
        """The bytes of everything in it that becomes prompt."""
        prompt = (
            self.content, self.name, self.reasoning_content, self.tool_calls, self.tool_call_id,
            self.function_call, self.thinking_blocks,
        )  # fmt: skip
        return len(b"".join(prompt)) - _ABSENT


# Six fields that are mostly absent, each counted as the four bytes of ``null``.
_ABSENT = 6 * len(b"null")
# What else of a request becomes prompt.
_PROMPT_FIELDS = ("tools", "functions", "response_format", "prediction")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class _ResponseFormat(msgspec.Struct):
    type: str = "text"


class _Known(msgspec.Struct):
    """What is read of a request; the rest passes."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    response_format: _ResponseFormat | None = None
    tools: list[msgspec.Raw] | None = None
    prompt_cache_key: str | None = None


_known = msgspec.json.Decoder(_Known)
_messages = msgspec.json.Decoder(list[_Message])


def parse(body: bytes, session_id: str) -> TextRequest:
    """Read a chat request; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    try:
        known = _known.decode(body)
    except (msgspec.DecodeError, RecursionError):
        known = _read_carefully(fields)
    messages, choices = known.messages, known.n
    check_model(known.model)
    if not messages:
        raise InvalidRequest("“messages” must have at least one message.", param="messages")
    if choices is not None and not 1 <= choices <= MAX_CHOICES:
        raise InvalidRequest(f"“n” must be between 1 and {MAX_CHOICES}.", param="n")
    limit_name, limit = "max_tokens", known.max_tokens
    if known.max_completion_tokens is not None:
        limit_name, limit = "max_completion_tokens", known.max_completion_tokens
    check_max_tokens(limit_name, limit)
    images = 0
    for message in messages:
        content = bytes(message.content)
        if content.startswith(b"["):
            images += (content.count(b'"image_url"') + 1) // 2
    options, boundaries = take_routing(fields)
    return TextRequest(
        shape="openai",
        fields=fields,
        chat=chat_form,
        model=known.model,
        stream=known.stream or False,
        include_usage=bool(known.stream_options and known.stream_options.include_usage),
        choices=choices or 1,
        max_tokens=limit,
        max_tokens_field=limit_name,
        capabilities=_capabilities(known, fields, images),
        conversation=conversation_of(session_id, known.prompt_cache_key, _beginning(messages)),
        input_bound=_input_bound(fields, messages, images),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


def _read_carefully(fields: Fields) -> _Known:
    """Field by field, so that a refusal names the one that is wrong; one that does not count may be wrong."""
    model = take_model(fields)
    messages = _read_messages(fields)
    _, limit = take_max_tokens(fields, "max_completion_tokens", "max_tokens")
    return _Known(
        model=model,
        messages=messages,
        stream=take(fields, "stream", bool),
        stream_options=take(fields, "stream_options", _StreamOptions),
        n=take(fields, "n", int),
        max_completion_tokens=take(fields, "max_completion_tokens", int),
        max_tokens=limit,
        response_format=take(fields, "response_format", _ResponseFormat),
        tools=take(fields, "tools", list[msgspec.Raw]),
        prompt_cache_key=take(fields, "prompt_cache_key", str),
    )


def _capabilities(known: _Known, fields: Fields, images: int) -> frozenset[str]:
    """What the request needs of a model."""
    needed = []
    if known.tools or "functions" in fields:
        needed.append("tools")
    if known.response_format is not None and known.response_format.type != "text":
        needed.append("json")
    if images:
        needed.append("vision")
    return frozenset(needed)


def chat_form(request: TextRequest) -> dict[str, Any]:
    """A chat request in its own words, decoded."""
    return {name: msgspec.json.decode(raw) for name, raw in request.fields.items()}


def _input_bound(fields: Fields, messages: list[_Message], images: int) -> int:
    """An upper bound of prompt tokens: no tokenizer makes more tokens of a text than it has bytes."""
    text = sum([message.size() for message in messages])
    for name in _PROMPT_FIELDS:
        if name in fields:
            text += len(bytes(fields[name]))
    return text + MESSAGE_TOKENS * len(messages) + IMAGE_TOKENS * images


def _read_messages(fields: Fields) -> list[_Message]:
    raw = fields.get("messages")
    if raw is None:
        raise InvalidRequest("“messages” is missing.", param="messages")
    try:
        messages = _messages.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"“messages”: {error}.", param="messages") from None
    return messages


def _beginning(messages: list[_Message]) -> Iterator[bytes]:
    """What a conversation keeps from turn to turn: the system's words and the user's first."""
    for message in messages:
        if message.role in ("system", "developer"):
            yield bytes(message.content)
        elif message.role == "user":
            yield bytes(message.content)
            return
