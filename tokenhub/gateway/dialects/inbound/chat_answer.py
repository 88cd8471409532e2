"""Answers in the shape of chat completions, whole and in chunks.

Source: OpenAI's chat completions reference. ``reasoning_content`` is how DeepSeek, Qwen and others
show thinking; ``thinking_blocks`` hands out the sealed blocks that Anthropic wants back with tools.
"""

import time
from typing import Any

import msgspec

from tokenhub.gateway.dialects.answer import (
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
    openai_usage,
)
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.sse import DONE, frame
from tokenhub.gateway.errors import GatewayError


def render(said: Said, request: TextRequest, public_model: str) -> bytes:
    """A whole answer."""
    texts = [block.text for block in said.blocks if isinstance(block, Text)]
    refusals = [block.text for block in said.blocks if isinstance(block, Refusal)]
    thoughts = [block for block in said.blocks if isinstance(block, Thinking | Redacted)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) or None,
        "refusal": "".join(refusals) or None,
    }
    thinking = "".join(block.text for block in thoughts if isinstance(block, Thinking))
    if thinking:
        message["reasoning_content"] = thinking
    sealed = [_sealed(block) for block in thoughts if not _unsigned(block)]
    if sealed:
        message["thinking_blocks"] = sealed
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": block.arguments},
        }
        for block in said.blocks
        if isinstance(block, ToolUse)
    ]
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": said.ending.finish,
    }
    return msgspec.json.encode(
        {
            "id": f"chatcmpl-{request.id.hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": public_model,
            "choices": [choice],
            "usage": openai_usage(said.ending.units),
        }
    )


def _unsigned(block: Thinking | Redacted) -> bool:
    return isinstance(block, Thinking) and not block.signature


def _sealed(block: Thinking | Redacted) -> dict[str, str]:
    if isinstance(block, Redacted):
        return {"type": "redacted_thinking", "data": block.data}
    return {"type": "thinking", "thinking": block.text, "signature": block.signature}


class Writer:
    """A streamed answer in chunks."""

    def __init__(self, request: TextRequest, public_model: str) -> None:
        self._include_usage = request.include_usage
        self._head = {
            "id": f"chatcmpl-{request.id.hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": public_model,
        }
        self._begun = False
        self._thinking: list[str] = []

    def write(self, event: Event) -> bytes:
        """The frames of one event."""
        delta = self._delta(event)
        if delta is None:
            return b""
        first = b"" if self._begun else self._chunk({"role": "assistant", "content": ""})
        self._begun = True
        return first + self._chunk(delta)

    def end(self, ending: Ending, cost_usd: str) -> bytes:
        """The finish reason, the usage where it was asked for, and the terminal event."""
        frames = self._chunk({}, ending.finish)
        if self._include_usage:
            usage = {**openai_usage(ending.units), "cost_usd": cost_usd}
            frames += frame(msgspec.json.encode({**self._head, "choices": [], "usage": usage}))
        return frames + DONE

    def fault(self, error: GatewayError) -> bytes:
        """A chunk that is valid but for its ``error``: clients raise it."""
        return fault_chunk(self._head, error)

    def _delta(self, event: Event) -> dict[str, Any] | None:
        match event:
            case TextPiece(text):
                return {"content": text}
            case ThinkingPiece(text):
                self._thinking.append(text)
                return {"reasoning_content": text}
            case RefusalPiece(text):
                return {"refusal": text}
            case Signature(signature):
                block = _sealed(Thinking("".join(self._thinking), signature))
                self._thinking = []
                return {"thinking_blocks": [block]}
            case Redacted():
                return {"thinking_blocks": [_sealed(event)]}
            case ToolBegan(index, id_, name):
                function = {"name": name, "arguments": ""}
                call = {"index": index, "id": id_, "type": "function", "function": function}
                return {"tool_calls": [call]}
            case ToolPiece(index, arguments):
                return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return frame(msgspec.json.encode(chunk))


def fault_chunk(head: dict[str, Any], error: GatewayError) -> bytes:
    """A chunk with an ``error`` at its top."""
    said = msgspec.json.decode(error.body())
    return frame(msgspec.json.encode({**head, "choices": [], **said}))
