"""Billing periods: calendar steps from an anchor, and shares of them to the second."""

import calendar
from datetime import UTC, datetime

from tokenhub.stack.stripe.store import DAY_S

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
INTERVALS = (*_DAYS, *_MONTHS)


def step(anchor: int, interval: str, count: int, steps: int) -> int:
    """The anchor moved by so many periods; the 31st becomes the last day of a shorter month."""
    if interval in _DAYS:
        return anchor + steps * count * _DAYS[interval] * DAY_S
    moment = datetime.fromtimestamp(anchor, UTC)
    month = moment.year * 12 + moment.month - 1 + steps * count * _MONTHS[interval]
    year, month = month // 12, month % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return int(moment.replace(year=year, month=month, day=day).timestamp())


def around(anchor: int, interval: str, count: int, at: int) -> tuple[int, int]:
    """The full period with ``at`` in it (its start belongs to it, its end does not)."""
    steps = 0
    while step(anchor, interval, count, steps) <= at:
        steps += 1
    while step(anchor, interval, count, steps - 1) > at:
        steps -= 1
    return step(anchor, interval, count, steps - 1), step(anchor, interval, count, steps)


def share(amount: int, part_s: int, whole_s: int) -> int:
    """The part of an amount, rounded half up to the cent."""
    return (2 * amount * part_s + whole_s) // (2 * whole_s)
