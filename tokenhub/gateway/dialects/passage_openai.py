"""Chat completions from providers that speak them too: nearly a passage, but nothing is taken on trust."""

from typing import Any

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects.base import Completion, Fields, InvalidResult
from tokenhub.gateway.dialects.inbound.chat_answer import fault_chunk
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.sse import DONE, EventParser, EventTooLarge, frame
from tokenhub.gateway.dialects.upstream.openai import Usage, limit_field, units
from tokenhub.gateway.errors import GatewayError

_NULL = msgspec.Raw(b"null")
_NOTHING = frozenset({b"null", b'""', b"[]", b"{}"})


class _Said(msgspec.Struct):
    content: msgspec.Raw = _NULL
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    refusal: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: Usage | None = None


class _ChunkChoice(msgspec.Struct):
    index: int = 0
    delta: _Said | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_ChunkChoice] = []
    usage: Usage | None = None
    error: msgspec.Raw = _NULL


class _Place(msgspec.Struct):
    index: int = 0
    finish_reason: msgspec.Raw = _NULL


class _More(msgspec.Struct):
    """What a chunk must not say for more content to pass without a closer look."""

    choices: list[_Place] = []
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_more = msgspec.json.Decoder(_More)
_answer = msgspec.json.Decoder(_Answer)
_chunk = msgspec.json.Decoder(_Chunk)
_NO_USAGE = b',"usage":null}'
_INCLUDE_USAGE = msgspec.Raw(b'{"include_usage":true}')


def request_body(request: TextRequest, offering: Offering) -> bytes:
    """The request for one offering: its own name for the model, usage always asked for."""
    fields: Fields = dict(request.fields)
    fields["model"] = msgspec.Raw(msgspec.json.encode(offering.upstream_model))
    # A tier of service has a price of its own; what is sold here is the standard one.
    fields.pop("service_tier", None)
    if request.stream:
        fields["stream_options"] = _INCLUDE_USAGE
    else:
        fields.pop("stream_options", None)
    if request.max_tokens is not None:
        most = offering.max_output
        limit = fields.pop(request.max_tokens_field)
        if most is not None and request.max_tokens > most:
            limit = msgspec.Raw(str(most).encode())
        fields.pop("max_tokens", None)
        fields[limit_field(offering, "max_tokens")] = limit
    return msgspec.json.encode(fields)


def completion(body: bytes, _request: TextRequest, public_model: str) -> Completion:
    """A plain answer for the client; ``InvalidResult`` where it is no complete, paid-for answer."""
    try:
        body.decode()
        answer = _answer.decode(body)
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None
    if not answer.choices:
        raise InvalidResult("empty")
    for choice in answer.choices:
        if not _says_something(choice.message):
            raise InvalidResult("empty")
    for choice in answer.choices:
        if not choice.finish_reason:
            raise InvalidResult("truncated")
    if answer.usage is None:
        raise InvalidResult("no_usage")
    counted = units(answer.usage)
    fields["model"] = msgspec.Raw(msgspec.json.encode(public_model))
    return Completion(msgspec.json.encode(fields), counted)


