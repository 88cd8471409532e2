"""The periods of a budget: half-open, in UTC, each beginning where the one before ended. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

DAY, WEEK, MONTH, TOTAL = "day", "week", "month", "total"
PERIODS = (DAY, WEEK, MONTH, TOTAL)
# What a sentence says of a period: “5.00 USD a day”.
A_PERIOD = {DAY: "a day", WEEK: "a week", MONTH: "a month", TOTAL: "in total"}
BEGINNING = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a key may spend in each period."""

    amount_nano: int
    period: str

    @property
    def amount(self) -> str:
        """The amount as a decimal string in USD."""
        whole, nano = divmod(self.amount_nano, 10**9)
        decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
        return f"{whole}.{decimals}"

    def as_dict(self) -> dict[str, str]:
        """The shape of INTERFACE.md §3."""
        return {"amount": self.amount, "period": self.period}

    def covers(self, other: "Budget | None") -> bool:
        """Whether what keeps to another budget keeps to this one in every period; no budget keeps to none.

        Days make up weeks, months and the total whole. A week can be in two months: it is in neither.
        """
        if other is None or other.amount_nano > self.amount_nano:
            return False
        return self.period in (other.period, DAY) or other.period == TOTAL


@dataclass(frozen=True, slots=True)
class Span:
    """One period: from its first day to the day after its last; a total has no end."""

    first: date
    end: date | None

    @property
    def resets_at(self) -> datetime | None:
        """When the budget is whole again; ``None`` for never."""
        return (
            None
            if self.end is None
            else datetime(self.end.year, self.end.month, self.end.day, tzinfo=UTC)
        )


def span(period: str, moment: datetime) -> Span:
    """The period that an instant is in. Weeks begin on Monday."""
    day = moment.astimezone(UTC).date()
    if period == DAY:
        return Span(day, day + timedelta(days=1))
    if period == WEEK:
        monday = day - timedelta(days=day.weekday())
        return Span(monday, monday + timedelta(days=7))
    if period == MONTH:
        first = day.replace(day=1)
        return Span(first, (first + timedelta(days=32)).replace(day=1))
    if period == TOTAL:
        return Span(BEGINNING, None)
    raise ValueError(f"“{period}” is no period")
