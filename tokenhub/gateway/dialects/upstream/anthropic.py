"""Providers that speak Anthropic's Messages, their answers in neutral words.

Source: Anthropic's Messages API reference (response, usage, streaming events).
"""

from collections.abc import Mapping

import msgspec

from tokenhub.gateway.dialects.answer import (
    Block,
    Ending,
    Event,
    Redacted,
    Said,
    Signature,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegan,
    ToolPiece,
    ToolUse,
)
from tokenhub.gateway.dialects.base import InvalidResult, checked
from tokenhub.gateway.dialects.sse import EventParser, EventTooLarge

PATH = "/messages"
VERSION = "2023-06-01"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
}


class _Written(msgspec.Struct):
    """What was written to the cache, by how long it stays."""

    ephemeral_1h_input_tokens: int | None = None


class Usage(msgspec.Struct):
    """What a provider says it used; its input counts are disjoint already."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _Written | None = None

    def add(self, later: "Usage | None") -> None:
        """Later counts replace earlier ones: they are cumulative."""
        for name in self.__struct_fields__:
            value = getattr(later, name, None)
            if value is not None:
                setattr(self, name, value)


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[_Block]
    id: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class StreamEvent(msgspec.Struct):
    """An event of a Messages stream, as far as anything here depends on it."""

    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Usage | None = None


_message = msgspec.json.Decoder(_Message)
decode_event = msgspec.json.Decoder(StreamEvent).decode


def headers(credential: str) -> Mapping[str, str]:
    """How the credential is presented."""
    return {"x-api-key": credential, "anthropic-version": VERSION}


def units(usage: Usage) -> dict[str, int]:
    """Disjoint units of a usage; ``InvalidResult`` where a count is missing or cannot be."""
    if usage.input_tokens is None or usage.output_tokens is None:
        raise InvalidResult("no_usage")
    for_an_hour = (usage.cache_creation and usage.cache_creation.ephemeral_1h_input_tokens) or 0
    counts = {
        "input": usage.input_tokens,
        "cached_input": usage.cache_read_input_tokens or 0,
        # Both lengths together, as Anthropic says it: more for an hour than in all is a contradiction.
        "cache_write": (usage.cache_creation_input_tokens or 0) - for_an_hour,
        "cache_write_1h": for_an_hour,
        "output": usage.output_tokens,
    }
    return checked(counts, sum(counts.values()) - counts["output"])


def read_message(body: bytes) -> tuple[_Message, dict[str, int]]:
    """A whole answer and the units it used; ``InvalidResult`` where it is not complete and paid for."""
    try:
        body.decode()
        answer = _message.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None
    if not answer.content and answer.stop_reason != "refusal":
        raise InvalidResult("empty")
    if answer.stop_reason is None:
        raise InvalidResult("truncated")
    if answer.usage is None:
        raise InvalidResult("no_usage")
    return answer, units(answer.usage)


def said(body: bytes) -> Said:
    """A whole answer in neutral words."""
    answer, counted = read_message(body)
    blocks = [block for given in answer.content if (block := _block(given)) is not None]
    finish = FINISH.get(answer.stop_reason or "", "stop")
    return Said(answer.id, blocks, Ending(finish, counted, answer.stop_sequence))


def _block(given: _Block) -> Block | None:
    match given.type:
        case "text":
            return Text(given.text)
        case "thinking":
            return Thinking(given.thinking, given.signature)
        case "redacted_thinking":
            return Redacted(given.data)
        case "tool_use":
            return ToolUse(given.id, given.name, bytes(given.input).decode())
    return None


class Reader:
    """A Messages stream as neutral events."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self._usage = Usage()
        self._stop: str | None = None
        self._stop_sequence: str | None = None
        self._tools: dict[int, int] = {}
        self._stopped = False
        self.has_content = False

    def feed(self, data: bytes) -> list[Event]:
        """What the bytes say."""
        events: list[Event] = []
        try:
            for _, payload in self._parser.feed(data):
                event = self._take(decode_event(payload))
                if event is not None:
                    events.append(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge):
            raise InvalidResult("malformed") from None
        self.has_content = self.has_content or bool(events)
        return events

    def finish(self) -> Ending:
        """How it ended, once the body ended."""
        if not self.has_content and self._stop != "refusal":
            raise InvalidResult("empty" if self._stopped else "truncated")
        if not self._stopped or self._stop is None or self._parser.pending:
            raise InvalidResult("truncated")
        finish = FINISH.get(self._stop, "stop")
        return Ending(finish, units(self._usage), self._stop_sequence)

    def _take(self, event: StreamEvent) -> Event | None:
        match event.type:
            case "message_start" if event.message is not None:
                self._usage.add(event.message.usage)
            case "content_block_start" if event.content_block is not None:
                return self._begin(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                return self._piece(event.index, event.delta)
            case "message_delta":
                self._usage.add(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self._stop = event.delta.stop_reason
                    self._stop_sequence = event.delta.stop_sequence
            case "message_stop":
                self._stopped = True
            case "error":
                raise InvalidResult("error_in_stream")
        return None

    def _begin(self, index: int, block: _Block) -> Event | None:
        if block.type == "redacted_thinking":
            return Redacted(block.data)
        if block.type != "tool_use":
            return None
        self._tools[index] = len(self._tools)
        return ToolBegan(self._tools[index], block.id, block.name)

    def _piece(self, index: int, delta: _Delta) -> Event | None:
        match delta.type:
            case "text_delta" if delta.text:
                return TextPiece(delta.text)
            case "thinking_delta" if delta.thinking:
                return ThinkingPiece(delta.thinking)
            case "signature_delta" if delta.signature:
                return Signature(delta.signature)
            case "input_json_delta" if index in self._tools and delta.partial_json:
                return ToolPiece(self._tools[index], delta.partial_json)
        return None  # citations have no place in the other dialects
