"""Months in UTC, each named by its first day."""

from datetime import UTC, date, datetime


def first_day(day: date) -> date:
    """The month that a day lies in."""
    return day.replace(day=1)


def month_after(day: date) -> date:
    """The first day of the next month."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def midnight(day: date) -> datetime:
    """The instant at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
