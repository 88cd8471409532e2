"""Answers in the shape of OpenAI's Responses, whole and as events.

Source: OpenAI's Responses reference, "Streaming events". Thinking is a reasoning item with a
summary; its seal, if the provider gave one, is the item's ``encrypted_content``.
"""

import time
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
    responses_usage,
)
from tokenhub.gateway.dialects.inbound.responses import SEALED
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import GatewayError

Item = dict[str, Any]

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


def render(said: Said, request: TextRequest, public_model: str) -> bytes:
    """A whole answer."""
    output: list[Item] = []
    for block in said.blocks:
        last = output[-1] if output else {}
        item = _item(block, request.id.hex, len(output))
        if item["type"] == "message" and last.get("type") == "message":
            last["content"] += item["content"]
        else:
            output.append(item)
    return msgspec.json.encode(
        {**_response(request, public_model), "output": output, **_ended(said.ending)}
    )


def _response(request: TextRequest, public_model: str) -> dict[str, Any]:
    given = {
        name: msgspec.json.decode(raw) for name, raw in request.fields.items() if name in _ECHOED
    }
    return {
        "id": f"resp_{request.id.hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": public_model,
        "output": [],
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "truncation": "disabled",
        "usage": None,
        **_ECHOED,
        **{name: value for name, value in given.items() if value is not None},
    }


def _ended(ending: Ending) -> dict[str, Any]:
    usage = responses_usage(ending.units)
    if ending.finish in _CUT:
        details = {"reason": _CUT[ending.finish]}
        return {"status": "incomplete", "incomplete_details": details, "usage": usage}
    return {"status": "completed", "completed_at": int(time.time()), "usage": usage}


def _item(block: Block, name: str, number: int) -> Item:
    match block:
        case Text(text):
            return _message(name, number, [_text(text)])
        case Refusal(text):
            return _message(name, number, [{"type": "refusal", "refusal": text}])
        case Thinking(text, signature):
            return _reasoning(name, number, text, signature)
        case Redacted(data):
            return _reasoning(name, number, "", SEALED + data)
        case ToolUse(id_, tool, arguments):
            return _call(name, number, id_, tool, arguments)


