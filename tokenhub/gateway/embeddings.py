"""Embeddings: the request, and its way: decide → hold the worst case → attempt ×≤3 → meter → settle.

Source: OpenAI's embeddings reference. Inputs are texts or lists of tokens, one or many.
"""

import hashlib

import msgspec

from billing.money import service_fee_nano
from routing import pricing
from routing.types import Boundaries, Offering
from tokenhub.gateway.chat import recorded
from tokenhub.gateway.chat.admit import hold
from tokenhub.gateway.chat.attempt import attempt
from tokenhub.gateway.chat.decide import decide_route
from tokenhub.gateway.chat.exchange import Answer, Exchange, public_model
from tokenhub.gateway.chat.provider import check_status, succeeded
from tokenhub.gateway.chat.settle import charge, settle_plain
from tokenhub.gateway.credentials import with_credential
from tokenhub.gateway.dialects.base import MAX_COUNT, Fields, InvalidResult
from tokenhub.gateway.dialects.fields import (
    ProviderOptions,
    read_object,
    take,
    take_model,
    take_routing,
)
from tokenhub.gateway.dialects.upstream import openai
from tokenhub.gateway.errors import InvalidRequest
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response

PATH = "/embeddings"
DIALECTS = frozenset({"openai"})
MAX_INPUTS = 2_048
# What a provider may add to an input by itself.
INPUT_TOKENS = 8

_Input = str | list[str | int | list[int]]


class _Datum(msgspec.Struct):
    embedding: msgspec.Raw
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Answer(msgspec.Struct):
    data: list[_Datum]
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class EmbeddingRequest(msgspec.Struct):
    """A checked request for embeddings."""

    fields: Fields
    model: str
    inputs: int
    input_bound: int
    """No tokenizer makes more tokens of the longest input than this."""
    total_bound: int
    """No tokenizer makes more tokens of all of them than this."""
    conversation: bytes
    options: ProviderOptions
    boundaries: Boundaries | None
    session_id: str
    stream: bool = False
    max_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    modality: str = "embedding"
    shape: str = "openai"
    narrowed_by: str = ""


def parse(body: bytes, session_id: str) -> EmbeddingRequest:
    """Read a request; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    model = take_model(fields)
    sizes = [size + INPUT_TOKENS for size in _sizes(fields)]
    dimensions = take(fields, "dimensions", int)
    if dimensions is not None and not 1 <= dimensions <= 100_000:
        raise InvalidRequest("“dimensions” must be between 1 and 100,000.", param="dimensions")
    if take(fields, "encoding_format", str) not in (None, "float", "base64"):
        raise InvalidRequest("“encoding_format” must be float or base64.", param="encoding_format")
    options, boundaries = take_routing(fields)
    return EmbeddingRequest(
        fields=fields,
        model=model,
        inputs=len(sizes),
        input_bound=max(sizes),
        total_bound=sum(sizes),
        # There is no cache to come back to: equal inputs go the same way, others are spread.
        conversation=session_id.encode()
        or hashlib.blake2b(bytes(fields["input"]), digest_size=16).digest(),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


def _sizes(fields: Fields) -> list[int]:
    """The most tokens that each input can have."""
    given = take(fields, "input", _Input, required=True)
    inputs: list[str | int | list[int]] = [given] if isinstance(given, str) else given
    if inputs and isinstance(inputs[0], int):
        inputs = [take(fields, "input", list[int])]
    if not 1 <= len(inputs) <= MAX_INPUTS or any(not one or isinstance(one, int) for one in inputs):
        raise InvalidRequest(
            f"“input” must be 1 to {MAX_INPUTS:,} texts or lists of tokens, none of them empty.",
            param="input",
        )
    return [len(one.encode() if isinstance(one, str) else one) for one in inputs]  # type: ignore[arg-type]


async def answer(runtime: Runtime, exchange: Exchange[EmbeddingRequest]) -> Answer:
    """Carry a request to its result; every ``GatewayError`` has been recorded when it is raised."""
    with recorded(runtime, exchange):
        candidates = decide_route(runtime, exchange, DIALECTS, cost_nano=_worst_case_nano)
        need_nano = max(_worst_case_nano(exchange, one.offering) for one in candidates)
        exchange.hold = await hold(runtime, exchange, need_nano)
        return await attempt(runtime, exchange, candidates, _once)


def _worst_case_nano(exchange: Exchange[EmbeddingRequest], offering: Offering) -> int:
    """The highest possible cost with the service fee."""
    assert offering.price is not None, "decide excludes what has no price"
    fee = pricing.worst_case_nano(offering.price, exchange.request.total_bound, 0)
    return max(1, fee + service_fee_nano(fee, exchange.caller.fee_bps))


async def _once(
    runtime: Runtime, exchange: Exchange[EmbeddingRequest], offering: Offering, began_s: float
) -> Answer:
    """One try at one offering."""
    request = exchange.request
    fields = {**request.fields, "model": msgspec.Raw(msgspec.json.encode(offering.upstream_model))}
    asked = msgspec.json.encode(fields)

    async def ask(access: Access, credential: str) -> Response:
        return await runtime.client.post(
            access.origin,
            PATH,
            {**openai.headers(credential), "x-request-id": f"req_{exchange.request_id.hex}"},
            asked,
            first_byte_timeout_s=runtime.timeouts.plain_s,
        )

    response = await with_credential(runtime, offering, ask, exchange.refusals)
    async with response:
        exchange.status = response.status
        await check_status(runtime, response, offering)
        body = await response.read(runtime.timeouts.plain_s)
    shaped, units = completion(body, request.inputs, public_model(exchange, offering))
    due = charge(exchange, offering, units)
    succeeded(runtime, exchange, offering, began_s)
    return await settle_plain(runtime, exchange, due, shaped)


def completion(body: bytes, inputs: int, model: str) -> tuple[bytes, dict[str, int]]:
    """The answer for the client and the units used; ``InvalidResult`` where an embedding is missing."""
    try:
        body.decode()
        made = _answer.decode(body)
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None
    if not made.data or any(len(bytes(datum.embedding)) <= 2 for datum in made.data):
        raise InvalidResult("empty")
    if sorted(datum.index for datum in made.data) != list(range(inputs)):
        raise InvalidResult("truncated")
    if made.usage is None:
        raise InvalidResult("no_usage")
    if not 1 <= made.usage.prompt_tokens <= MAX_COUNT:
        raise InvalidResult("invalid_usage")
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields), {"input": made.usage.prompt_tokens}
