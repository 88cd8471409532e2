"""Requests for pictures as clients send them: flat (OpenAI's shape), as a form, or in DashScope's shape."""

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

from routing.types import Boundaries
from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import (
    ProviderOptions,
    read_object,
    take,
    take_model,
    take_routing,
)
from tokenhub.gateway.errors import InvalidRequest, UnsupportedMediaType
from tokenhub.gateway.media.forms import File, Form

MAX_IMAGES = 10
MAX_PROMPT = 32_000
PROMPT_TOKENS = 16
"""What a provider may add to a prompt by itself."""
FLAT, DASHSCOPE = "openai", "dashscope"
OPENAI = frozenset({"openai"})
BOTH = frozenset({"openai", "dashscope"})
_SIZE = re.compile(r"[0-9]{2,5}[x*][0-9]{2,5}|auto|[0-9]K")
# Of the flat shape, what DashScope's parameters say too, and what may be left out of them.
_ALSO_DASHSCOPE = ("negative_prompt", "seed", "watermark", "prompt_extend")
_HINTS = frozenset({"quality", "style", "user", "safety_identifier"})
# Of DashScope's parameters, what may be left out where the provider speaks OpenAI's dialect.
_DASHSCOPE_HINTS = frozenset({"prompt_extend"})


@dataclass(slots=True)
class ImageRequest:
    """A checked request for pictures, whatever its shape was."""

    shape: str
    model: str
    prompt: str
    count: int
    size: str | None
    """``WIDTHxHEIGHT`` or what else the client said."""
    wants: str | None
    """``url`` or ``b64_json`` where the client said."""
    extra: Fields
    """What else goes to a provider, by its name in OpenAI's dialect."""
    parameters: Fields
    """What else goes to a provider, by its name among DashScope's parameters."""
    content: msgspec.Raw | None
    """DashScope's messages as they came, where the client sent them."""
    dialects: frozenset[str]
    """Providers that can be told all of it."""
    narrowed_by: str
    """What some cannot be told, by its name in the request."""
    options: ProviderOptions
    boundaries: Boundaries | None
    session_id: str
    capabilities: frozenset[str] = frozenset()
    pictures: int = 0
    """How many pictures are part of what is asked."""
    files: list[File] = field(default_factory=list)
    """The pictures themselves, where they came as files."""
    stream: bool = False
    max_tokens: int | None = None
    modality: str = "image"
    conversation: bytes = field(init=False)
    input_bound: int = field(init=False)

    def __post_init__(self) -> None:
        text = self.prompt.encode("utf-8", "replace")
        self.input_bound = len(text) + PROMPT_TOKENS
        self.conversation = (
            b"session:" + self.session_id.encode()
            if self.session_id
            else hashlib.blake2b(text, digest_size=16).digest()
        )


