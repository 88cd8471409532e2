"""What a usage costs: exact, in integers of nano-USD. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypedDict

from routing.types import Price

TOKEN_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning")
PROMPT_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h")
# A unit without an amount of its own is charged as the one it is a kind of.
FALLBACK = {
    "cached_input": "input",
    "cache_write_1h": "cache_write",
    "cache_write": "input",
    "reasoning": "output",
}
_MILLION = 1_000_000


class UnpricedUnit(ValueError):
    """A unit was used that the price has no amount for."""


class Line(TypedDict):
    """One component of a model fee. ``price`` is nano-USD per million tokens, image or second; ``fee`` nano-USD."""

    unit: str
    count: int
    price: int
    fee: int


def fee_lines(price: Price, counts: Mapping[str, int]) -> tuple[list[Line], int]:
    """The lines and the model fee of disjoint unit counts, in nano-USD.

    One fee is one sum of ``units × price`` and one half-up division (DESIGN.md §5). The lines show
    that fee by component: each line is what the running sum grew by, so they add up exactly.
    The tier is that of the whole prompt. Raises ``UnpricedUnit``.
    """
    amounts = _amounts(price, _tier(price, counts))
    lines: list[Line] = []
    millionths = 0
    charged = 0
    for unit, count in counts.items():
        if not count:
            continue
        if count < 0:
            raise ValueError(f"{unit}: a count cannot be negative")
        amount = amounts.get(unit)
        if amount is None:
            amount = _fallback(amounts, unit)
        millionths += count * amount * (1 if unit in TOKEN_UNITS else _MILLION)
        so_far = (millionths + _MILLION // 2) // _MILLION
        lines.append({"unit": unit, "count": count, "price": amount, "fee": so_far - charged})
        charged = so_far
    return lines, charged


def worst_case_nano(price: Price, max_input_tokens: int, max_output_tokens: int) -> int:
    """The most that any usage within these bounds can cost, over all tiers and kinds of unit."""
    dearest_input, dearest_output = _dearest(price)
    millionths = max_input_tokens * dearest_input + max_output_tokens * dearest_output
    return (millionths + _MILLION // 2) // _MILLION


@lru_cache(maxsize=10_000)
def _dearest(price: Price) -> tuple[int, int]:
    def most(units: tuple[str, ...]) -> int:
        return max((part.amount_nano for part in price.components if part.unit in units), default=0)

    return most(PROMPT_UNITS), most(("output", "reasoning"))


@lru_cache(maxsize=10_000)
def _bounds(price: Price) -> tuple[int, ...]:
    return tuple(
        sorted({part.upto_tokens for part in price.components if part.upto_tokens is not None})
    )


def _tier(price: Price, counts: Mapping[str, int]) -> int:
    """Which tier the prompt falls into: a bound belongs to the tier below it."""
    bounds = _bounds(price)
    if not bounds:
        return 0
    prompt_tokens = sum(counts.get(unit, 0) for unit in PROMPT_UNITS)
    return sum(prompt_tokens > bound for bound in bounds)


@lru_cache(maxsize=10_000)
def _amounts(price: Price, tier: int) -> Mapping[str, int]:
    bounds = _bounds(price)
    # Any prompt size within the tier finds its components.
    sample = bounds[tier] if tier < len(bounds) else (bounds[-1] + 1 if bounds else 1)
    return {
        part.unit: part.amount_nano
        for part in price.components
        if part.from_tokens < max(sample, 1)
        and (part.upto_tokens is None or sample <= part.upto_tokens)
    }


def _fallback(amounts: Mapping[str, int], unit: str) -> int:
    """The amount of what the unit is a kind of."""
    kind = FALLBACK.get(unit)
    while kind is not None:
        amount = amounts.get(kind)
        if amount is not None:
            return amount
        kind = FALLBACK.get(kind)
    raise UnpricedUnit(unit)
