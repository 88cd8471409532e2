"""What keys have spent: in the last thirty days, and in the present period of their budgets."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, Sum
from django.utils import timezone

from accounts.models import Organization
from billing.models import UsageDay
from keys.budgets import PERIODS, Span, span
from keys.models import ApiKey

DAYS = 30
RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Spend:
    """One key's spend; ``used_nano`` is that of the budget's present period."""

    recent_nano: int
    used_nano: int
    resets_at: datetime | None

    def percent_of(self, limit_nano: int) -> int:
        """How much of a budget is used, in whole per cent, rounded down."""
        return min(100, self.used_nano * 100 // limit_nano)


@dataclass(frozen=True, slots=True)
class Line:
    """One key as the pages list it."""

    key: ApiKey
    spend: Spend

    @property
    def percent(self) -> int | None:
        """How much of its budget is used."""
        nano = self.key.budget_nano
        return None if nano is None else self.spend.percent_of(nano)

    @property
    def left_nano(self) -> int:
        """What is left of its budget."""
        return max(0, (self.key.budget_nano or 0) - self.spend.used_nano)


def lines(organization: Organization, keys: Iterable[ApiKey]) -> list[Line]:
    """Keys with what they spent: one query, over the days of the longest period that is asked for."""
    found = list(keys)
    now = timezone.now()
    periods = {key.budget_period for key in found if key.budget_period}
    spans = {period: span(period, now) for period in PERIODS if period in periods}
    spans[RECENT] = Span(now.date() - timedelta(days=DAYS - 1), None)
    spent = _spent(organization, spans)
    made = []
    for key in found:
        used = spent.get(uuid.UUID(hex=str(key.id)[4:]), {})
        period = key.budget_period
        made.append(
            Line(
                key,
                Spend(
                    used.get(f"in_{RECENT}") or 0,
                    used.get(f"in_{period}") or 0,
                    spans[period].resets_at if period else None,
                ),
            )
        )
    return made


def _spent(organization: Organization, spans: dict[str, Span]) -> dict[uuid.UUID, dict[str, int]]:
    fees = F("model_fee_nano") + F("service_fee_nano")
    sums = {
        f"in_{name}": Sum(
            fees, filter=Q(day__gte=one.first) & (Q(day__lt=one.end) if one.end else Q())
        )
        for name, one in spans.items()
    }
    rows = (
        UsageDay.objects.for_organization(organization)
        .filter(day__gte=min(one.first for one in spans.values()))
        .order_by()
        .values("key_id")
        .annotate(**sums)
    )
    return {row["key_id"]: row for row in rows}