def parse_images(body: bytes, session_id: str) -> ImageRequest:
    """Read a request in either shape; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    model = take_model(fields)
    options, boundaries = take_routing(fields)
    del fields["model"]
    read = _dashscope if "input" in fields else _flat
    return read(fields, model, options, boundaries, session_id)


def _flat(
    fields: Fields,
    model: str,
    options: ProviderOptions,
    boundaries: Boundaries | None,
    session_id: str,
) -> ImageRequest:
    prompt = check_prompt(take(fields, "prompt", str, required=True), "prompt")
    if take(fields, "stream", bool | None):
        raise InvalidRequest("Pictures are not streamed: leave “stream” out.", param="stream")
    wants = check_wants(take(fields, "response_format", str | None))
    count = check_count(take(fields, "n", int | None), "n")
    size = check_size(take(fields, "size", str | None), "size")
    for name in ("prompt", "stream", "response_format", "n", "size", "partial_images"):
        fields.pop(name, None)
    also = {name: fields[name] for name in _ALSO_DASHSCOPE if name in fields}
    beyond = set(fields) - {*_ALSO_DASHSCOPE, *_HINTS}
    return ImageRequest(
        shape=FLAT,
        model=model,
        prompt=prompt,
        count=count,
        size=size,
        wants=wants,
        extra=fields,
        parameters=also,
        content=None,
        dialects=OPENAI if beyond else BOTH,
        narrowed_by=min(beyond, default=""),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


class _Message(msgspec.Struct):
    role: str
    content: list[dict[str, str]] | str


class _Input(msgspec.Struct):
    messages: list[_Message]


class _RawInput(msgspec.Struct):
    messages: msgspec.Raw


def _dashscope(
    fields: Fields,
    model: str,
    options: ProviderOptions,
    boundaries: Boundaries | None,
    session_id: str,
) -> ImageRequest:
    given: _Input = take(fields, "input", _Input, required=True)
    raw: _RawInput = take(fields, "input", _RawInput, required=True)
    texts: list[str] = []
    pictures = 0
    for message in given.messages:
        parts = [{"text": message.content}] if isinstance(message.content, str) else message.content
        texts += [part["text"] for part in parts if "text" in part]
        pictures += sum("image" in part for part in parts)
    prompt = check_prompt("\n".join(texts), "input.messages")
    parameters: Fields = take(fields, "parameters", dict[str, msgspec.Raw] | None) or {}
    count = check_count(take(parameters, "n", int | None, within="parameters"), "parameters.n")
    size = check_size(take(parameters, "size", str | None, within="parameters"), "parameters.size")
    for name in ("n", "size"):
        parameters.pop(name, None)
    unmarked = bytes(parameters.get("watermark", msgspec.Raw(b"false"))).strip() == b"false"
    beyond = set(parameters) - _DASHSCOPE_HINTS - ({"watermark"} if unmarked else set())
    return ImageRequest(
        shape=DASHSCOPE,
        model=model,
        prompt=prompt,
        count=count,
        size=size.replace("*", "x") if size else None,
        wants="url",
        extra={},
        parameters=parameters,
        content=raw.messages,
        dialects=frozenset({"dashscope"}) if beyond or pictures else BOTH,
        narrowed_by=f"parameters.{min(beyond)}" if beyond else "",
        options=options,
        boundaries=boundaries,
        session_id=session_id,
        capabilities=frozenset({"edits"} if pictures else ()),
        pictures=pictures,
    )


_KINDS = frozenset({"image/png", "image/jpeg", "image/webp", "application/octet-stream", ""})
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")
_FILE_FIELDS = frozenset({"image", "image[]", "mask"})
MAX_PICTURES = 16
# Of a form's fields, what is not text.
_NUMBERS = frozenset({"n", "output_compression", "partial_images"})
_OBJECTS = frozenset({"provider"})
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,9})")


def parse_edit(form: Form, session_id: str) -> ImageRequest:
    """Read ``POST /v1/images/edits``: the flat shape, as a form with pictures."""
    fields: Fields = {name: _field(name, text) for name, text in form.fields.items()}
    model = take_model(fields)
    options, boundaries = take_routing(fields)
    del fields["model"]
    request = _flat(fields, model, options, boundaries, session_id)
    images = [file for file in form.files if file.name != "mask"]
    if not images:
        raise InvalidRequest("“image” is missing: send one or more files.", param="image")
    if len(images) > MAX_PICTURES or len(form.files) > len(images) + 1:
        raise InvalidRequest(
            f"At most {MAX_PICTURES} pictures and one mask are accepted.", param="image"
        )
    for file in form.files:
        _check_file(file)
    request.files = form.files
    request.pictures = len(form.files)
    request.dialects = OPENAI
    request.capabilities = frozenset({"edits"})
    return request


def _field(name: str, text: str) -> msgspec.Raw:
    """A form's field as JSON, which is how every other field came."""
    if name in _OBJECTS or (name in _NUMBERS and _NUMBER.fullmatch(text)):
        return msgspec.Raw(text.encode())
    if name == "stream":
        return msgspec.Raw(b"true" if text.lower() in ("true", "1") else b"false")
    return msgspec.Raw(msgspec.json.encode(text))


def _check_file(file: File) -> None:
    if file.name not in _FILE_FIELDS:
        raise InvalidRequest(f"“{file.name[:40]}” is not a file's field here.", param="image")
    if file.kind not in _KINDS or not file.beginning(16).startswith(_BEGINNINGS):
        raise UnsupportedMediaType(
            f"“{file.name}” is not a picture: PNG, JPEG and WebP are accepted.", param=file.name
        )


def check_prompt(prompt: str, param: str) -> str:
    """A prompt of a sensible length."""
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise InvalidRequest(f"The prompt has 1 to {MAX_PROMPT:,} characters.", param=param)
    return prompt


def check_count(count: int | None, param: str) -> int:
    """How many pictures; one unless said otherwise."""
    if count is None:
        return 1
    if not 1 <= count <= MAX_IMAGES:
        raise InvalidRequest(f"“{param}” must be between 1 and {MAX_IMAGES}.", param=param)
    return count


def check_size(size: str | None, param: str) -> str | None:
    """A size as OpenAI or DashScope spell it."""
    if size is not None and not _SIZE.fullmatch(size):
        raise InvalidRequest(
            f"“{param}” is like 1024x1024 or 1024*1024, or “auto”, not “{size[:40]}”.", param=param
        )
    return size


def check_wants(wants: str | None) -> str | None:
    """How the client wants its pictures."""
    if wants not in (None, "url", "b64_json"):
        raise InvalidRequest("“response_format” must be url or b64_json.", param="response_format")
    return wants
