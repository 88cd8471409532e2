"""The way of a request for a video: decide → put it on record with its money held → begin it at ≤3 providers.

From there on it is a task: whoever follows tasks (``follow``) carries it to its end, and only its
success is charged, at the price fixed here.
"""

from datetime import timedelta
from typing import Any

import structlog

from billing.money import service_fee_nano, usd_from_nano
from routing import pricing
from routing.credentials import fingerprint
from routing.types import Candidate, Offering
from tokenhub.gateway.chat import recorded
from tokenhub.gateway.chat.admit import set_aside
from tokenhub.gateway.chat.attempt import attempt
from tokenhub.gateway.chat.decide import decide_route
from tokenhub.gateway.chat.exchange import Answer, Exchange, routed_headers
from tokenhub.gateway.chat.provider import check_status, succeeded
from tokenhub.gateway.chat.settle import storable
from tokenhub.gateway.credentials import with_credential
from tokenhub.gateway.database import DatabaseAway
from tokenhub.gateway.errors import CannotBill, GatewayError, InvalidRequest
from tokenhub.gateway.media.video_dialects import DIALECTS
from tokenhub.gateway.media.video_requests import VideoRequest
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.taskbook import LEASE_MARGIN_S, Task, instant
from tokenhub.gateway.upstream import Response

log = structlog.get_logger(__name__)

CREATE_TIMEOUT_S = 60.0


async def create(runtime: Runtime, exchange: Exchange[VideoRequest]) -> dict[str, str]:
    """Begin a video; the headers of the answer. Every ``GatewayError`` is on record when it is raised."""
    with recorded(runtime, exchange):
        candidates = _priced(
            exchange,
            decide_route(runtime, exchange, exchange.request.dialects, cost_nano=_quote_or_nothing),
        )
        if runtime.settler.away:
            raise CannotBill()
        hold_nano = max(_quote(exchange, candidate.offering) for candidate in candidates)
        life_s = runtime.config.tasks.deadline_s + LEASE_MARGIN_S
        async with set_aside(runtime, exchange, hold_nano, life_s):
            row = {**_row(runtime, exchange, hold_nano), "claimed": exchange.claimed}
            await runtime.tasks.open(row, life_s)
    # From here on the task's record is the request's.
    try:
        answer = await attempt(runtime, exchange, candidates, _once)
    except GatewayError as error:
        await _failed(runtime, exchange, error)
        raise
    return answer.headers


def _priced(exchange: Exchange[VideoRequest], candidates: list[Candidate]) -> list[Candidate]:
    """The candidates that have a price for the resolution."""
    unit = exchange.request.unit
    found = [
        candidate
        for candidate in candidates
        if candidate.offering.price is not None
        and any(part.unit == unit for part in candidate.offering.price.components)
    ]
    if not found:
        raise InvalidRequest(
            f"Nothing inside your boundaries makes {exchange.request.resolution} of this model.",
            param="resolution",
        )
    return found


def _quote_or_nothing(exchange: Exchange[VideoRequest], offering: Offering) -> int:
    """What it costs, for ``max_cost``; what has no price for the resolution is left out a little later."""
    price, unit = offering.price, exchange.request.unit
    priced = price is not None and any(part.unit == unit for part in price.components)
    return _quote(exchange, offering) if priced else 0


def _quote(exchange: Exchange[VideoRequest], offering: Offering) -> int:
    """What a success costs at an offering, at most, with the service fee."""
    assert offering.price is not None
    _, model_fee = pricing.fee_lines(
        offering.price, {exchange.request.unit: exchange.request.seconds}
    )
    return max(1, model_fee + service_fee_nano(model_fee, exchange.caller.fee_bps))


