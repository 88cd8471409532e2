"""OpenAI's wire format: chat completions, embeddings, images and videos."""

import base64
import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from tokenhub.stack.providers.dashscope import Task
from tokenhub.stack.providers.text import Reply, Tool, Wishes, marks, reply, text_of, tokens

CACHE_FROM_BYTES = 1_024
CACHE_ENTRIES = 50_000
CREATED = 1_760_000_000
VIDEO_STATUS = {
    "PENDING": "queued",
    "RUNNING": "in_progress",
    "SUCCEEDED": "completed",
    "FAILED": "failed",
}


class _Request(msgspec.Struct):
    model: str
    messages: list[dict[str, Any]] = []
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Request)


class PromptCache:
    """Remembers conversations by all but their last message, like a provider's prompt cache."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def cached_tokens(self, place: str, messages: list[dict[str, Any]]) -> int:
        """Prompt tokens that were seen before at this place; short prompts are never cached."""
        if len(messages) < 2:
            self._remember(place, messages)
            return 0
        found = self._seen.get(_name(place, messages[:-1]), 0)
        self._remember(place, messages)
        return found

    def _remember(self, place: str, messages: list[dict[str, Any]]) -> None:
        size = sum(len(text_of(message.get("content"))) for message in messages)
        if size >= CACHE_FROM_BYTES:
            self._seen[_name(place, messages)] = size // 4
            self._seen[_name(place, messages[:-1])] = (
                sum(len(text_of(message.get("content"))) for message in messages[:-1]) // 4
            )
            while len(self._seen) > CACHE_ENTRIES:
                self._seen.popitem(last=False)


def _name(place: str, messages: list[dict[str, Any]]) -> bytes:
    text = "\n".join(text_of(message.get("content")) for message in messages)
    return hashlib.blake2b(f"{place}\n{text}".encode("utf-8", "replace"), digest_size=16).digest()


def parse(body: bytes) -> _Request:
    """A chat request; msgspec's errors say what is wrong with it."""
    request = _decoder.decode(body)
    if not request.messages:
        raise msgspec.ValidationError("messages must not be empty")
    return request


def chat_reply(request: _Request, cache: PromptCache, place: str) -> Reply:
    """What is answered."""
    texts = [text_of(message.get("content")) for message in request.messages]
    users = [
        text
        for message, text in zip(request.messages, texts, strict=True)
        if message.get("role") == "user"
    ]
    made = reply("".join(texts), users[-1] if users else "", len(texts), _wishes(request))
    made.cached_tokens = min(cache.cached_tokens(place, request.messages), made.prompt_tokens)
    return made


def _wishes(request: _Request) -> Wishes:
    functions = [tool.get("function", {}) for tool in request.tools]
    tools = [Tool(one.get("name", "tool"), one.get("parameters")) for one in functions]
    choice = request.tool_choice
    must_call = choice == "required"
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools", {})
        names = [one.get("function", {}).get("name") for one in allowed.get("tools", ())]
        names = names or [choice.get("function", {}).get("name")]
        tools = [tool for tool in tools if tool.name in names]
        if not tools:
            raise ValueError(f"tool_choice: there is no tool {names}")
        must_call = choice.get("type") == "function" or allowed.get("mode") == "required"
    elif choice == "none":
        tools = []
    if must_call and not tools:
        raise ValueError("tool_choice needs tools")
    output = request.response_format or {}
    return Wishes(
        limit=request.max_completion_tokens or request.max_tokens,
        tools=tools,
        must_call=must_call,
        as_json=output.get("type", "text") != "text",
        schema=(output.get("json_schema") or {}).get("schema"),
    )


