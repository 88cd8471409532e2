"""Whole days in UTC, as people choose them in filters."""

from datetime import UTC, date, datetime
from typing import Any

from django import forms

FIRST, LAST = date(2000, 1, 1), date(2999, 12, 31)


class DayField(forms.DateField):
    """A day that one can count from; the ends of the calendar are none."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        options.setdefault("widget", forms.DateInput(attrs={"type": "date"}))
        super().__init__(**options)

    def clean(self, value: Any) -> date | None:
        day: date | None = super().clean(value)
        if day is not None and not FIRST <= day <= LAST:
            raise forms.ValidationError("Choose a day between 2000 and 2999.")
        return day


def midnight(day: date) -> datetime:
    """The day's first instant in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
