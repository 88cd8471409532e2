"""One request on its way: what is known of it so far, and what its record will say."""

import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from routing.types import Boundaries, Decision, Offering
from tokenhub import tracing
from tokenhub.gateway import metrics
from tokenhub.gateway.credentials import Refusal
from tokenhub.gateway.dialects.fields import ProviderOptions
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.leases import Hold


class Request(Protocol):
    """What every kind of request says of itself; the rest is for whoever sends it."""

    model: str
    stream: bool
    max_tokens: int | None
    capabilities: frozenset[str]
    conversation: bytes
    input_bound: int
    options: ProviderOptions
    boundaries: Boundaries | None
    session_id: str
    narrowed_by: str
    """A parameter that only some dialects of providers have a place for; empty where all have."""

    @property
    def modality(self) -> str:
        """What the model must be for."""

    @property
    def shape(self) -> str:
        """The client's dialect, for the record."""


_NOTHING = msgspec.Raw(b"{}")
AnyRequest = TypeVar("AnyRequest", bound=Request)


class Attempt(msgspec.Struct, omit_defaults=True):
    """One try at one offering, for the trace."""

    provider: str
    region: str
    outcome: str
    status: int | None
    latency_ms: int
    refused_credentials: tuple[Refusal, ...] = ()
    """Which of our credentials the provider refused or limited on the way, for the operators."""


class Exchange(msgspec.Struct, Generic[AnyRequest]):
    """One request on its way, and everything its record will say."""

    request_id: uuid.UUID
    caller: Caller
    request: AnyRequest
    started_s: float
    created_at: datetime
    secret: str = ""
    decision: Decision | None = None
    routing: msgspec.Raw = _NOTHING
    attempts: list[Attempt] = []
    hold: Hold | None = None
    offering: Offering | None = None
    status: int | None = None
    """What the provider that is being tried answered."""
    first_token_ms: int | None = None
    held_short: bool = False
    """Whether what is held does not cover the model's own limit of the answer, and the client set none."""
    derived_max_tokens: int | None = None
    """The limit of the answer that the money or ``max_cost`` made us set, where the client set none."""
    claimed: bool = False
    """Whether it has an ``Idempotency-Key``: it is charged only while the key is its own."""
    refusals: list[Refusal] = []
    """Of our credentials, in the attempt that is under way."""
    slot: int = -1
    """The journal's slot of a stream that is charged: what comes next is its end."""

    def __repr__(self) -> str:
        return f"Exchange({self.request_id})"  # never the secret


class Answer(msgspec.Struct):
    """What the client gets: headers, and either a whole body or frames that are still coming."""

    headers: dict[str, str]
    body: bytes = b""
    frames: AsyncIterator[bytes] | None = None
    slot: int = -1
    """The journal's slot of a whole body, to be given back in the instant it is sent."""


def note(
    exchange: Exchange[Any], offering: Offering, outcome: str, status: int | None, began_s: float
) -> None:
    latency_ms = int((time.monotonic() - began_s) * 1000)
    metrics.attempted(offering.provider, outcome)
    if tracing.is_on():
        told = {
            "provider": offering.provider,
            "region": offering.region,
            "outcome": outcome,
            "http.response.status_code": status or 0,
        }
        tracing.part("attempt", began_s, told, failed=outcome != "succeeded")
    refused, exchange.refusals = tuple(exchange.refusals), []
    exchange.attempts.append(
        Attempt(offering.provider, offering.region, outcome, status, latency_ms, refused)
    )


def public_model(exchange: Exchange[Any], offering: Offering) -> str:
    """The name a response carries: as asked, but for a plan model, which stands for several."""
    requested = exchange.request.model
    return offering.model if requested.startswith("tokenhub/") else requested


def bounds(request: TextRequest, offering: Offering) -> tuple[int, int]:
    """The most tokens of prompt and of answer that a request can have at an offering."""
    context = offering.context_length or request.input_bound
    most_output = offering.max_output or offering.context_length or 1_000_000
    return min(request.input_bound, context), min(request.max_tokens or most_output, most_output)


def routed_headers(exchange: Exchange[Any]) -> dict[str, str]:
    offering = exchange.offering
    assert offering is not None
    tried = len(exchange.attempts) + (1 if exchange.request.stream else 0)
    headers = {
        "x-tokenhub-provider": offering.provider,
        "x-tokenhub-region": offering.region,
        "x-tokenhub-attempts": str(tried),
    }
    if exchange.derived_max_tokens is not None:
        headers["x-tokenhub-max-tokens"] = str(exchange.derived_max_tokens)
    return headers
