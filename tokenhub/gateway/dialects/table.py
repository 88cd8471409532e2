"""Every inbound dialect over every upstream dialect: a passage where both speak the same, else a translation."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec

from routing.types import Offering
from tokenhub.gateway.dialects import passage_anthropic, passage_openai
from tokenhub.gateway.dialects.answer import Ending
from tokenhub.gateway.dialects.base import Completion
from tokenhub.gateway.dialects.inbound import chat_answer, messages_answer, responses_answer
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.upstream import anthropic, anthropic_request, openai
from tokenhub.gateway.dialects.ways import Relay, Way
from tokenhub.gateway.errors import GatewayError, InvalidRequest


class _Passage:
    """Client and provider speak the same."""

    def __init__(self, passage: Any, upstream: Any) -> None:
        self.path: str = upstream.PATH
        self._passage = passage
        self._upstream = upstream

    def headers(self, credential: str, request: TextRequest) -> Mapping[str, str]:
        presented: Mapping[str, str] = self._upstream.headers(credential)
        if request.beta and self._upstream is anthropic:
            return {**presented, "anthropic-beta": request.beta}
        return presented

    def request_body(self, request: TextRequest, offering: Offering) -> bytes:
        body: bytes = self._passage.request_body(request, offering)
        return body

    def completion(self, body: bytes, request: TextRequest, public_model: str) -> Completion:
        made: Completion = self._passage.completion(body, request, public_model)
        return made

    def relay(self, request: TextRequest, public_model: str) -> Relay:
        made: Relay = self._passage.Relay(request, public_model)
        return made


class _Translation:
    """Client and provider speak differently: through neutral words."""

    def __init__(self, answer: ModuleType, upstream: ModuleType, writing: ModuleType) -> None:
        self.path: str = upstream.PATH
        self._answer: Any = answer
        self._upstream: Any = upstream
        self._writing: Any = writing

    def headers(self, credential: str, _request: TextRequest) -> Mapping[str, str]:
        presented: Mapping[str, str] = self._upstream.headers(credential)
        return presented

    def request_body(self, request: TextRequest, offering: Offering) -> bytes:
        try:
            body: bytes = self._writing.request_body(request, offering)
        except (KeyError, TypeError, AttributeError, ValueError, msgspec.MsgspecError):
            raise InvalidRequest(
                "A field of the request does not have the shape of the API."
            ) from None
        return body

    def completion(self, body: bytes, request: TextRequest, public_model: str) -> Completion:
        said = self._upstream.said(body)
        rendered = self._answer.render(said, request, public_model)
        return Completion(rendered, said.ending.units)

    def relay(self, request: TextRequest, public_model: str) -> Relay:
        return _TranslatedRelay(self._upstream.Reader(), self._answer.Writer(request, public_model))


class _TranslatedRelay:
    """A stream read in one dialect and written in another."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._ending: Ending | None = None

    @property
    def has_content(self) -> bool:
        return bool(self._reader.has_content)

    def feed(self, data: bytes) -> list[bytes]:
        frames = (self._writer.write(event) for event in self._reader.feed(data))
        return [frame for frame in frames if frame]

    def finish(self) -> dict[str, int]:
        self._ending = self._reader.finish()
        return self._ending.units

    def end(self, cost_usd: str) -> bytes:
        frames: bytes = self._writer.end(self._ending, cost_usd)
        return frames

    def fault(self, error: GatewayError) -> bytes:
        frames: bytes = self._writer.fault(error)
        return frames


_INBOUND = {
    "openai": chat_answer,
    "anthropic": messages_answer,
    "responses": responses_answer,
}
_UPSTREAM = {"openai": (openai, openai), "anthropic": (anthropic, anthropic_request)}
UPSTREAM = frozenset(_UPSTREAM)
"""The dialects of providers that text can be asked in."""

_TABLE: dict[tuple[str, str], Way] = {
    (client, provider): _Translation(answer, reading, writing)
    for client, answer in _INBOUND.items()
    for provider, (reading, writing) in _UPSTREAM.items()
}
_TABLE["openai", "openai"] = _Passage(passage_openai, openai)
_TABLE["anthropic", "anthropic"] = _Passage(passage_anthropic, anthropic)


def way(request: TextRequest, offering: Offering) -> Way:
    """How to ask an offering for the client of a request."""
    return _TABLE[request.shape, offering.dialect]


def fault(request: TextRequest, error: GatewayError) -> bytes:
    """An error in a stream that no provider has begun to answer."""
    frames: bytes = _INBOUND[request.shape].Writer(request, request.model).fault(error)
    return frames
