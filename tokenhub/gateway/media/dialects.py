"""Pictures in the dialects of providers: the request as they want it, and the pictures of their answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects.base import Fields, InvalidResult
from tokenhub.gateway.media.forms import Upload
from tokenhub.gateway.media.requests import ImageRequest

MAX_COUNT = 100_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, by its address or by its bytes in base64."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a provider answered."""

    pictures: list[Picture]
    usage: msgspec.Raw | None = None
    """Its usage as it said it."""
    notes: dict[str, str] = field(default_factory=dict)
    """What else it said of all of them: size, quality …"""


class _TokenDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _TokenDetails | None = None

    def units(self) -> dict[str, int]:
        """Disjoint units; ``InvalidResult`` where it contradicts itself."""
        cached = (self.input_tokens_details and self.input_tokens_details.cached_tokens) or 0
        counts = {
            "input": self.input_tokens - cached,
            "cached_input": cached,
            "output": self.output_tokens,
        }
        if (
            min(counts.values()) < 0
            or sum(counts.values()) > MAX_COUNT
            or not self.output_tokens
            or not self.input_tokens
        ):
            raise InvalidResult("invalid_usage")
        return {unit: count for unit, count in counts.items() if count}


class _Datum(msgspec.Struct):
    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None


class _OpenAIAnswer(msgspec.Struct):
    data: list[_Datum] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    size: Any = None
    quality: Any = None
    background: Any = None
    output_format: Any = None


_openai_answer = msgspec.json.Decoder(_OpenAIAnswer)
_usage = msgspec.json.Decoder(_Usage)


class OpenAI:
    """``POST …/images/generations`` and ``…/images/edits``."""

    def path(self, request: ImageRequest) -> str:
        """What follows the base URL."""
        return "/images/edits" if request.files else "/images/generations"

    def headers(self, credential: str) -> Mapping[str, str]:
        """How the credential is presented."""
        return {"authorization": f"Bearer {credential}"}

    def _fields(self, request: ImageRequest, offering: Offering) -> Fields:
        fields: Fields = dict(request.extra)
        fields["model"] = _raw(offering.upstream_model)
        fields["prompt"] = _raw(request.prompt)
        fields["n"] = _raw(request.count)
        if request.size is not None:
            fields["size"] = _raw(request.size.replace("*", "x"))
        # GPT image models refuse the field: they answer with bytes, whatever is asked.
        if request.wants is not None and not offering.upstream_model.startswith("gpt-image"):
            fields["response_format"] = _raw(request.wants)
        return fields

    def body(self, request: ImageRequest, offering: Offering) -> bytes | Upload:
        """The request as JSON, or as a form where it has files."""
        fields = self._fields(request, offering)
        if not request.files:
            return msgspec.json.encode(fields)
        return Upload({name: _plain(value) for name, value in fields.items()}, request.files)

    def pictures(self, body: bytes) -> Pictures:
        """The pictures of an answer; ``InvalidResult`` where there is none."""
        answer: _OpenAIAnswer = _decode(_openai_answer, body)
        found = [
            Picture(datum.url or None, datum.b64_json or None, datum.revised_prompt)
            for datum in answer.data or []
        ]
        notes = {
            name: value
            for name in ("size", "quality", "background", "output_format")
            if isinstance(value := getattr(answer, name), str)
        }
        return Pictures(found, _said(answer.usage), notes)


class _DashScopeMessage(msgspec.Struct):
    content: list[dict[str, Any]] = []


class _DashScopeChoice(msgspec.Struct):
    message: _DashScopeMessage


class _DashScopeOutput(msgspec.Struct):
    choices: list[_DashScopeChoice] = []


class _DashScopeAnswer(msgspec.Struct):
    output: _DashScopeOutput | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_dashscope_answer = msgspec.json.Decoder(_DashScopeAnswer)


class DashScope:
    """``POST …/services/aigc/multimodal-generation/generation``, answered at once."""

    def path(self, request: ImageRequest) -> str:
        """What follows the base URL."""
        return "/services/aigc/multimodal-generation/generation"

    def headers(self, credential: str) -> Mapping[str, str]:
        """How the credential is presented."""
        return {"authorization": f"Bearer {credential}"}

    def body(self, request: ImageRequest, offering: Offering) -> bytes:
        """The request: messages as they came, or one of the prompt."""
        parameters: Fields = dict(request.parameters)
        parameters["n"] = _raw(request.count)
        if request.size not in (None, "auto"):
            parameters["size"] = _raw(str(request.size).replace("x", "*"))
        messages = request.content or _raw(
            [{"role": "user", "content": [{"text": request.prompt}]}]
        )
        return msgspec.json.encode(
            {
                "model": offering.upstream_model,
                "input": {"messages": messages},
                "parameters": parameters,
            }
        )

    def pictures(self, body: bytes) -> Pictures:
        """The pictures of an answer; ``InvalidResult`` where there is none."""
        answer: _DashScopeAnswer = _decode(_dashscope_answer, body)
        choices = answer.output.choices if answer.output is not None else []
        found = [
            Picture(url=part["image"])
            for choice in choices
            for part in choice.message.content
            if isinstance(part.get("image"), str) and part["image"]
        ]
        return Pictures(found, _said(answer.usage))


class Dialect(Protocol):
    """What both kinds of provider are asked by."""

    def path(self, request: ImageRequest) -> str:
        """What follows the base URL."""

    def headers(self, credential: str) -> Mapping[str, str]:
        """How the credential is presented."""

    def body(self, request: ImageRequest, offering: Offering) -> bytes | Upload:
        """The request as JSON, or as a form where it has files."""

    def pictures(self, body: bytes) -> Pictures:
        """The pictures of an answer; ``InvalidResult`` where it is none."""


DIALECTS: dict[str, Dialect] = {"openai": OpenAI(), "dashscope": DashScope()}


def token_units(usage: msgspec.Raw | None) -> dict[str, int]:
    """A usage of tokens in disjoint units; ``InvalidResult`` where there is none, or none that can be."""
    if usage is None:
        raise InvalidResult("no_usage")
    try:
        return _usage.decode(usage).units()
    except (msgspec.DecodeError, RecursionError):
        raise InvalidResult("invalid_usage") from None


def _said(usage: msgspec.Raw) -> msgspec.Raw | None:
    return None if bytes(usage) == b"null" else usage


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None


def _plain(value: msgspec.Raw) -> str:
    """A value as a form has it: text bare, anything else as JSON."""
    decoded = msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else bytes(value).decode()


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
