"""Attempt: three distinct providers at most, each failure noted with its cause."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from routing.types import Candidate, Offering
from tokenhub.gateway.chat.admit import limit_answer
from tokenhub.gateway.chat.exchange import Answer, Exchange, note, public_model
from tokenhub.gateway.chat.provider import (
    CLIENT_ERRORS,
    check_status,
    failed,
    none_is_up,
    send,
    succeeded,
    written_tokens,
)
from tokenhub.gateway.chat.settle import price, settle_plain
from tokenhub.gateway.chat.stream import attempt_stream
from tokenhub.gateway.dialects import table
from tokenhub.gateway.dialects.base import Inexpressible, InvalidResult
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import OutsideBoundaries, ProvidersFailed
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import UpstreamError

MAX_ATTEMPTS = 3


Once = Callable[[Runtime, Exchange[Any], Offering, float], Awaitable[Answer]]
"""One try at one offering, begun at a monotonic time: the answer, or why this provider has none."""


async def attempt(
    runtime: Runtime, exchange: Exchange[Any], candidates: list[Candidate], once: Once
) -> Answer:
    """Try one provider after the other, ``once`` each."""
    skipped = False
    inexpressible: Inexpressible | None = None
    for candidate in candidates:
        offering = candidate.offering
        if not await _still_allowed(runtime, exchange, offering):
            continue
        began_s = time.monotonic()
        if not runtime.breaker.started(offering.id, began_s):
            skipped = True
            continue
        exchange.offering = offering
        exchange.status = None
        try:
            return await once(runtime, exchange, offering, began_s)
        except Inexpressible as error:
            runtime.breaker.ended(offering.id)
            inexpressible = inexpressible or error
        except (UpstreamError, InvalidResult) as error:
            failed(runtime, exchange, offering, error, exchange.status, began_s)
        except BaseException:
            runtime.breaker.ended(offering.id)
            if exchange.status in CLIENT_ERRORS:
                note(exchange, offering, "rejected", exchange.status, began_s)
            raise
    tried = [
        {"provider": attempt.provider, "cause": attempt.outcome} for attempt in exchange.attempts
    ]
    if not tried and inexpressible is not None:
        raise inexpressible
    if not tried and skipped:
        raise none_is_up(runtime, exchange.request.model)
    if not tried:
        raise OutsideBoundaries(
            "The boundaries changed while the request was under way, and nothing is left inside them.",
            param="model",
            excluded=[],
        )
    raise ProvidersFailed(
        f"Every attempt failed ({len(tried)} of at most {MAX_ATTEMPTS}); nothing was billed. Retry later,"
        " or allow more providers.",
        headers={"x-tokenhub-attempts": str(len(tried))},
        attempts=tried,
    )


async def complete_chat(
    runtime: Runtime, exchange: Exchange[TextRequest], offering: Offering, began_s: float
) -> Answer:
    """One chat at one offering."""
    limit_answer(exchange, offering)
    if exchange.request.stream:
        return await attempt_stream(runtime, exchange, offering, began_s)
    response = await send(runtime, exchange, offering)
    async with response:
        exchange.status = response.status
        await check_status(runtime, response, offering)
        body = await response.read(runtime.timeouts.plain_s)
    way = table.way(exchange.request, offering)
    completion = way.completion(body, exchange.request, public_model(exchange, offering))
    due = price(exchange, offering, completion.units)
    succeeded(runtime, exchange, offering, began_s, written_tokens(due.units))
    return await settle_plain(runtime, exchange, due, completion.body)


async def _still_allowed(runtime: Runtime, exchange: Exchange[Any], offering: Offering) -> bool:
    """Since the decision the boundaries may have become stricter: both the old and the new ones hold."""
    if runtime.directory.still(exchange.caller):
        return True
    current = await runtime.caller_again(exchange.caller, exchange.secret)
    if current is exchange.caller:
        return True
    if current is None:
        return False
    return all(boundaries.admit(offering) for boundaries in current.boundaries)