def usage(made: Reply, choices: int) -> dict[str, Any]:
    """The exact usage of a reply."""
    completion = made.completion_tokens * choices
    return {
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": made.prompt_tokens + completion,
        "prompt_tokens_details": {"cached_tokens": made.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": len(made.reasoning) * choices},
    }


def chat(request: _Request, made: Reply, used: Any, call: str) -> bytes:
    """A plain answer."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(made.pieces) or None}
    if made.reasoning:
        message["reasoning_content"] = "".join(made.reasoning)
    if made.tools:
        message["tool_calls"] = [_tool_call(index, *tool) for index, tool in enumerate(made.tools)]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": made.finish}
        for index in range(request.n or 1)
    ]
    answer = {
        "id": f"chatcmpl-{call}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.model,
        "choices": choices,
        "system_fingerprint": "fp_simulated",
    }
    if used is not None:
        answer["usage"] = used
    return msgspec.json.encode(answer)


def _tool_call(index: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chat_events(request: _Request, made: Reply, used: Any, call: str) -> Iterator[bytes]:
    """A stream's events, one piece each."""
    head = (
        f'{{"id":"chatcmpl-{call}","object":"chat.completion.chunk","created":{CREATED},"model":'
    ).encode() + msgspec.json.encode(request.model)
    wants_usage = bool((request.stream_options or {}).get("include_usage"))
    rest = b',"usage":null}\n\n' if wants_usage else b"}\n\n"

    def event(index: int, delta: dict[str, Any], finish: bytes = b"null") -> bytes:
        return b'data: %b,"choices":[{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]%b' % (
            head, index, msgspec.json.encode(delta), finish, rest,
        )  # fmt: skip

    for index in range(request.n or 1):
        yield event(index, {"role": "assistant", "content": ""})
        for piece in made.reasoning:
            yield event(index, {"reasoning_content": piece})
        for number, (name, arguments) in enumerate(made.tools):
            begin = {**_tool_call(number, name, ""), "index": number}
            yield event(index, {"tool_calls": [begin]})
            for start in range(0, len(arguments), 8):
                part = {"index": number, "function": {"arguments": arguments[start : start + 8]}}
                yield event(index, {"tool_calls": [part]})
        for piece in made.pieces:
            yield event(index, {"content": piece})
        yield event(index, {}, b'"%b"' % made.finish.encode())
    if wants_usage and used is not None:
        yield b'data: %b,"choices":[],"usage":%b}\n\n' % (head, msgspec.json.encode(used))
    yield b"data: [DONE]\n\n"


def embeddings(body: dict[str, Any], *, empty: bool, used: Any) -> tuple[bytes, Any]:
    """Deterministic vectors, of eight numbers unless ``dimensions`` says more, and the exact usage."""
    given = body.get("input", "")
    many = isinstance(given, list) and not (given and isinstance(given[0], int))
    inputs = given if many else [given]
    size = int(body.get("dimensions") or 8)
    data = []
    total = 0
    for index, item in enumerate(inputs):
        total += tokens(item) if isinstance(item, str) else len(item)
        digest = hashlib.shake_256(str(item).encode()).digest(size)
        vector: Any = [round(byte / 255, 6) for byte in digest]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": total, "total_tokens": total}
    answer = {"object": "list", "data": [] if empty else data, "model": body.get("model")}
    counted = used(usage)
    if counted is not None:
        answer["usage"] = counted
    return msgspec.json.encode(answer), usage


PNG_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
IMAGE_TOKENS = 1_056


def images(
    body: dict[str, Any], url: str, *, empty: bool, used: Any, pictures: int = 0
) -> tuple[bytes, Any]:
    """Pictures, and the exact usage. GPT image models answer with bytes and count tokens; the others neither."""
    model, prompt = str(body.get("model", "")), str(body.get("prompt", ""))
    asked = marks(prompt)
    count = int(asked.get("images") or body.get("n") or 1)
    counts_tokens = model.startswith("gpt-image") or "count" in asked
    if counts_tokens and "response_format" in body and model.startswith("gpt-image"):
        raise ValueError("Unknown parameter: 'response_format'.")
    as_bytes = model.startswith("gpt-image") or body.get("response_format") == "b64_json"
    address = asked.get("url") or f"{url}/_media/{{}}.png"
    data = [
        {"b64_json": PNG_BASE64} if as_bytes else {"url": address.replace("{}", str(index))}
        for index in range(count)
    ]
    answer: dict[str, Any] = {"created": CREATED, "data": [] if empty else data}
    exact = None
    if counts_tokens:
        text = tokens(prompt)
        exact = {
            "input_tokens": text + IMAGE_TOKENS * pictures,
            "input_tokens_details": {"text_tokens": text, "image_tokens": IMAGE_TOKENS * pictures},
            "output_tokens": IMAGE_TOKENS * count,
            "total_tokens": text + IMAGE_TOKENS * (pictures + count),
        }
        answer["usage"] = used(exact)
        answer |= {"size": body.get("size") or "1024x1024", "quality": "medium"}
    return msgspec.json.encode({k: v for k, v in answer.items() if v is not None}), exact


def new_video(body: dict[str, Any], raw: bytes, call: str) -> Task:
    """A video from a request to create one."""
    size = str(body.get("size") or "1280x720")
    return Task(
        f"video_{call}",
        str(body.get("model", "")),
        raw,
        marks(str(body.get("prompt", ""))),
        int(body.get("seconds") or 5),
        1080 if "1080" in size else 720,
        size,
    )


def video(task: Task, *, empty: bool, fresh: bool = False) -> bytes:
    """How a video stands. Its bytes are at its own address below, for whoever has the key."""
    status = "queued" if fresh else VIDEO_STATUS[task.status()]
    answer: dict[str, Any] = {
        "id": "" if empty and fresh else task.id,
        "object": "video",
        "created_at": CREATED,
        "model": task.model,
        "status": status,
        "progress": {"queued": 0, "in_progress": 40}.get(status, 100),
        "seconds": str(task.seconds_made),
        "size": task.size,
        "error": None,
    }
    if status == "failed":
        answer["error"] = {"code": "generation_failed", "message": "The simulated video failed."}
    return msgspec.json.encode(answer)


def error(status: int, message: str) -> bytes:
    """OpenAI's error shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": None}}
    )
