"""``POST /v1/responses`` as OpenAI's clients send it, put into the words of chat completions.

Source: OpenAI's Responses reference. Nothing is stored here, so what refers to something stored is
refused, naming the parameter; so are tools that OpenAI would run itself.
"""

from typing import Any

import msgspec

from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import read_object, take, take_model, take_routing
from tokenhub.gateway.dialects.request import (
    TextRequest,
    bound_of,
    conversation_of,
    forget_old_thinking,
    take_max_tokens,
)
from tokenhub.gateway.errors import InvalidRequest

_READ = frozenset(
    {"model", "input", "instructions", "max_output_tokens", "stream", "tools", "tool_choice", "text",
     "parallel_tool_calls", "reasoning", "temperature", "top_p", "user", "safety_identifier",
     "prompt_cache_key"}
)  # fmt: skip
# Echoed or without effect on the answer.
_HARMLESS = frozenset(
    {"metadata", "include", "store", "background", "service_tier", "stream_options", "truncation",
     "prompt_cache_retention", "max_tool_calls", "previous_response_id", "conversation", "prompt",
     "top_logprobs"}
)  # fmt: skip
_STORED = "Nothing is stored here: send the whole conversation as “input”."
# What would need something stored, or what no provider's chat completions has; and what is fine.
_REFUSED: dict[str, tuple[tuple[bytes, ...], str]] = {
    "previous_response_id": ((b"null",), _STORED),
    "conversation": ((b"null",), _STORED),
    "store": ((b"null", b"false"), _STORED),
    "background": ((b"null", b"false"), "Background responses would have to be stored."),
    "prompt": ((b"null",), "There are no stored prompts here."),
    "truncation": ((b"null", b'"disabled"'), "Input is never cut: send what fits."),
    "top_logprobs": ((b"null", b"0"), "There are no logprobs in Responses here; use chat completions."),
}  # fmt: skip
SEALED = "redacted:"
"""Begins the ``encrypted_content`` of thinking that has nothing readable."""

Item = dict[str, Any]


