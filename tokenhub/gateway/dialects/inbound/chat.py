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
    TextRequest,
    begins_with,
    bound_of,
    check_max_tokens,
    conversation_of,
    take_max_tokens,
)
from tokenhub.gateway.errors import InvalidRequest

MAX_CHOICES = 128

_NULL = msgspec.Raw(b"null")
# How content begins that is text, or absent.
_PLAIN = (b'"', b"n")
# What a provider would do for a price of its own, which no offering lists, or would keep; and the values that do not
# ask for it.
_REFUSED = frozenset(
    {"web_search_options", "search_parameters", "enable_search", "search_options", "plugins", "audio", "modalities",
     "store"}
)  # fmt: skip
_NOT_ASKED: tuple[Any, ...] = (None, False, [], {}, ["text"])
_PARTS = frozenset({"text", "refusal", "thinking", "redacted_thinking", "image_url", "file"})
_TOOLS = ("function", "custom")


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = _NULL


class _File(msgspec.Struct):
    file_id: str | None = None


class _Part(msgspec.Struct):
    type: str
    file: _File | None = None


class _Tool(msgspec.Struct):
    type: str = "function"


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
    tools: list[_Tool] | None = None
    prompt_cache_key: str | None = None


_known = msgspec.json.Decoder(_Known)
_messages = msgspec.json.Decoder(list[_Message])
_parts = msgspec.json.Decoder(list[_Part])


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
    if not _REFUSED.isdisjoint(fields):
        _check_refused(fields)
    for number, tool in enumerate(known.tools or ()):
        if tool.type not in _TOOLS:
            raise InvalidRequest(
                f"“tools[{number}].type”: only functions are offered here, not {tool.type[:60]!r}.",
                param=f"tools[{number}].type",
            )
    pictures, files = _attached(messages)
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
        capabilities=_capabilities(known, fields, pictures),
        conversation=conversation_of(session_id, known.prompt_cache_key, _beginning(messages)),
        input_bound=bound_of(fields, pictures=pictures, files=files),
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
        tools=take(fields, "tools", list[_Tool]),
        prompt_cache_key=take(fields, "prompt_cache_key", str),
    )


def _attached(messages: list[_Message]) -> tuple[int, int]:
    """How many pictures and files come with the messages; ``InvalidRequest`` for a part that is neither nor text."""
    pictures = files = 0
    for number, message in enumerate(messages):
        if begins_with(message.content) in _PLAIN:
            continue
        where = f"messages[{number}].content"
        try:
            parts = _parts.decode(message.content)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest(
                f"“{where}” must be text or a list of parts, each with its “type”.", param=where
            ) from None
        for place, part in enumerate(parts):
            if part.type not in _PARTS:
                raise InvalidRequest(
                    f"“{where}[{place}].type”: parts of type {part.type[:60]!r} are not offered here.",
                    param=f"{where}[{place}].type",
                )
            if part.file is not None and part.file.file_id:
                raise InvalidRequest(
                    f"“{where}[{place}]”: no files are stored here; send the content itself, as “file_data”.",
                    param=f"{where}[{place}].file.file_id",
                )
            pictures += part.type == "image_url"
            files += part.type == "file"
    return pictures, files


def _check_refused(fields: Fields) -> None:
    for name in sorted(_REFUSED.intersection(fields)):
        if take(fields, name, Any) in _NOT_ASKED:
            continue
        if name == "store":
            raise InvalidRequest(
                "“store”: nothing is stored here, and no provider is asked to.", param=name
            )
        raise InvalidRequest(
            f"“{name}” is not offered here: it would come with a price of its own.", param=name
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
