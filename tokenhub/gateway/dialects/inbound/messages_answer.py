"""Answers in the shape of Anthropic's Messages, whole and as events.

Source: Anthropic's Messages API reference, "Streaming messages".
"""

from typing import Any

import msgspec

from tokenhub.gateway.dialects.answer import (
    Block,
    Ending,
    Event,
    Redacted,
    Refusal,
    RefusalPiece,
    Said,
    Signature,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegan,
    ToolPiece,
    ToolUse,
    anthropic_usage,
)
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import GatewayError, anthropic_shape

STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def render(said: Said, request: TextRequest, public_model: str) -> bytes:
    """A whole answer."""
    return msgspec.json.encode(
        {
            **_opening(request, public_model),
            "content": [_block(block) for block in said.blocks],
            **_stop(said.ending),
            "usage": anthropic_usage(said.ending.units),
        }
    )


def _opening(request: TextRequest, public_model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{request.id.hex}",
        "type": "message",
        "role": "assistant",
        "model": public_model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _stop(ending: Ending) -> dict[str, Any]:
    if ending.stop_sequence is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": ending.stop_sequence}
    return {"stop_reason": STOP.get(ending.finish, "end_turn"), "stop_sequence": None}


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case Redacted(data):
            return {"type": "redacted_thinking", "data": data}
        case ToolUse(id_, name, arguments):
            return {"type": "tool_use", "id": id_, "name": name, "input": _input(arguments)}


def _input(arguments: str) -> msgspec.Raw | dict[str, Any]:
    """What a tool is called with is an object; a model may have written something else."""
    try:
        given = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {"_arguments": arguments}
    return given if isinstance(given, dict) else {"_arguments": arguments}


class Writer:
    """A streamed answer: blocks one after the other, but for tool calls, which may overlap."""

    def __init__(self, request: TextRequest, public_model: str) -> None:
        self._opening = _opening(request, public_model)
        self._request_id = f"req_{request.id.hex}"
        self._begun = False
        self._blocks = 0
        self._open: str | None = None
        self._tools: dict[int, int] = {}

    def write(self, event: Event) -> bytes:
        """The frames of one event."""
        first = b""
        if not self._begun:
            self._begun = True
            first = event_frame("message_start", {"message": self._opening})
        return first + self._event(event)

    def end(self, ending: Ending, cost_usd: str) -> bytes:
        """The ends of all blocks, how the message ended and what it used."""
        frames = self._close()
        for index in self._tools.values():
            frames += event_frame("content_block_stop", {"index": index})
        usage = {**anthropic_usage(ending.units), "cost_usd": cost_usd}
        frames += event_frame("message_delta", {"delta": _stop(ending), "usage": usage})
        return frames + event_frame("message_stop", {})

    def fault(self, error: GatewayError) -> bytes:
        """``event: error``."""
        return fault_event(error, self._request_id)

    def _event(self, event: Event) -> bytes:
        match event:
            case TextPiece(text) | RefusalPiece(text):
                return self._in("text", {"text": ""}) + self._delta("text_delta", text=text)
            case ThinkingPiece(text):
                empty = {"thinking": "", "signature": ""}
                return self._in("thinking", empty) + self._delta("thinking_delta", thinking=text)
            case Signature(signature):
                empty = {"thinking": "", "signature": ""}
                frames = self._in("thinking", empty)
                return frames + self._delta("signature_delta", signature=signature) + self._close()
            case Redacted(data):
                frames = self._close() + self._begin("redacted_thinking", {"data": data})
                return frames + self._close()
            case ToolBegan(index, id_, name):
                frames = self._close()
                self._tools[index] = self._blocks
                frames += self._begin("tool_use", {"id": id_, "name": name, "input": {}})
                self._open = None  # closed at the end: its pieces may still come after other blocks
                return frames
            case ToolPiece(index, arguments):
                delta = {"type": "input_json_delta", "partial_json": arguments}
                fields = {"index": self._tools[index], "delta": delta}
                return event_frame("content_block_delta", fields)

    def _in(self, kind: str, empty: dict[str, Any]) -> bytes:
        return b"" if self._open == kind else self._close() + self._begin(kind, empty)

    def _begin(self, kind: str, fields: dict[str, Any]) -> bytes:
        self._open = kind
        self._blocks += 1
        block = {"type": kind, **fields}
        return event_frame(
            "content_block_start", {"index": self._blocks - 1, "content_block": block}
        )

    def _delta(self, kind: str, **fields: str) -> bytes:
        delta = {"type": kind, **fields}
        return event_frame("content_block_delta", {"index": self._blocks - 1, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event_frame("content_block_stop", {"index": self._blocks - 1})


def event_frame(name: str, fields: dict[str, Any]) -> bytes:
    """An event as Anthropic's clients expect it."""
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        msgspec.json.encode({**fields, "type": name}),
    )


def fault_event(error: GatewayError, request_id: str) -> bytes:
    """``event: error`` with the protocol's error."""
    return b"event: error\ndata: %b\n\n" % anthropic_shape(error, request_id)