def parse(body: bytes, session_id: str) -> TextRequest:
    """Read a Responses request; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    model = take_model(fields)
    options, boundaries = take_routing(fields)
    for name in fields:
        if name not in _READ and name not in _HARMLESS:
            raise InvalidRequest(f"“{name[:80]}” is not a parameter known here.", param=name[:80])
    for name, (fine, why) in _REFUSED.items():
        if name in fields and bytes(fields[name]).strip() not in fine:
            raise InvalidRequest(f"“{name}”: {why}", param=name)
    if b"message.output_text.logprobs" in bytes(fields.get("include", b"")):
        raise InvalidRequest("There are no logprobs in Responses here.", param="include")
    given = fields.get("input")
    if given is None or bytes(given) == b"null":
        raise InvalidRequest("“input” is missing.", param="input")
    stream = take(fields, "stream", bool) or False
    _, max_tokens = take_max_tokens(fields, "max_output_tokens")
    tools = take(fields, "tools", list[dict[str, Any]]) or []
    form = (take(fields, "text", dict[str, Any]) or {}).get("format") or {}
    take(fields, "metadata", dict[str, Any])

    capabilities = set()
    if tools:
        capabilities.add("tools")
    if isinstance(form, dict) and form.get("type", "text") != "text":
        capabilities.add("json")
    request = TextRequest(
        shape="responses",
        fields=fields,
        chat=chat_form,
        model=model,
        stream=stream,
        max_tokens=max_tokens,
        capabilities=frozenset(capabilities),
        conversation=conversation_of(
            session_id, take(fields, "prompt_cache_key", str), _beginning(fields)
        ),
        input_bound=0,
        options=options,
        boundaries=boundaries,
        session_id=session_id,
        include_usage=True,
    )
    # No provider is asked in this dialect, so what cannot be said is known before any is chosen.
    try:
        messages = chat_form(request)["messages"]
    except (KeyError, TypeError, AttributeError, ValueError, msgspec.MsgspecError):
        raise InvalidRequest("“input” or “tools” does not have the shape of the API.") from None
    kinds = [part["type"] for message in messages for part in _parts_of(message)]
    pictures, files = kinds.count("image_url"), kinds.count("file")
    request.input_bound = bound_of(fields, pictures=pictures, files=files)
    if pictures:
        request.capabilities |= {"vision"}
    return request


def _parts_of(message: Item) -> list[Item]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def chat_form(request: TextRequest) -> dict[str, Any]:
    """The request in the words of chat completions."""
    given: dict[str, Any] = {
        name: msgspec.json.decode(raw) for name, raw in request.fields.items() if name in _READ
    }
    messages: list[Item] = []
    if given.get("instructions"):
        messages.append({"role": "system", "content": _text(given["instructions"])})
    _read_input(given["input"], messages)
    forget_old_thinking(messages)
    if not any(message["role"] != "system" for message in messages):
        raise InvalidRequest("“input” must have at least one item.", param="input")
    chat: dict[str, Any] = {"messages": messages}
    for name in ("temperature", "top_p", "user", "safety_identifier", "prompt_cache_key"):
        if given.get(name) is not None:
            chat[name] = given[name]
    if given.get("tools"):
        chat |= _tools(given["tools"], given.get("tool_choice"))
        if given.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = given["parallel_tool_calls"]
    form = (given.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        names = ("name", "schema", "strict", "description")
        schema = {name: form[name] for name in names if form.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") == "json_object":
        chat["response_format"] = {"type": "json_object"}
    effort = (given.get("reasoning") or {}).get("effort")
    if effort:
        chat["reasoning_effort"] = effort
    return chat


def _beginning(fields: Fields) -> tuple[bytes, ...]:
    """What a conversation keeps from turn to turn: the instructions and the first words of the input."""
    given = bytes(fields["input"])
    if given.startswith(b"["):
        first = take(fields, "input", list[msgspec.Raw]) or [msgspec.Raw(b"")]
        given = bytes(first[0])
    return bytes(fields.get("instructions", b"")), given


def _read_input(given: Any, messages: list[Item]) -> None:
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
        return
    if not isinstance(given, list):
        raise InvalidRequest("“input” must be text or a list of items.", param="input")
    thoughts: list[Item] = []
    for number, item in enumerate(given):
        where = f"input[{number}]"
        match item.get("type") or "message":
            case "message":
                message = _message(item, where)
                if item["role"] == "assistant":
                    message = _thought(message, thoughts)
                messages.append(message)
            case "reasoning":
                thoughts.append(item)
            case "function_call":
                _call(item, messages, thoughts)
            case "function_call_output":
                _output(item, where, messages)
            case "item_reference":
                raise InvalidRequest(f"“{where}”: {_STORED}", param=where)
            case kind:
                raise InvalidRequest(
                    f"“{where}.type”: items of type {str(kind)[:60]!r} are not offered here.",
                    param=f"{where}.type",
                )


def _message(item: Item, where: str) -> Item:
    role = item["role"]
    if role not in ("user", "assistant", "system", "developer"):
        raise InvalidRequest(f"“{where}.role” is no role.", param=f"{where}.role")
    role = "system" if role == "developer" else role
    content = item["content"]
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [_part(part, f"{where}.content[{number}]") for number, part in enumerate(content)]
    if role != "user":
        return {"role": role, "content": "".join(str(part.get("text", "")) for part in parts)}
    return {"role": role, "content": parts}


def _part(part: Item, where: str) -> Item:
    match part["type"]:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "input_image" if part.get("image_url"):
            url = {"url": part["image_url"]}
            if part.get("detail"):
                url["detail"] = part["detail"]
            return {"type": "image_url", "image_url": url}
        case "input_file" if part.get("file_data"):
            file = {"filename": part.get("filename") or "file", "file_data": part["file_data"]}
            return {"type": "file", "file": file}
        case "input_image" | "input_file":
            raise InvalidRequest(
                f"“{where}”: no files are stored here; send the content itself.", param=where
            )
        case kind:
            raise InvalidRequest(
                f"“{where}.type”: {str(kind)[:60]!r} is not offered here.", param=f"{where}.type"
            )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest("“instructions” must be text.", param="instructions")
    return value


def _thought(message: Item, thoughts: list[Item]) -> Item:
    """A message of the assistant with the reasoning items that came before it."""
    texts, blocks = [], []
    for item in thoughts:
        text = "".join(part["text"] for part in item.get("summary") or item.get("content") or [])
        seal = item.get("encrypted_content")
        texts.append(text)
        if seal and seal.startswith(SEALED):
            blocks.append({"type": "redacted_thinking", "data": seal.removeprefix(SEALED)})
        elif seal:
            blocks.append({"type": "thinking", "thinking": text, "signature": seal})
    thoughts.clear()
    if blocks:
        message["thinking_blocks"] = blocks
    if any(texts):
        message["reasoning_content"] = "".join(texts)
    return message


def _call(item: Item, messages: list[Item], thoughts: list[Item]) -> None:
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant" and not thoughts:
        last.setdefault("tool_calls", []).append(call)
        return
    made = {"role": "assistant", "content": None, "tool_calls": [call]}
    messages.append(_thought(made, thoughts))


def _output(item: Item, where: str, messages: list[Item]) -> None:
    """A tool's result; its pictures have no place in a tool's message and follow it."""
    output = item["output"]
    pictures: list[Item] = []
    if not isinstance(output, str):
        parts = [_part(part, f"{where}.output[{number}]") for number, part in enumerate(output)]
        pictures = [part for part in parts if part["type"] != "text"]
        output = "\n".join(part["text"] for part in parts if part["type"] == "text")
    messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": output})
    if pictures:
        messages.append({"role": "user", "content": pictures})


def _tools(tools: list[Item], choice: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = {tool.get("name") for tool in choice["tools"]}
        tools = [tool for tool in tools if tool.get("name") in allowed]
        choice = choice.get("mode", "auto")
    made["tools"] = [_tool(tool, number) for number, tool in enumerate(tools)]
    if isinstance(choice, str):
        made["tool_choice"] = choice
    elif isinstance(choice, dict):
        if choice.get("type") != "function":
            raise InvalidRequest("“tool_choice” must name a function.", param="tool_choice")
        made["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    return made


def _tool(tool: Item, number: int) -> Item:
    if tool.get("type") != "function":
        raise InvalidRequest(
            f"“tools[{number}].type”: only functions are offered here, not {str(tool.get('type'))[:60]!r}.",
            param=f"tools[{number}].type",
        )
    function = {"name": tool["name"]}
    for name in ("description", "parameters", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}
