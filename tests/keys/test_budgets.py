"""Periods of a budget: UTC, half-open, one after the other without a gap."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.budgets import PERIODS, TOTAL, Budget, span


@pytest.mark.parametrize(
    ("period", "first", "end"),
    [
        ("day", date(2028, 2, 29), date(2028, 3, 1)),
        ("week", date(2028, 2, 28), date(2028, 3, 6)),
        ("month", date(2028, 2, 1), date(2028, 3, 1)),
        ("total", date(2000, 1, 1), None),
    ],
)
def test_a_period_begins_and_ends_at_midnight_utc(
    period: str, first: date, end: date | None
) -> None:
    # Half past midnight in Paris is the day before in UTC.
    paris = timezone(timedelta(hours=1))

    found = span(period, datetime(2028, 3, 1, 0, 30, tzinfo=paris))

    assert (found.first, found.end) == (first, end)
    assert found.resets_at == (
        None if end is None else datetime(end.year, end.month, end.day, tzinfo=UTC)
    )


@given(
    st.sampled_from([period for period in PERIODS if period != TOTAL]),
    st.datetimes(min_value=datetime(2001, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_every_instant_is_in_one_period_and_the_next_begins_where_it_ends(
    period: str, moment: datetime
) -> None:
    found = span(period, moment)

    assert found.end is not None
    assert found.first <= moment.date() < found.end
    after = found.resets_at
    assert after is not None
    assert span(period, after).first == found.end
    assert span(period, after - timedelta(microseconds=1)) == found


def test_what_is_no_period_is_refused() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        span("fortnight", datetime.now(UTC))


def test_a_budget_is_written_as_a_decimal_string() -> None:
    assert Budget(5_250_000_000, "day").as_dict() == {"amount": "5.25", "period": "day"}
    assert Budget(1, "total").as_dict()["amount"] == "0.000000001"
