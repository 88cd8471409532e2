"""The way of a request for pictures: decide → hold the worst case → attempt ×≤3 → meter → settle."""

import time

import msgspec

from billing.money import service_fee_nano
from routing import pricing
from routing.types import Offering, Price
from tokenhub.gateway.chat import recorded
from tokenhub.gateway.chat.admit import hold
from tokenhub.gateway.chat.attempt import attempt
from tokenhub.gateway.chat.decide import decide_route
from tokenhub.gateway.chat.exchange import Answer, Exchange, public_model
from tokenhub.gateway.chat.provider import check_status, succeeded
from tokenhub.gateway.chat.settle import charge, settle_plain
from tokenhub.gateway.credentials import with_credential
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.media.deliver import deliverable
from tokenhub.gateway.media.dialects import DIALECTS, Picture, Pictures, token_units
from tokenhub.gateway.media.forms import Upload
from tokenhub.gateway.media.requests import DASHSCOPE, ImageRequest
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response

# What a picture costs in tokens, at most: one that is made, where the offering says no less, and one
# that is shown to the model.
OUTPUT_TOKENS = 8_192
PICTURE_TOKENS = 8_192


async def answer(runtime: Runtime, exchange: Exchange[ImageRequest]) -> Answer:
    """Carry a request to its pictures; every ``GatewayError`` has been recorded when it is raised."""
    with recorded(runtime, exchange):
        candidates = decide_route(
            runtime, exchange, exchange.request.dialects, cost_nano=_worst_case_nano
        )
        need_nano = max(_worst_case_nano(exchange, one.offering) for one in candidates)
        exchange.hold = await hold(runtime, exchange, need_nano)
        return await attempt(runtime, exchange, candidates, _once)


def _worst_case_nano(exchange: Exchange[ImageRequest], offering: Offering) -> int:
    """The highest possible cost with the service fee."""
    request, price = exchange.request, offering.price
    assert price is not None, "decide excludes what has no price"
    if _by_picture(price):
        _, model_fee = pricing.fee_lines(price, {"image": request.count})
    else:
        input_tokens = request.input_bound + PICTURE_TOKENS * request.pictures
        output_tokens = _most_output(offering) * request.count
        model_fee = pricing.worst_case_nano(price, input_tokens, output_tokens)
    return max(1, model_fee + service_fee_nano(model_fee, exchange.caller.fee_bps))


async def _once(
    runtime: Runtime, exchange: Exchange[ImageRequest], offering: Offering, began_s: float
) -> Answer:
    """One try at one offering. Pictures that cannot be delivered or metered are no result."""
    request = exchange.request
    response = await _send(runtime, exchange, offering)
    async with response:
        exchange.status = response.status
        await check_status(runtime, response, offering)
        body = await response.read(runtime.timeouts.plain_s)
    found = DIALECTS[offering.dialect].pictures(body)
    # More than was asked for is neither delivered nor charged; fewer are charged as they are.
    pictures = found.pictures[: request.count]
    if not pictures:
        raise InvalidResult("empty")
    due = charge(exchange, offering, _units(request, offering, found, len(pictures)))
    delivered = [await deliverable(runtime, picture, request.wants) for picture in pictures]
    succeeded(runtime, exchange, offering, began_s)
    return await settle_plain(
        runtime, exchange, due, _body(exchange, offering, found, delivered, due.units)
    )


async def _send(runtime: Runtime, exchange: Exchange[ImageRequest], offering: Offering) -> Response:
    request, dialect = exchange.request, DIALECTS[offering.dialect]
    body = dialect.body(request, offering)

    async def ask(access: Access, credential: str) -> Response:
        return await runtime.client.post(
            access.origin,
            dialect.path(request),
            {**dialect.headers(credential), "x-request-id": f"req_{exchange.request_id.hex}"},
            body,
            first_byte_timeout_s=runtime.timeouts.plain_s,
            content_type=body.content_type if isinstance(body, Upload) else "application/json",
        )

    return await with_credential(runtime, offering, ask, exchange.refusals)


def _units(
    request: ImageRequest, offering: Offering, found: Pictures, delivered: int
) -> dict[str, int]:
    """What is charged: pictures where they have a price, else the provider's tokens."""
    assert offering.price is not None
    if _by_picture(offering.price):
        return {"image": delivered}
    tokens = token_units(found.usage)
    # A little beyond the bound is charged up to the hold; far beyond, nobody can have used.
    if tokens["output"] > 2 * _most_output(offering) * request.count:
        raise InvalidResult("invalid_usage")
    return tokens


def _by_picture(price: Price) -> bool:
    return any(part.unit == "image" for part in price.components)


def _most_output(offering: Offering) -> int:
    return offering.max_output or OUTPUT_TOKENS


def _body(
    exchange: Exchange[ImageRequest],
    offering: Offering,
    found: Pictures,
    delivered: list[Picture],
    units: dict[str, int],
) -> bytes:
    """The answer in OpenAI's shape; where the question was in DashScope's, readers of that find theirs too."""
    answer = {
        "created": int(time.time()),
        "model": public_model(exchange, offering),
        "data": [_datum(picture) for picture in delivered],
        **found.notes,
    }
    if "output" in units and found.usage is not None:
        answer["usage"] = found.usage
    if exchange.request.shape == DASHSCOPE:
        answer["request_id"] = f"req_{exchange.request_id.hex}"
        answer["output"] = {
            "choices": [_choice(picture) for picture in delivered],
            "finished": True,
        }
        counted = {} if "output" not in units else msgspec.json.decode(found.usage or b"{}")
        answer["usage"] = {**counted, "image_count": len(delivered)}
    return msgspec.json.encode(answer)


def _datum(picture: Picture) -> dict[str, str]:
    fields = {
        "url": picture.url,
        "b64_json": picture.b64_json,
        "revised_prompt": picture.revised_prompt,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _choice(picture: Picture) -> dict[str, object]:
    content = [{"type": "image", "image": picture.url}]
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