async def _once(
    runtime: Runtime, exchange: Exchange[VideoRequest], offering: Offering, began_s: float
) -> Answer:
    """One try at one offering. Where nobody can say whether it began, the next one is tried: only what is
    on record is ever charged.
    """
    request, dialect = exchange.request, DIALECTS[offering.dialect]
    timeout_s = min(CREATE_TIMEOUT_S, runtime.timeouts.plain_s)
    body = dialect.body(request, offering.upstream_model)
    used = ""

    async def ask(access: Access, credential: str) -> Response:
        nonlocal used
        used = credential
        return await runtime.client.post(
            access.origin,
            dialect.path(),
            {
                **dialect.headers(credential),
                **dialect.create_headers(),
                "x-request-id": f"req_{exchange.request_id.hex}",
            },
            body,
            first_byte_timeout_s=timeout_s,
        )

    response = await with_credential(runtime, offering, ask, exchange.refusals)
    async with response:
        exchange.status = response.status
        await check_status(runtime, response, offering)
        said = await response.read(timeout_s)
    made = {"upstream_id": dialect.begun(said), "credential": fingerprint(used)}
    succeeded(runtime, exchange, offering, began_s)
    quoted_nano = _quote(exchange, offering)
    await runtime.tasks.begun(
        exchange.request_id, {**made, **_sold(exchange, offering, quoted_nano)}
    )
    headers = routed_headers(exchange)
    headers["x-tokenhub-cost-usd"] = usd_from_nano(quoted_nano)
    return Answer(headers=headers)


def _sold(exchange: Exchange[VideoRequest], offering: Offering, quoted_nano: int) -> dict[str, Any]:
    """Where it is, and at what price."""
    assert offering.price is not None
    return {
        "model": offering.model,
        "provider": offering.provider,
        "region": offering.region,
        "dialect": offering.dialect,
        "offering": offering.id,
        "price_version": offering.price.version,
        "price": {
            part.unit: part.amount_nano
            for part in offering.price.components
            if part.unit.startswith("video_second_")
        },
        "quoted_nano": quoted_nano,
        "attempts": exchange.attempts,
    }


def _row(runtime: Runtime, exchange: Exchange[VideoRequest], hold_nano: int) -> dict[str, Any]:
    caller, request = exchange.caller, exchange.request
    limits = runtime.config.tasks
    return {
        "id": exchange.request_id,
        "organization_id": caller.organization_id,
        "key_id": caller.key_id,
        "key_name": caller.key_name,
        "created_at": instant(exchange.created_at),
        "status": "pending",
        "shape": request.shape,
        "modality": "video",
        "model_requested": storable(request.model),
        "model": "",
        "provider": "",
        "region": "",
        "dialect": "",
        "offering": None,
        "upstream_id": "",
        "credential": "",
        "seconds": request.seconds,
        "resolution": request.resolution,
        "size": request.size,
        "price_version": None,
        "price": {},
        "service_fee_bps": caller.fee_bps,
        "service_fee_source": caller.fee_source,
        "hold_nano": hold_nano,
        "quoted_nano": 0,
        "total_nano": 0,
        "attempts": [],
        "routing": exchange.routing,
        "session_id": storable(request.session_id),
        "deadline_at": instant(exchange.created_at + timedelta(seconds=limits.deadline_s)),
        "next_poll_at": instant(exchange.created_at + timedelta(seconds=limits.poll_s)),
        "polls": 0,
        "finished_at": None,
        "error_code": "",
        "error_message": "",
        "media_url": "",
    }


async def _failed(runtime: Runtime, exchange: Exchange[VideoRequest], error: GatewayError) -> None:
    ending = {
        "error_code": error.code,
        "error_message": storable(error.message),
        "attempts": exchange.attempts,
    }
    try:
        await runtime.tasks.failed(exchange.request_id, ending)
    except DatabaseAway:
        log.warning("task_left_to_fail", request_id=f"req_{exchange.request_id.hex}")


def created(exchange: Exchange[VideoRequest]) -> Task:
    """The task as it stands right after its creation, for the answer."""
    request, offering = exchange.request, exchange.offering
    assert offering is not None
    return Task(
        id=exchange.request_id,
        status="pending",
        shape=request.shape,
        model_requested=request.model,
        model=offering.model,
        provider=offering.provider,
        region=offering.region,
        dialect=offering.dialect,
        offering=offering.id,
        upstream_id="",
        credential="",
        seconds=request.seconds,
        resolution=request.resolution,
        size=request.size,
        quoted_nano=0,
        total_nano=0,
        created_at=exchange.created_at,
        finished_at=None,
        error_code="",
        error_message="",
        media_url="",
        units={},
    )


def public_name(task: Task) -> str:
    """The model's name in answers: as asked, but for a plan model, which stands for several."""
    return task.model if task.model_requested.startswith("tokenhub/") else task.model_requested
