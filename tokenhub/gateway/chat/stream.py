"""Attempt, streamed: commit to a provider at its first content; the end leaves only when it is paid for."""

import time
from collections.abc import AsyncIterator

from billing.money import usd_from_nano
from routing.types import Offering
from tokenhub.gateway.chat.exchange import Answer, Exchange, public_model, routed_headers
from tokenhub.gateway.chat.provider import (
    check_status,
    failed,
    send,
    succeeded,
    written_tokens,
)
from tokenhub.gateway.chat.settle import price, record_failure, release, settle
from tokenhub.gateway.dialects import table
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.dialects.ways import Relay
from tokenhub.gateway.errors import GatewayError, ProvidersFailed
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response, UpstreamError


async def attempt_stream(
    runtime: Runtime, exchange: Exchange[TextRequest], offering: Offering, began_s: float
) -> Answer:
    """Commit to the provider at its first content frame; before that, every failure fails over."""
    response = await send(runtime, exchange, offering)
    exchange.status = response.status
    try:
        await check_status(runtime, response, offering)
        way = table.way(exchange.request, offering)
        relay = way.relay(exchange.request, public_model(exchange, offering))
        chunks = response.chunks(runtime.timeouts.stream_s)
        first: list[bytes] = []
        deadline_s = began_s + runtime.timeouts.plain_s
        async for data in chunks:
            first += relay.feed(data)
            if relay.has_content:
                break
            _still_in_time(deadline_s)
        else:
            relay.finish()
        first_content_s = time.monotonic()
        exchange.first_token_ms = int((first_content_s - exchange.started_s) * 1000)
    except BaseException:
        await response.__aexit__()
        raise
    return Answer(
        headers=routed_headers(exchange),
        frames=_frames(runtime, exchange, response, relay, chunks, first, began_s, first_content_s),
    )


async def _frames(
    runtime: Runtime,
    exchange: Exchange[TextRequest],
    response: Response,
    relay: Relay,
    chunks: AsyncIterator[bytes],
    first: list[bytes],
    began_s: float,
    first_content_s: float,
) -> AsyncIterator[bytes]:
    """The rest of a committed stream. The end of the answer leaves only when it is paid for."""
    offering = exchange.offering
    assert offering is not None
    try:
        async with response:
            if first:
                yield b"".join(first)
            progress_s = first_content_s
            async for data in chunks:
                ready = relay.feed(data)
                if ready:
                    yield b"".join(ready)
                    progress_s = time.monotonic()
                _still_in_time(progress_s + runtime.timeouts.plain_s)
            units = relay.finish()
        charge = price(exchange, offering, units)
    except (UpstreamError, InvalidResult) as error:
        failed(runtime, exchange, offering, error, exchange.status, began_s)
        failure = ProvidersFailed(
            "The provider's answer broke off; nothing was billed.",
            attempts=[{"provider": a.provider, "cause": a.outcome} for a in exchange.attempts],
        )
        record_failure(runtime, exchange, failure)
        yield relay.fault(failure)
        return
    except BaseException:
        runtime.breaker.ended(offering.id)
        release(runtime, exchange)
        raise
    written = written_tokens(charge.units)
    succeeded(runtime, exchange, offering, began_s, written, first_content_s)
    try:
        slot = await settle(runtime, exchange, charge)
    except GatewayError as error:
        yield relay.fault(error)
        return
    end = relay.end(usd_from_nano(charge.total_nano))
    exchange.slot = slot
    yield end


def _still_in_time(deadline_s: float) -> None:
    """Keep-alives show that a provider lives, not that it answers: they do not put off for ever."""
    if time.monotonic() > deadline_s:
        raise UpstreamError("timeout")