class Relay:
    """A provider's chat stream on its way to the client.

    Content goes out as it comes. From a choice's ``finish_reason`` on, its frames are held back:
    they are the end of the answer, and leave only when the answer is paid for.
    """

    def __init__(self, request: TextRequest, public_model: str) -> None:
        self._model = msgspec.Raw(msgspec.json.encode(public_model))
        self._include_usage = request.include_usage
        self._parser = EventParser()
        self._held: list[bytes] = []
        self._finished: set[int] = set()
        self._seen: set[int] = set()
        self._usage: Usage | None = None
        self._usage_fields: Fields | None = None
        self._head: Fields = {}
        self._done = False
        self.has_content = False
        self._theirs = self._ours = b""
        """How the stream's chunks begin, up to the model's name: the provider's beginning and ours."""

    def feed(self, data: bytes) -> list[bytes]:
        """Frames to forward now."""
        out: list[bytes] = []
        try:
            for _, payload in self._parser.feed(data):
                if payload == b"[DONE]":
                    self._done = True
                elif not self._done:
                    self._event(payload, out)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge):
            raise InvalidResult("malformed") from None
        return out

    def finish(self) -> dict[str, int]:
        """The units used, once the body ended."""
        if not self.has_content:
            raise InvalidResult("empty" if self._done else "truncated")
        if self._parser.pending or not self._seen or self._seen != self._finished:
            raise InvalidResult("truncated")
        if self._usage is None:
            raise InvalidResult("no_usage")
        return units(self._usage)

    def end(self, cost_usd: str) -> bytes:
        """The held-back frames, the usage with the cost where it was asked for, and the terminal event."""
        if self._include_usage:
            self._held.append(self._usage_frame(cost_usd))
        self._held.append(DONE)
        return b"".join(self._held)

    def fault(self, error: GatewayError) -> bytes:
        """A chunk that is valid but for its ``error``: clients raise it."""
        head = {name: msgspec.json.decode(value) for name, value in self._head.items()}
        return fault_chunk(head, error)

    def _usage_frame(self, cost_usd: str) -> bytes:
        fields = dict(self._usage_fields or {})
        usage: dict[str, Any] = msgspec.json.decode(fields["usage"], type=dict[str, Any])
        usage["cost_usd"] = cost_usd
        fields["usage"] = msgspec.Raw(msgspec.json.encode(usage))
        fields["choices"] = msgspec.Raw(b"[]")
        return frame(msgspec.json.encode(fields))

    def _event(self, payload: bytes, out: list[bytes]) -> None:
        payload.decode()
        if self.has_content and (passed := self._pass(payload)) is not None:
            out.append(passed)
            return
        chunk = _chunk.decode(payload)
        if bytes(chunk.error) != b"null":
            raise InvalidResult("error_in_stream")
        fields = _fields.decode(payload)
        if not self._ours:
            self._learn(payload, fields)
        fields["model"] = self._model
        if not self._head:
            names = ("id", "object", "created", "model")
            self._head = {name: fields[name] for name in names if name in fields}
        if chunk.usage is not None:
            self._usage = chunk.usage
            self._usage_fields = dict(fields)
            if not chunk.choices:
                return
        if self._include_usage:
            fields["usage"] = _NULL
        else:
            fields.pop("usage", None)
        ends = False
        for choice in chunk.choices:
            self._seen.add(choice.index)
            if choice.delta is not None and _says_something(choice.delta):
                self.has_content = True
            if choice.finish_reason:
                self._finished.add(choice.index)
                ends = True
        (self._held if ends else out).append(frame(msgspec.json.encode(fields)))

    def _learn(self, payload: bytes, fields: Fields) -> None:
        """Find where the model's name stands, to put ours there in every chunk that begins alike."""
        name = bytes(fields.get("model", b""))
        for key in (b'"model":', b'"model": '):
            before, found, _ = payload.partition(key + name)
            # What stands before is the beginning of the object itself, and not of something inside it.
            if found and name and _is_object(before.rstrip(b", ") + b"}"):
                self._theirs, self._ours = before + found, before + key + bytes(self._model)

    def _pass(self, payload: bytes) -> bytes | None:
        """The frame of more content, with nothing changed but the model's name; ``None`` for all else."""
        if not self._ours or not payload.startswith(self._theirs):
            return None
        more = _more.decode(payload)
        if not more.choices or bytes(more.usage) != b"null" or bytes(more.error) != b"null":
            return None
        for choice in more.choices:
            if bytes(choice.finish_reason) != b"null":
                return None
            self._seen.add(choice.index)
        rest = payload[len(self._theirs) :]
        if b'"usage"' in rest:
            if not rest.endswith(_NO_USAGE):
                return None
            rest = rest[: -len(_NO_USAGE)] + b"}"
        if b'"model"' in rest or b'"usage"' in rest or not rest.endswith(b"}"):
            return None
        if self._include_usage:
            rest = rest[:-1] + _NO_USAGE
        return b"data: " + self._ours + rest + b"\n\n"


def _is_object(text: bytes) -> bool:
    try:
        _fields.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _says_something(said: _Said) -> bool:
    return (
        bytes(said.content) not in _NOTHING
        or bytes(said.tool_calls) not in _NOTHING
        or bytes(said.reasoning_content) not in _NOTHING
        or bytes(said.refusal) not in _NOTHING
        or bytes(said.reasoning) not in _NOTHING
        or bytes(said.function_call) not in _NOTHING
        or bytes(said.audio) not in _NOTHING
    )
