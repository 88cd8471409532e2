"""Anthropic's wire format: Messages."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tokenhub.stack.providers.text import Reply, Tool, Wishes, reply, text_of

STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class _Request(msgspec.Struct):
    model: str
    max_tokens: int
    messages: list[dict[str, Any]]
    system: Any = None
    stream: bool = False
    tools: list[dict[str, Any]] = []
    tool_choice: dict[str, Any] = {}
    output_config: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Request)


def parse(body: bytes) -> _Request:
    """A Messages request; msgspec's errors say what is wrong with it."""
    request = _decoder.decode(body)
    if not request.messages:
        raise msgspec.ValidationError("messages: at least one message is required")
    return request


def message_reply(request: _Request) -> Reply:
    """What is answered."""
    texts = [text_of(message.get("content")) for message in request.messages]
    users = [
        text
        for message, text in zip(request.messages, texts, strict=True)
        if message.get("role") == "user"
    ]
    return reply(
        text_of(request.system) + "".join(texts),
        users[-1] if users else "",
        len(texts),
        _wishes(request),
    )


def _wishes(request: _Request) -> Wishes:
    choice = request.tool_choice.get("type", "auto")
    tools = [Tool(str(tool.get("name")), tool.get("input_schema")) for tool in request.tools]
    if choice == "tool":
        tools = [tool for tool in tools if tool.name == request.tool_choice.get("name")]
    if choice in ("any", "tool") and not tools:
        raise ValueError("tool_choice: there is no such tool")
    output = request.output_config.get("format")
    return Wishes(
        limit=request.max_tokens,
        tools=[] if choice == "none" else tools,
        must_call=choice in ("any", "tool"),
        as_json=output is not None,
        schema=(output or {}).get("schema"),
    )


def usage(made: Reply) -> dict[str, Any]:
    """The exact usage of a reply: input without what the cache had."""
    return {
        "input_tokens": made.prompt_tokens - made.cached_tokens - made.written_tokens,
        "cache_creation_input_tokens": made.written_tokens,
        "cache_read_input_tokens": made.cached_tokens,
        "output_tokens": made.completion_tokens,
    }


def _blocks(made: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if made.reasoning:
        blocks.append({"type": "thinking", "thinking": "".join(made.reasoning), "signature": "sim"})
    if made.pieces:
        blocks.append({"type": "text", "text": "".join(made.pieces)})
    for index, (name, arguments) in enumerate(made.tools):
        given = msgspec.json.decode(arguments)
        blocks.append({"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": given})
    return blocks


def message(request: _Request, made: Reply, used: Any, call: str) -> bytes:
    """A plain answer."""
    answer = {
        "id": f"msg_{call}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": _blocks(made),
        "stop_reason": STOP[made.finish],
        "stop_sequence": None,
    }
    if used is not None:
        answer["usage"] = used
    return msgspec.json.encode(answer)


def message_events(request: _Request, made: Reply, used: Any, call: str) -> Iterator[bytes]:
    """A stream's events, one piece each."""
    start = {**(used or {}), "output_tokens": 1} if isinstance(used, dict) else used
    opening: dict[str, Any] = {
        "id": f"msg_{call}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if start is not None:
        opening["usage"] = start
    yield _event("message_start", {"message": opening})
    yield _event("ping", {})
    for index, block in enumerate(_blocks(made)):
        yield from _block_events(index, block, made)
    closing: dict[str, Any] = {"delta": {"stop_reason": STOP[made.finish], "stop_sequence": None}}
    if used is not None:
        closing["usage"] = used
    yield _event("message_delta", closing)
    yield _event("message_stop", {})


def _block_events(index: int, block: dict[str, Any], made: Reply) -> Iterator[bytes]:
    kind = block["type"]
    if kind == "text":
        empty: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in made.pieces]
    elif kind == "thinking":
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in made.reasoning]
    else:
        empty = {**block, "input": {}}
        given = msgspec.json.encode(block["input"]).decode()
        deltas = [
            {"type": "input_json_delta", "partial_json": given[start : start + 8]}
            for start in range(0, len(given), 8)
        ]
    yield _event("content_block_start", {"index": index, "content_block": empty})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        msgspec.json.encode({"type": name} | fields),
    )


def error(status: int, message: str) -> bytes:
    """Anthropic's error shape."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
    kind = kinds.get(status, "api_error" if status < 529 else "overloaded_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
