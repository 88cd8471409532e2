"""A request in the words of chat completions as Anthropic's Messages.

Sources: Anthropic's Messages API reference and OpenAI's chat completions reference. What Messages
cannot express is refused, naming the parameter; what only tunes the answer (penalties, seed, logit
bias) is dropped, as Anthropic's own OpenAI compatibility does.
"""

from typing import Any

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects.base import Inexpressible
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import InvalidRequest

DEFAULT_MAX_TOKENS = 8_192
PASSED = ("temperature", "top_p", "top_k", "thinking", "cache_control")
# The former way to give tools: left out, an answer would be another one.
LOST = ("functions", "function_call")
# Thinking tokens for OpenAI's words of effort, and the fewest that Messages takes.
EFFORT_TOKENS = {"low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 49_152}
MIN_THINKING = 1_024


def request_body(request: TextRequest, offering: Offering) -> bytes:
    """A request of another dialect as Messages; ``Inexpressible`` names what it cannot say."""
    return msgspec.json.encode(_request(request, offering))


def _request(request: TextRequest, offering: Offering) -> dict[str, Any]:
    given = request.chat(request)
    if request.choices > 1:
        raise Inexpressible("This model answers once: “n” must be 1.", param="n")
    response_format = given.get("response_format") or {}
    if response_format.get("type", "text") == "json_object":
        raise Inexpressible(
            "This model has no JSON mode; use “json_schema” or another model.",
            param="response_format",
        )
    if given.get("logprobs"):
        raise Inexpressible("This model gives no “logprobs”.", param="logprobs")
    for name in LOST:
        if given.get(name):
            raise Inexpressible(
                f"“{name}” cannot be expressed to the providers of this model; use “tools”.",
                param=name,
            )
    system, messages = _messages(given["messages"])
    most = offering.max_output
    limit = request.max_tokens or min(most or DEFAULT_MAX_TOKENS, DEFAULT_MAX_TOKENS)
    body: dict[str, Any] = {
        "model": offering.upstream_model,
        "max_tokens": min(limit, most or limit),
        "messages": messages,
        "stream": request.stream,
    }
    if system:
        body["system"] = system
    body |= {name: given[name] for name in PASSED if given.get(name) is not None}
    if given.get("user"):
        body["metadata"] = {"user_id": given["user"]}
    if given.get("stop") is not None:
        stop = given["stop"]
        body["stop_sequences"] = stop if isinstance(stop, list) else [stop]
    if given.get("tools"):
        body["tools"] = [_tool(tool) for tool in given["tools"]]
        choice = _tool_choice(given.get("tool_choice"), given.get("parallel_tool_calls"))
        if choice:
            body["tool_choice"] = choice
    schema = response_format.get("json_schema")
    if schema:
        output = {"type": "json_schema", "schema": schema.get("schema", {})}
        body["output_config"] = {"format": output}
    _think(body, given.get("reasoning_effort"), offering)
    return body


def _think(body: dict[str, Any], effort: Any, offering: Offering) -> None:
    """Thinking by OpenAI's words of effort, where the request allows any."""
    budget = EFFORT_TOKENS.get(effort or "", 0)
    if "thinking" not in body and budget and "reasoning" in offering.capabilities:
        budget = min(budget, body["max_tokens"] - 1)
        forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
        if budget >= MIN_THINKING and not forced:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
            for name in ("temperature", "top_p", "top_k"):
                body.pop(name, None)
    if "thinking" in body and _continues_unsealed(body["messages"]):
        # Messages wants the sealed thinking of a tool call back, and this client has not kept it.
        del body["thinking"]


def _continues_unsealed(messages: list[dict[str, Any]]) -> bool:
    """Whether the answer goes on from a tool call that was thought of, without the thought."""
    if len(messages) < 2 or messages[-1]["role"] != "user":
        return False
    answers_tool = any(part["type"] == "tool_result" for part in messages[-1]["content"])
    asked = messages[-2]["content"]
    return answers_tool and not (asked and asked[0]["type"].endswith("thinking"))


def _messages(given: list[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    system: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for number, message in enumerate(given):
        role, content = message.get("role"), message.get("content")
        where = f"messages[{number}]"
        if role in ("system", "developer"):
            system += _parts(content, where)
        elif role == "tool":
            result = {
                "type": "tool_result",
                "tool_use_id": message.get("tool_call_id", ""),
                "content": _parts(content, where),
            }
            _append(messages, "user", [result])
        elif role == "assistant":
            said = list(message.get("thinking_blocks") or [])
            said += _parts(content, where) if content else []
            _append(messages, "assistant", said + _tool_uses(message.get("tool_calls"), where))
        elif role == "user":
            _append(messages, "user", _parts(content, where))
        else:
            raise Inexpressible(
                f"“{where}.role” is not a role of this model.", param=f"{where}.role"
            )
    return system, messages


def _append(messages: list[dict[str, Any]], role: str, parts: list[dict[str, Any]]) -> None:
    """Messages alternates between roles: neighbours of one role become one."""
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += parts
    elif parts:
        messages.append({"role": role, "content": parts})


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise InvalidRequest(f"“{where}.content” must be text or parts.", param=f"{where}.content")
    return [_part(part, where) for part in content]


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        kept = {"type": "text", "text": part.get("text", "")}
    elif kind == "refusal":
        kept = {"type": "text", "text": part.get("refusal", "")}
    elif kind == "image_url":
        url = part["image_url"]["url"] if isinstance(part.get("image_url"), dict) else ""
        kept = {"type": "image", "source": _source(str(url), where)}
    elif kind == "file" and str((part.get("file") or {}).get("file_data", "")).startswith("data:"):
        kept = {"type": "document", "source": _source(part["file"]["file_data"], where)}
        if part["file"].get("filename"):
            kept["title"] = part["file"]["filename"]
    else:
        raise Inexpressible(
            f"“{where}.content” has a part of type {kind!r}, which this model does not take.",
            param=f"{where}.content",
        )
    return kept | {name: part[name] for name in ("cache_control",) if name in part}


def _source(url: str, where: str) -> dict[str, str]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64":
        raise InvalidRequest(f"“{where}” has a picture that is not base64.", param=where)
    return {"type": "base64", "media_type": media_type, "data": data}


def _tool_uses(calls: Any, where: str) -> list[dict[str, Any]]:
    uses = []
    for call in calls or []:
        function = call.get("function", {})
        try:
            arguments = msgspec.json.decode(function.get("arguments") or "{}")
        except msgspec.DecodeError:
            raise InvalidRequest(
                f"“{where}.tool_calls” has arguments that are not JSON.",
                param=f"{where}.tool_calls",
            ) from None
        uses.append(
            {
                "type": "tool_use",
                "id": call.get("id", ""),
                "name": function.get("name", ""),
                "input": arguments,
            }
        )
    return uses


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        raise Inexpressible("“tools” must be functions.", param="tools")
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    made = {"name": function.get("name", ""), "input_schema": schema}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("strict"):
        made["strict"] = True
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    return made


def _tool_choice(choice: Any, parallel: Any) -> dict[str, Any] | None:
    made: dict[str, Any] | None
    if isinstance(choice, dict):
        made = {"type": "tool", "name": choice.get("function", {}).get("name", "")}
    else:
        kinds = {"auto": "auto", "required": "any", "none": "none"}
        made = {"type": kinds[choice]} if choice in kinds else None
    if parallel is False and (made is None or made["type"] in ("auto", "any", "tool")):
        made = (made or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return made