def _message(name: str, number: int, content: list[Item], status: str = "completed") -> Item:
    return {
        "id": f"msg_{name}_{number}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _text(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _reasoning(name: str, number: int, text: str, seal: str, status: str = "completed") -> Item:
    return {
        "id": f"rs_{name}_{number}",
        "type": "reasoning",
        "status": status,
        "summary": [{"type": "summary_text", "text": text}] if text else [],
        "encrypted_content": seal or None,
    }


def _call(
    name: str, number: int, call_id: str, tool: str, arguments: str, status: str = "completed"
) -> Item:
    return {
        "id": f"fc_{name}_{number}",
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": tool,
        "arguments": arguments,
    }


class Writer:
    """A streamed answer: items one after the other, but for function calls, which may overlap."""

    def __init__(self, request: TextRequest, public_model: str) -> None:
        self._response = _response(request, public_model)
        self._name = request.id.hex
        self._sequence = 0
        self._output: list[Item] = []
        self._open = ""
        self._pieces: list[str] = []
        self._calls: dict[int, tuple[int, list[str]]] = {}

    def write(self, event: Event) -> bytes:
        """The frames of one event."""
        frames = b"" if self._sequence else self._begin_response()
        match event:
            case TextPiece(text):
                return frames + self._text_piece("output_text", text)
            case RefusalPiece(text):
                return frames + self._text_piece("refusal", text)
            case ThinkingPiece(text):
                return frames + self._thinking_piece(text)
            case Signature(signature):
                return frames + self._seal(signature)
            case Redacted(data):
                item = _reasoning(self._name, len(self._output), "", SEALED + data)
                frames += self._close() + self._add(item)
                return frames + self._item_done(len(self._output) - 1)
            case ToolBegan(index, id_, tool):
                frames += self._close()
                self._calls[index] = (len(self._output), [])
                item = _call(self._name, len(self._output), id_, tool, "", "in_progress")
                return frames + self._add(item)
            case ToolPiece(index, arguments):
                number, pieces = self._calls[index]
                pieces.append(arguments)
                kind = "response.function_call_arguments.delta"
                return frames + self._event(kind, number, delta=arguments)

    def end(self, ending: Ending, cost_usd: str) -> bytes:
        """The ends of all items, and the whole response with what it used."""
        frames = b"" if self._sequence else self._begin_response()
        frames += self._close()
        for number, pieces in self._calls.values():
            item = self._output[number]
            item["arguments"], item["status"] = "".join(pieces) or "{}", "completed"
            frames += self._event(
                "response.function_call_arguments.done",
                number, arguments=item["arguments"], name=item["name"],
            )  # fmt: skip
            frames += self._item_done(number)
        ended = _ended(ending)
        ended["usage"] = {**ended["usage"], "cost_usd": cost_usd}
        whole = {**self._response, "output": self._output, **ended}
        return frames + self._frame(f"response.{ended['status']}", {"response": whole})

    def fault(self, error: GatewayError) -> bytes:
        """The API's ``error`` event, and the response as failed."""
        said = {"code": error.code, "message": error.message}
        frames = self._frame("error", {**said, "param": error.param})
        failed = {**self._response, "status": "failed", "error": said, "output": self._output}
        return frames + self._frame("response.failed", {"response": failed})

    def _begin_response(self) -> bytes:
        frames = self._frame("response.created", {"response": self._response})
        return frames + self._frame("response.in_progress", {"response": self._response})

    def _text_piece(self, kind: str, text: str) -> bytes:
        frames = b""
        field = "text" if kind == "output_text" else "refusal"
        if self._open != kind:
            frames += self._close()
            frames += self._add(_message(self._name, len(self._output), [], "in_progress"))
            part = _text("") if kind == "output_text" else {"type": kind, field: ""}
            frames += self._event("response.content_part.added", content_index=0, part=part)
            self._open = kind
        self._pieces.append(text)
        more: Item = {"logprobs": []} if kind == "output_text" else {}
        return frames + self._event(
            f"response.{kind}.delta", None, content_index=0, delta=text, **more
        )

    def _thinking_piece(self, text: str) -> bytes:
        frames = b""
        if self._open != "reasoning":
            frames += self._close()
            frames += self._add(_reasoning(self._name, len(self._output), "", "", "in_progress"))
            part = {"type": "summary_text", "text": ""}
            kind = "response.reasoning_summary_part.added"
            frames += self._event(kind, summary_index=0, part=part)
            self._open = "reasoning"
        self._pieces.append(text)
        kind = "response.reasoning_summary_text.delta"
        return frames + self._event(kind, summary_index=0, delta=text)

    def _seal(self, signature: str) -> bytes:
        if self._open != "reasoning":
            item = _reasoning(self._name, len(self._output), "", signature)
            return self._close() + self._add(item) + self._item_done(len(self._output) - 1)
        self._output[-1]["encrypted_content"] = signature
        return self._close()

    def _close(self) -> bytes:
        """The end of the item that is being written, if any."""
        kind, self._open = self._open, ""
        if not kind:
            return b""
        text, self._pieces = "".join(self._pieces), []
        number = len(self._output) - 1
        item = self._output[number]
        item["status"] = "completed"
        if kind == "reasoning":
            part = {"type": "summary_text", "text": text}
            item["summary"] = [part]
            frames = self._event(
                "response.reasoning_summary_text.done", number, summary_index=0, text=text
            )
            frames += self._event(
                "response.reasoning_summary_part.done", number, summary_index=0, part=part
            )
        else:
            field = "text" if kind == "output_text" else "refusal"
            part = _text(text) if kind == "output_text" else {"type": kind, field: text}
            item["content"] = [part]
            more: Item = {"logprobs": []} if kind == "output_text" else {}
            said = {field: text, **more}
            frames = self._event(f"response.{kind}.done", number, content_index=0, **said)
            frames += self._event("response.content_part.done", number, content_index=0, part=part)
        return frames + self._item_done(number)

    def _add(self, item: Item) -> bytes:
        self._output.append(item)
        number = len(self._output) - 1
        return self._frame("response.output_item.added", {"output_index": number, "item": item})

    def _item_done(self, number: int) -> bytes:
        fields = {"output_index": number, "item": self._output[number]}
        return self._frame("response.output_item.done", fields)

    def _event(self, kind: str, number: int | None = None, **fields: Any) -> bytes:
        index = len(self._output) - 1 if number is None else number
        place = {"item_id": self._output[index]["id"], "output_index": index}
        return self._frame(kind, {**place, **fields})

    def _frame(self, kind: str, fields: dict[str, Any]) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(event))
