"""Fees are exact: against a reference in rational arithmetic, at every bound of every tier."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.pricing import PROMPT_UNITS, UnpricedUnit, fee_lines, worst_case_nano
from routing.types import Price, PriceComponent

UNITS = ["input", "cached_input", "cache_write", "output", "reasoning"]
TIERED = Price(
    1,
    tuple(
        PriceComponent(unit, amount * factor, lower, upper)
        for unit, factor in (("input", 1), ("cached_input", 3), ("output", 5))
        for amount, lower, upper in (
            (1_200_000_007, 0, 32_000),
            (2_400_000_011, 32_000, 128_000),
            (3_000_000_013, 128_000, None),
        )
    ),
)


def reference(price: Price, counts: dict[str, int]) -> int:
    """The fee by definition: exact fractions, the tier looked up by its bounds, one half-up rounding."""
    prompt = sum(counts.get(unit, 0) for unit in PROMPT_UNITS)
    fee = Fraction(0)
    for unit, count in counts.items():
        if not count:
            continue
        for name in (
            unit,
            {"cached_input": "input", "cache_write": "input", "reasoning": "output"}.get(unit),
        ):
            found = [
                part.amount_nano
                for part in price.components
                if part.unit == name
                and (part.from_tokens < prompt or part.from_tokens == 0)
                and (part.upto_tokens is None or prompt <= part.upto_tokens)
            ]
            if found:
                fee += Fraction(count * found[0], 1_000_000)
                break
    return floor(fee + Fraction(1, 2))


counts = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 200_000))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(counts)
def test_the_fee_is_the_reference(used: dict[str, int]) -> None:
    lines, fee = fee_lines(TIERED, used)

    assert fee == reference(TIERED, used)
    assert sum(line["fee"] for line in lines) == fee
    assert all(line["fee"] >= 0 for line in lines)


@pytest.mark.parametrize("prompt", [1, 31_999, 32_000, 32_001, 127_999, 128_000, 128_001])
def test_a_bound_belongs_to_the_tier_below_it(prompt: int) -> None:
    used = {"input": prompt - 1, "cached_input": 1, "output": 3}

    assert fee_lines(TIERED, used)[1] == reference(TIERED, used)


@given(counts, counts)
def test_the_worst_case_covers_whatever_was_used(
    used: dict[str, int], room: dict[str, int]
) -> None:
    prompt = sum(used.get(unit, 0) for unit in PROMPT_UNITS)
    written = used.get("output", 0) + used.get("reasoning", 0)

    highest = worst_case_nano(
        TIERED, prompt + room.get("input", 0), written + room.get("output", 0)
    )

    assert highest >= fee_lines(TIERED, used)[1]


def test_a_unit_without_any_amount_is_an_error() -> None:
    with pytest.raises(UnpricedUnit):
        fee_lines(Price(1, (PriceComponent("input", 5),)), {"input": 1, "output": 1})


def test_pictures_and_seconds_are_priced_each() -> None:
    price = Price(
        1, (PriceComponent("image", 30_000_000), PriceComponent("video_second_720p", 100_000_000))
    )

    assert fee_lines(price, {"image": 3})[1] == 90_000_000
    assert fee_lines(price, {"video_second_720p": 5})[1] == 500_000_000


@pytest.mark.parametrize(
    ("amount", "fee"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)]
)
def test_half_a_nano_rounds_up(amount: int, fee: int) -> None:
    assert fee_lines(Price(1, (PriceComponent("input", amount),)), {"input": 1})[1] == fee


def test_a_unit_without_a_price_is_charged_as_what_it_is_a_kind_of() -> None:
    plain = Price(1, (PriceComponent("input", 1_000_000), PriceComponent("output", 2_000_000)))
    written = Price(1, (*plain.components, PriceComponent("cache_write", 3_000_000)))
    told_apart = Price(1, (*written.components, PriceComponent("cache_write_1h", 4_000_000)))

    fees = [fee_lines(price, {"cache_write_1h": 1})[1] for price in (plain, written, told_apart)]

    assert fees == [1, 3, 4]
