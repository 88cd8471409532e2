"""Messages from providers that speak them too: nearly a passage, but nothing is taken on trust."""

import re
from typing import Any

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects.base import Completion, Fields, Inexpressible, InvalidResult
from tokenhub.gateway.dialects.fields import take
from tokenhub.gateway.dialects.inbound.messages import check_tools
from tokenhub.gateway.dialects.inbound.messages_answer import event_frame, fault_event
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.sse import EventParser, EventTooLarge
from tokenhub.gateway.dialects.upstream.anthropic import (
    StreamEvent,
    Usage,
    decode_event,
    read_message,
    units,
)
from tokenhub.gateway.errors import GatewayError

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
# What another price or another place would come with; what is sold here is the offering as listed.
_REFUSED = ("container", "mcp_servers", "inference_geo", "speed")
_EVENT_NAME = re.compile(r"[a-z_]{1,64}")
_SAYING = frozenset({"text_delta", "thinking_delta", "input_json_delta"})


def request_body(request: TextRequest, offering: Offering) -> bytes:
    """The request for one offering: its own name for the model, no more output than it gives."""
    fields: Fields = dict(request.fields)
    for name in _REFUSED:
        if name in fields and bytes(fields[name]) not in (b"null", b"[]"):
            raise Inexpressible(f"“{name}” is not offered here.", param=name)
    check_tools(take(fields, "tools", list[dict[str, Any]]) or [])
    fields.pop("service_tier", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(offering.upstream_model))
    most = offering.max_output
    if most is not None and request.max_tokens is not None and request.max_tokens > most:
        fields["max_tokens"] = msgspec.Raw(str(most).encode())
    return msgspec.json.encode(fields)


def completion(body: bytes, request: TextRequest, public_model: str) -> Completion:
    """A plain answer for the client; ``InvalidResult`` where it is no complete, paid-for answer."""
    _, counted = read_message(body)
    fields = _fields.decode(body)
    fields["id"] = msgspec.Raw(b'"msg_%b"' % request.id.hex.encode())
    fields["model"] = msgspec.Raw(msgspec.json.encode(public_model))
    return Completion(msgspec.json.encode(fields), counted)


class Relay:
    """A Messages stream on its way to the client; ``message_delta`` and what follows are held back."""

    def __init__(self, request: TextRequest, public_model: str) -> None:
        self._id = f"msg_{request.id.hex}"
        self._request_id = f"req_{request.id.hex}"
        self._model = public_model
        self._parser = EventParser()
        self._usage = Usage()
        self._closing: dict[str, Any] = {}
        self._stop: str | None = None
        self._stopped = False
        self.has_content = False

    def feed(self, data: bytes) -> list[bytes]:
        """Frames to forward now."""
        out: list[bytes] = []
        try:
            for _, payload in self._parser.feed(data):
                frame = self._event(decode_event(payload), payload)
                if frame:
                    out.append(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge):
            raise InvalidResult("malformed") from None
        return out

    def finish(self) -> dict[str, int]:
        """The units used, once the body ended."""
        if not self.has_content and self._stop != "refusal":
            raise InvalidResult("empty" if self._stopped else "truncated")
        if not self._stopped or self._stop is None or self._parser.pending:
            raise InvalidResult("truncated")
        return units(self._usage)

    def end(self, cost_usd: str) -> bytes:
        """The held-back end, with the cost beside the usage."""
        usage = {**self._closing.get("usage", {}), "cost_usd": cost_usd}
        closing = event_frame("message_delta", {**self._closing, "usage": usage})
        return closing + event_frame("message_stop", {})

    def fault(self, error: GatewayError) -> bytes:
        """``event: error``."""
        return fault_event(error, self._request_id)

    def _event(self, event: StreamEvent, payload: bytes) -> bytes:
        match event.type:
            case "error":
                raise InvalidResult("error_in_stream")
            case "message_start":
                return self._start(event, payload)
            case "message_delta":
                self._usage.add(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self._stop = event.delta.stop_reason
                self._closing = msgspec.json.decode(payload)
                return b""
            case "message_stop":
                self._stopped = True
                return b""
        if event.delta is not None and event.delta.type in _SAYING:
            self.has_content = True
        block = event.content_block
        if block is not None and block.type not in ("text", "thinking"):
            self.has_content = True
        payload.decode()
        if not _EVENT_NAME.fullmatch(event.type) or b"\n" in payload:
            raise InvalidResult("malformed")
        return b"event: %b\ndata: %b\n\n" % (event.type.encode(), payload)

    def _start(self, event: StreamEvent, payload: bytes) -> bytes:
        if event.message is not None:
            self._usage.add(event.message.usage)
        given = msgspec.json.decode(payload)
        message = {**given.get("message", {}), "id": self._id, "model": self._model}
        return event_frame("message_start", {"message": message})
