"""Admit: hold the highest possible cost of a request before a byte of it goes anywhere."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from accounts.ids import uuid7
from billing.money import service_fee_nano
from routing import pricing
from routing.types import Candidate, Offering
from tokenhub.gateway.chat.exchange import Exchange, bounds
from tokenhub.gateway.database import DatabaseAway
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import CannotBill
from tokenhub.gateway.funds import Allowance, Of
from tokenhub.gateway.leases import Hold, LeaseBook
from tokenhub.gateway.runtime import Runtime

USEFUL_TOKENS = 256
"""An answer that is cut shorter than this helps nobody: better to refuse."""


async def admit(
    runtime: Runtime, exchange: Exchange[TextRequest], candidates: list[Candidate]
) -> list[Candidate]:
    """Hold what a text request can cost at most; the candidates that what is held is enough for.

    Where the client set no limit of the answer, and ``max_cost``, a budget or the balance is short of what the
    model's own limit would cost, the answer is limited to what they cover (``limit_answer``), where that is still a
    useful one at some candidate.
    """
    need_nano = max([_worst_case_nano(exchange, one.offering) for one in candidates])
    if exchange.request.max_tokens is not None:
        exchange.hold = await hold(runtime, exchange, need_nano)
        return candidates
    most_nano = exchange.request.options.max_cost_nano
    asked_nano = need_nano if most_nano is None else min(need_nano, most_nano)
    least_nano = [least_case_nano(exchange, one.offering) for one in candidates]
    held = exchange.hold = await hold(runtime, exchange, asked_nano, min(*least_nano, asked_nano))
    if held.amount_nano >= need_nano:
        return candidates
    exchange.held_short = True
    pairs = zip(candidates, least_nano, strict=True)
    return [one for one, least in pairs if least <= held.amount_nano]


def limit_answer(exchange: Exchange[TextRequest], offering: Offering) -> None:
    """Where what is held is short of the model's own limit: limit the answer to what it covers at an offering."""
    if not exchange.held_short:
        return
    assert exchange.hold is not None
    exchange.request.limit_output(None)  # another offering's
    exchange.derived_max_tokens = _affordable(exchange, offering, exchange.hold.amount_nano)
    exchange.request.limit_output(exchange.derived_max_tokens)


async def hold(
    runtime: Runtime, exchange: Exchange[Any], need_nano: int, least_nano: int | None = None
) -> Hold:
    """Hold an amount against the caller's budgets and the organization's balance, or refuse.

    Where a budget or the balance is short of ``need_nano``, what there is, if that is at least
    ``least_nano``. Budgets come before the balance in every request, so that none waits for another.
    """
    if runtime.settler.away:
        raise CannotBill()
    caller = exchange.caller
    budgets: list[Hold] = []
    try:
        for budget in caller.budgets:
            held = await _held(
                runtime.budgets, budget.at(exchange.created_at), need_nano, least_nano
            )
            budgets.append(held)
            need_nano = held.amount_nano
        found = await _held(runtime.leases, caller.organization_id, need_nano, least_nano)
    except BaseException as error:
        for held in budgets:
            runtime.budgets.release(held)
        if isinstance(error, DatabaseAway):
            raise CannotBill() from None
        raise
    found.also = tuple(budgets)
    return found


@asynccontextmanager
async def set_aside(
    runtime: Runtime, exchange: Exchange[Any], amount_nano: int, life_s: float
) -> AsyncIterator[None]:
    """Reserve an amount of the caller's budgets for a task that outlives this process.

    The database lets the shares go in the transaction that ends the task. What fails inside gives them back.
    """
    reserved: list[tuple[Allowance, uuid.UUID]] = []
    try:
        for budget in exchange.caller.budgets:
            of = budget.at(exchange.created_at)
            share = uuid7()
            holder = f"task:{exchange.request_id}"
            await runtime.budgets.set_aside(of, share, holder, amount_nano, life_s)
            reserved.append((of, share))
        yield
    except BaseException as error:
        for of, share in reserved:
            with suppress(DatabaseAway):  # then it returns by itself
                await runtime.budgets.let_go(of, share)
        if isinstance(error, DatabaseAway):
            raise CannotBill() from None
        raise


async def _held(book: LeaseBook[Of], of: Of, need_nano: int, least_nano: int | None) -> Hold:
    held = book.try_hold(of, need_nano)
    return held if held is not None else await book.hold(of, need_nano, least_nano)


def least_case_nano(exchange: Exchange[TextRequest], offering: Offering) -> int:
    """The highest possible cost of the shortest answer that is useful, or of the one that was asked for."""
    _, most = bounds(exchange.request, offering)
    if exchange.request.max_tokens is not None:
        return _worst_case_nano(exchange, offering)
    return _worst_case_nano(exchange, offering, min(most, USEFUL_TOKENS))


def _affordable(exchange: Exchange[TextRequest], offering: Offering, amount_nano: int) -> int:
    """The most tokens of answer that an amount covers at an offering, which is at least a useful one."""
    _, most = bounds(exchange.request, offering)
    fits, too_many = 0, most + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _worst_case_nano(exchange, offering, middle) <= amount_nano:
            fits = middle
        else:
            too_many = middle
    return max(fits, 1)


def _worst_case_nano(
    exchange: Exchange[TextRequest], offering: Offering, most_output: int | None = None
) -> int:
    """The highest possible cost with the service fee: every input token dear, every output token used."""
    request = exchange.request
    input_tokens, output_tokens = bounds(request, offering)
    output_tokens = output_tokens if most_output is None else most_output
    assert offering.price is not None, "decide excludes what has no price"
    model_fee = pricing.worst_case_nano(
        offering.price, input_tokens, output_tokens * request.choices
    )
    return (model_fee + service_fee_nano(model_fee, exchange.caller.fee_bps)) or 1
