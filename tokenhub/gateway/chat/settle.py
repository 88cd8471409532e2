"""Meter and settle: what a valid result costs, and its one durable charge; failed requests' record too."""

import time
from typing import Any

import msgspec
import structlog

from billing.money import service_fee_nano, usd_from_nano
from routing import pricing
from routing.types import Offering
from tokenhub import tracing
from tokenhub.gateway.chat.exchange import Answer, Exchange, bounds, routed_headers
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import GatewayError
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.settle import Result

log = structlog.get_logger(__name__)


class Charge(msgspec.Struct, frozen=True):
    """What a valid result costs, at the price of the moment it was decided."""

    units: dict[str, int]
    lines: list[pricing.Line]
    model_fee_nano: int
    service_fee_nano: int
    capped: bool

    @property
    def total_nano(self) -> int:
        return self.model_fee_nano + self.service_fee_nano


def price(exchange: Exchange[TextRequest], offering: Offering, units: dict[str, int]) -> Charge:
    """Price a usage of tokens; ``InvalidResult`` where the model cannot have used them."""
    prompt = sum(units.get(unit, 0) for unit in pricing.PROMPT_UNITS)
    written = units.get("output", 0) + units.get("reasoning", 0)
    _, most_output = bounds(exchange.request, offering)
    if offering.context_length is not None and prompt > offering.context_length:
        raise InvalidResult("invalid_usage")
    if written == 0 and exchange.request.modality == "text":
        raise InvalidResult("invalid_usage")  # there is an answer: something was written
    if written > 2 * most_output * exchange.request.choices + 1_024:
        raise InvalidResult("invalid_usage")
    return charge(exchange, offering, units)


def charge(exchange: Exchange[Any], offering: Offering, units: dict[str, int]) -> Charge:
    """Price a usage. What exceeds the hold is not charged: the balance was never asked for it."""
    assert offering.price is not None
    assert exchange.hold is not None
    try:
        lines, model_fee = pricing.fee_lines(offering.price, units)
    except pricing.UnpricedUnit:
        raise InvalidResult("unpriced_unit") from None
    service_fee = service_fee_nano(model_fee, exchange.caller.fee_bps)
    capped = model_fee + service_fee > exchange.hold.amount_nano
    if capped:
        log.warning("charge_capped", request_id=f"req_{exchange.request_id.hex}")
        model_fee = exchange.hold.amount_nano * 10_000 // (10_000 + exchange.caller.fee_bps)
        service_fee = exchange.hold.amount_nano - model_fee
    return Charge(units, lines, model_fee, service_fee, capped)


async def settle_plain(
    runtime: Runtime, exchange: Exchange[Any], due: Charge, body: bytes
) -> Answer:
    """Charge a result and answer with it."""
    slot = await settle(runtime, exchange, due)
    headers = routed_headers(exchange)
    headers["x-tokenhub-cost-usd"] = usd_from_nano(due.total_nano)
    return Answer(headers=headers, body=body, slot=slot)


async def settle(runtime: Runtime, exchange: Exchange[Any], due: Charge) -> int:
    hold, offering = exchange.hold, exchange.offering
    assert hold is not None
    assert offering is not None
    assert offering.price is not None
    exchange.hold = None  # from here on the settler answers for it

    def durable(charged: bool) -> None:
        if charged:
            runtime.leases.settled(hold, due.total_nano)
        else:
            runtime.leases.release(hold)

    result = _result(exchange, status="succeeded")
    result.lease_id = hold.lease.id
    result.budget_leases = [budget.lease.id for budget in hold.also]
    result.billed = True
    result.claimed = exchange.claimed
    result.units = due.units
    result.lines = due.lines
    result.model_fee_nano = due.model_fee_nano
    result.service_fee_nano = due.service_fee_nano
    result.capped = due.capped
    if not tracing.is_on():
        return await runtime.settler.settle(result, durable)
    began_s, settled = time.monotonic(), False
    try:
        slot = await runtime.settler.settle(result, durable)
        settled = True
        return slot
    finally:
        told = {"total_usd": usd_from_nano(due.total_nano)}
        tracing.part("settle", began_s, told, failed=not settled)


def record_failure(runtime: Runtime, exchange: Exchange[Any], error: GatewayError) -> None:
    """Failed requests are on record too, without anyone waiting for it."""
    release(runtime, exchange)
    if not runtime.settler.away:
        result = _result(exchange, status="failed")
        result.error_code = error.code
        runtime.settler.submit(result)


def release(runtime: Runtime, exchange: Exchange[Any]) -> None:
    if exchange.hold is not None:
        runtime.leases.release(exchange.hold)
        exchange.hold = None


def _result(exchange: Exchange[Any], *, status: str) -> Result:
    caller, request, offering = exchange.caller, exchange.request, exchange.offering
    return Result(
        id=exchange.request_id,
        organization_id=caller.organization_id,
        key_id=caller.key_id,
        key_name=caller.key_name,
        created_at=exchange.created_at,
        status=status,
        dialect=request.shape,
        modality=request.modality,
        model_requested=storable(request.model),
        model=offering.model if offering else "",
        provider=offering.provider if offering else "",
        region=offering.region if offering else "",
        stream=request.stream,
        service_fee_bps=caller.fee_bps,
        service_fee_source=caller.fee_source,
        price_version=offering.price.version if offering and offering.price else None,
        attempts=msgspec.Raw(msgspec.json.encode(exchange.attempts)),
        routing=exchange.routing,
        latency_ms=int((time.monotonic() - exchange.started_s) * 1000),
        first_token_ms=exchange.first_token_ms,
        session_id=storable(request.session_id),
    )


def storable(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    return text.replace("\x00", "")[:160] if text else text
