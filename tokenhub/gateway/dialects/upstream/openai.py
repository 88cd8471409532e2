"""Providers that speak OpenAI's chat completions, asked by clients of any dialect."""

from collections.abc import Mapping
from typing import Any

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects.answer import (
    Block,
    Ending,
    Event,
    Refusal,
    RefusalPiece,
    Said,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegan,
    ToolPiece,
    ToolUse,
)
from tokenhub.gateway.dialects.base import InvalidResult, checked
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.sse import EventParser, EventTooLarge

PATH = "/chat/completions"
# These refuse the older name of the limit for some models; everybody else knows it, and not all the newer.
NEW_LIMIT = frozenset({"openai", "azure"})
FINISHES = {"function_call": "tool_calls", "eos": "stop"}


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """What a provider says it used; ``prompt_tokens`` includes what was cached."""

    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    """A whole answer or a chunk of one."""

    choices: list[_Choice] = []
    id: str | None = ""
    usage: Usage | None = None
    error: Any = None


_body = msgspec.json.Decoder(_Body)


def headers(credential: str) -> Mapping[str, str]:
    """How the credential is presented."""
    return {"authorization": f"Bearer {credential}"}


def limit_field(offering: Offering, asked: str) -> str:
    """The name by which this provider knows the limit of an answer."""
    return "max_completion_tokens" if offering.provider in NEW_LIMIT else asked


def request_body(request: TextRequest, offering: Offering) -> bytes:
    """A request of another dialect as chat completions."""
    body = request.chat(request)
    body["model"] = offering.upstream_model
    body["stream"] = request.stream
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    limit = request.max_tokens
    if limit is not None:
        most = offering.max_output
        body[limit_field(offering, "max_tokens")] = min(limit, most) if most else limit
    if "reasoning" not in offering.capabilities:
        body.pop("reasoning_effort", None)
    for message in body["messages"]:
        message.pop("thinking_blocks", None)
    return msgspec.json.encode(body)


def units(usage: Usage) -> dict[str, int]:
    """Disjoint units of a usage; ``InvalidResult`` where it contradicts itself or physics."""
    cached = written = reasoning = 0
    if (prompt := usage.prompt_tokens_details) is not None:
        cached, written = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
    if (answer := usage.completion_tokens_details) is not None:
        reasoning = answer.reasoning_tokens or 0
    counts = {
        "input": usage.prompt_tokens - cached - written,
        "cached_input": cached,
        "cache_write": written,
        "output": usage.completion_tokens - reasoning,
        "reasoning": reasoning,
    }
    return checked(counts, usage.prompt_tokens)


def said(body: bytes) -> Said:
    """A whole answer; ``InvalidResult`` where it is no complete, paid-for answer."""
    try:
        body.decode()
        answer = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None
    if not answer.choices or answer.choices[0].message is None:
        raise InvalidResult("empty")
    choice, message = answer.choices[0], answer.choices[0].message
    blocks: list[Block] = []
    if message.reasoning_content or message.reasoning:
        blocks.append(Thinking(message.reasoning_content or message.reasoning or ""))
    if message.content:
        blocks.append(Text(message.content))
    if message.refusal:
        blocks.append(Refusal(message.refusal))
    for number, call in enumerate(message.tool_calls or []):
        function = call.function or _Function()
        if not function.name:
            raise InvalidResult("malformed")
        blocks.append(
            ToolUse(call.id or f"call_{number}", function.name, function.arguments or "{}")
        )
    if not blocks:
        raise InvalidResult("empty")
    if not choice.finish_reason:
        raise InvalidResult("truncated")
    if answer.usage is None:
        raise InvalidResult("no_usage")
    finish = _finish(choice.finish_reason, tools=bool(message.tool_calls))
    return Said(answer.id or "", blocks, Ending(finish, units(answer.usage)))


def _finish(finish: str, *, tools: bool) -> str:
    """OpenAI's word; some providers say ``stop`` with tool calls."""
    finish = FINISHES.get(finish, finish)
    return "tool_calls" if tools and finish == "stop" else finish


class Reader:
    """A chat stream as neutral events."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._tools: dict[int, bool] = {}
        self._done = False
        self.has_content = False

    def feed(self, data: bytes) -> list[Event]:
        """What the bytes say."""
        events: list[Event] = []
        try:
            for _, payload in self._parser.feed(data):
                if payload == b"[DONE]":
                    self._done = True
                elif not self._done:
                    payload.decode()
                    self._chunk(_body.decode(payload), events)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge):
            raise InvalidResult("malformed") from None
        return events

    def finish(self) -> Ending:
        """How it ended, once the body ended."""
        if not self.has_content:
            raise InvalidResult("empty" if self._done else "truncated")
        if self._parser.pending or self._finish is None:
            raise InvalidResult("truncated")
        if self._usage is None:
            raise InvalidResult("no_usage")
        return Ending(_finish(self._finish, tools=bool(self._tools)), units(self._usage))

    def _chunk(self, chunk: _Body, events: list[Event]) -> None:
        if chunk.error is not None:
            raise InvalidResult("error_in_stream")
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            if choice.index:
                continue
            if choice.delta is not None:
                self._delta(choice.delta, events)
            if choice.finish_reason:
                self._finish = choice.finish_reason
        self.has_content = self.has_content or bool(events)

    def _delta(self, delta: _Said, events: list[Event]) -> None:
        if delta.reasoning_content or delta.reasoning:
            events.append(ThinkingPiece(delta.reasoning_content or delta.reasoning or ""))
        if delta.content:
            events.append(TextPiece(delta.content))
        if delta.refusal:
            events.append(RefusalPiece(delta.refusal))
        for call in delta.tool_calls or []:
            self._call(call, events)

    def _call(self, call: _Call, events: list[Event]) -> None:
        function = call.function or _Function()
        # Some providers leave the index out: then an id says that another call begins.
        index = call.index
        if index is None:
            index = len(self._tools) if call.id else max(len(self._tools) - 1, 0)
        if index not in self._tools:
            if not function.name:
                raise InvalidResult("malformed")
            self._tools[index] = True
            number = list(self._tools).index(index)
            events.append(ToolBegan(number, call.id or f"call_{number}", function.name))
        if function.arguments:
            events.append(ToolPiece(list(self._tools).index(index), function.arguments))
