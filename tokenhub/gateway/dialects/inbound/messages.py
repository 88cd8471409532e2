"""``POST /v1/messages`` as Anthropic's clients send it, and the same in the words of chat completions.

Sources: Anthropic's Messages API reference and OpenAI's chat completions reference. What only tunes
an answer (``top_k``, caching, context editing) or is thinking of earlier turns, which Anthropic lets
clients leave out, is dropped where the provider does not speak Messages; all else that chat
completions cannot express is refused, naming the parameter.
"""

from typing import Any

import msgspec

from tokenhub.gateway.dialects.base import Fields, Inexpressible
from tokenhub.gateway.dialects.fields import read_object, take, take_model, take_routing
from tokenhub.gateway.dialects.request import (
    TextRequest,
    begins_with,
    bound_of,
    conversation_of,
    forget_old_thinking,
    take_max_tokens,
)
from tokenhub.gateway.errors import InvalidRequest

# Beside these, the model is told how to use tools, at the customer's expense.
TOOLS_TOKENS = 1_024
# How deep content may stand in content: a tool's result has a document, and that its own content.
MAX_DEPTH = 3
_READ = frozenset(
    {"model", "messages", "max_tokens", "stream", "system", "tools", "tool_choice", "stop_sequences",
     "temperature", "top_p", "thinking", "output_config", "output_format", "metadata"}
)  # fmt: skip
_DROPPED = frozenset({"top_k", "service_tier", "context_management", "cache_control"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_NULL = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw


class _Source(msgspec.Struct):
    type: str = ""
    content: msgspec.Raw = _NULL


class _Block(msgspec.Struct):
    type: str
    source: _Source | None = None
    content: msgspec.Raw = _NULL


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


_blocks = msgspec.json.Decoder(list[_Block])
_NO_SOURCE = _Source()


def parse(body: bytes, session_id: str, *, needs_limit: bool = True) -> TextRequest:
    """Read a Messages request; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    model = take_model(fields)
    messages = take(fields, "messages", list[_Message], required=True)
    if not messages:
        raise InvalidRequest("“messages” must have at least one message.", param="messages")
    _, max_tokens = take_max_tokens(fields, "max_tokens")
    if max_tokens is None and needs_limit:
        raise InvalidRequest("“max_tokens” is missing.", param="max_tokens")
    stream = take(fields, "stream", bool) or False
    take(fields, "thinking", _Thinking)
    take(fields, "stop_sequences", list[str])
    tools = take(fields, "tools", list[dict[str, Any]]) or []
    metadata = take(fields, "metadata", dict[str, Any]) or {}
    options, boundaries = take_routing(fields)

    capabilities = set()
    if tools:
        capabilities.add("tools")
    if _schema(fields) is not None:
        capabilities.add("json")
    attached = [
        _attached(message.content, f"messages[{number}].content")
        for number, message in enumerate(messages)
    ]
    pictures, files = sum(found[0] for found in attached), sum(found[1] for found in attached)
    if pictures:
        capabilities.add("vision")
    system = bytes(fields.get("system", b""))
    user = metadata.get("user_id")

    return TextRequest(
        shape="anthropic",
        fields=fields,
        chat=chat_form,
        model=model,
        stream=stream,
        max_tokens=max_tokens,
        capabilities=frozenset(capabilities),
        # Claude Code names its conversation in the user's id.
        conversation=conversation_of(
            session_id,
            user if isinstance(user, str) and "session" in user else None,
            (system, next((bytes(m.content) for m in messages if m.role == "user"), b"")),
        ),
        input_bound=bound_of(fields, pictures=pictures, files=files)
        + (TOOLS_TOKENS if tools else 0),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
        include_usage=True,
    )


def _attached(content: msgspec.Raw, where: str, depth: int = 0) -> tuple[int, int]:
    """How many pictures, and how many documents that are not text, are in content.

    ``InvalidRequest`` for what is deeper than ``MAX_DEPTH``: each level is read once more.
    """
    if begins_with(content) != b"[":
        return 0, 0
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"“{where}” is nested too deeply.", param=where)
    try:
        blocks = _blocks.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(
            f"“{where}” must be text or a list of blocks, each with its “type”.", param=where
        ) from None
    pictures = files = 0
    for number, block in enumerate(blocks):
        source = block.source or _NO_SOURCE
        pictures += block.type == "image"
        files += block.type == "document" and source.type not in ("text", "content")
        inside = {"content": block.content, "source.content": source.content}
        for name, inner in inside.items():
            found = _attached(inner, f"{where}[{number}].{name}", depth + 1)
            pictures, files = pictures + found[0], files + found[1]
    return pictures, files


def check_tools(tools: list[dict[str, Any]]) -> None:
    """Refuse tools that the provider runs itself: they cost what no price here says."""
    for number, tool in enumerate(tools):
        kind = str(tool.get("type") or "custom")
        if kind.startswith(("web_", "code_execution", "mcp_", "tool_search", "advisor")):
            raise Inexpressible(
                f"“tools[{number}]”: tools of type {kind[:60]!r}, which the provider would run, are not"
                " offered here.",
                param=f"tools[{number}].type",
            )


def chat_form(request: TextRequest) -> dict[str, Any]:
    """The request in the words of chat completions."""
    for name, raw in request.fields.items():
        if name not in _READ and name not in _DROPPED and bytes(raw) != b"null":
            raise Inexpressible(
                f"“{name}” cannot be expressed to the providers of this model.", param=name[:80]
            )
    given: dict[str, Any] = {
        name: msgspec.json.decode(raw) for name, raw in request.fields.items() if name in _READ
    }
    messages = _system(given.get("system"))
    for number, message in enumerate(given["messages"]):
        messages += _message(message, f"messages[{number}]")
    forget_old_thinking(messages)
    chat: dict[str, Any] = {"messages": messages}
    chat |= {name: given[name] for name in ("temperature", "top_p") if given.get(name) is not None}
    if given.get("stop_sequences"):
        chat["stop"] = given["stop_sequences"]
    if given.get("tools"):
        chat["tools"] = [_tool(tool, number) for number, tool in enumerate(given["tools"])]
        chat |= _tool_choice(given.get("tool_choice") or {})
    schema = _schema(request.fields)
    if schema is not None:
        named = {"name": "answer", "schema": schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": named}
    effort = _effort(given.get("thinking") or {}, given.get("output_config") or {})
    if effort:
        chat["reasoning_effort"] = effort
    return chat


def _schema(fields: Fields) -> Any:
    """The JSON schema of the answer, by its present or its former name."""
    config = take(fields, "output_config", dict[str, Any]) or {}
    output = config.get("format") or take(fields, "output_format", dict[str, Any]) or {}
    return output.get("schema") if isinstance(output, dict) else None


def _effort(thinking: dict[str, Any], config: dict[str, Any]) -> str | None:
    if thinking.get("type") not in ("enabled", "adaptive"):
        return None
    if config.get("effort"):
        effort = str(config["effort"])
        return "high" if effort in ("max", "xhigh") else effort
    budget = thinking.get("budget_tokens") or 8_192
    return "low" if budget < 4_096 else "medium" if budget < 16_384 else "high"


def _system(system: Any) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    return [{"role": "system", "content": "\n\n".join(part["text"] for part in system)}]


def _message(message: dict[str, Any], where: str) -> list[dict[str, Any]]:
    role, content = message["role"], message["content"]
    if role == "system":
        return _system(content)
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if role == "assistant":
        return [_assistant(content, where)]
    if role != "user":
        raise Inexpressible(f"“{where}.role” must be user or assistant.", param=f"{where}.role")
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        place = f"{where}.content[{number}]"
        if block["type"] == "tool_result":
            text, pictures = _tool_result(block, place)
            results.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": text})
            parts += pictures
        else:
            parts.append(_part(block, place))
    return results + ([{"role": "user", "content": parts}] if parts else [])


def _assistant(content: list[dict[str, Any]], where: str) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for number, block in enumerate(content):
        match block["type"]:
            case "text":
                texts.append(block["text"])
            case "thinking":
                thoughts.append(block["thinking"])
            case "redacted_thinking":
                continue
            case "tool_use":
                function = {
                    "name": block["name"],
                    "arguments": msgspec.json.encode(block["input"]).decode(),
                }
                calls.append({"id": block["id"], "type": "function", "function": function})
            case kind:
                raise _foreign(kind, f"{where}.content[{number}]")
    made: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if thoughts:
        made["reasoning_content"] = "".join(thoughts)
    if calls:
        made["tool_calls"] = calls
    elif made["content"] is None:
        made["content"] = ""
    return made


def _tool_result(block: dict[str, Any], where: str) -> tuple[str, list[dict[str, Any]]]:
    """A result's text, and its pictures: those have no place in a tool's message and follow it."""
    content = block.get("content") or ""
    if isinstance(content, str):
        return content, []
    texts, pictures = [], []
    for part in content:
        if part["type"] == "text":
            texts.append(part["text"])
        else:
            pictures.append(_part(part, where))
    return "\n".join(texts), pictures


def _part(block: dict[str, Any], where: str) -> dict[str, Any]:
    kind, source = block["type"], block.get("source") or {}
    if kind == "text":
        return {"type": "text", "text": block["text"]}
    if kind == "image" and source.get("type") in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": _url(source)}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": source["data"]}
    if kind == "document" and source.get("type") == "base64":
        file = {"filename": block.get("title") or "document.pdf", "file_data": _url(source)}
        return {"type": "file", "file": file}
    raise _foreign(kind, where)


def _url(source: dict[str, Any]) -> str:
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source['media_type']};base64,{source['data']}"


def _tool(tool: dict[str, Any], number: int) -> dict[str, Any]:
    if (tool.get("type") or "custom") != "custom":
        raise _foreign(str(tool["type"]), f"tools[{number}]")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _tool_choice(choice: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if choice.get("type") == "tool":
        made["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif choice.get("type") in _CHOICES:
        made["tool_choice"] = _CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        made["parallel_tool_calls"] = False
    return made


def _foreign(kind: str, where: str) -> Inexpressible:
    return Inexpressible(
        f"“{where}” of type {kind[:60]!r} cannot be expressed to the providers of this model.",
        param=f"{where}.type",
    )
