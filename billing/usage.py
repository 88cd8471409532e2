"""What was used, summed over whole days in UTC, from the sums that the database writes with each request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from django.db.models import F, Max, Min, QuerySet, Sum

from accounts.models import Organization
from billing.models import UsageDay

# What usage can be grouped by, and the column it is.
GROUPS = {
    "model": "model",
    "provider": "provider",
    "region": "region",
    "modality": "modality",
    "key": "key_id",
}


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of requests; tokens and fees (nano-USD) are those of billed ones."""

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model_fee_nano: int = 0
    service_fee_nano: int = 0

    @property
    def total_nano(self) -> int:
        """Both fees."""
        return self.model_fee_nano + self.service_fee_nano

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in NAMES))


NAMES = tuple(field.name for field in fields(Sums))


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, from ``since`` up to and without ``until``."""

    since: date
    until: date

    @property
    def days(self) -> int:
        """How many."""
        return (self.until - self.since).days

    @property
    def before(self) -> "Period":
        """As many days right before."""
        return Period(self.since - (self.until - self.since), self.since)


def usage_by(
    organization: Organization, group: str, period: Period, filters: dict[str, str]
) -> dict[str, Sums]:
    """Sums of each value of ``group`` (one of ``GROUPS``); keys by their bare UUID."""
    column = GROUPS[group]
    rows = _rows(organization, period, filters).values_list(column).annotate(**_AGGREGATES)
    return {str(value): _sums(sums) for value, *sums in rows}


def usage_by_day(
    organization: Organization, group: str, period: Period, filters: dict[str, str]
) -> dict[tuple[date, str], Sums]:
    """The same for each day; days without use are not there."""
    column = GROUPS[group]
    rows = _rows(organization, period, filters).values_list("day", column).annotate(**_AGGREGATES)
    return {(day, str(value)): _sums(sums) for day, value, *sums in rows}


def usage_in_groups(
    organization: Organization, groups: Sequence[str], period: Period, filters: dict[str, str]
) -> dict[tuple[str, ...], Sums]:
    """Sums of each combination of ``groups``: any of ``GROUPS``, and ``day``; keys by their bare UUID."""
    columns = [GROUPS.get(group, group) for group in groups]
    rows = _rows(organization, period, filters).values_list(*columns).annotate(**_AGGREGATES)
    count = len(columns)
    return {tuple(map(str, row[:count])): _sums(list(row[count:])) for row in rows}


def days_of_requests(
    organization: Organization, filters: dict[str, Any]
) -> tuple[date, date] | None:
    """The first and the last day with requests that ``filters`` leave; ``None`` where there is none.

    ``filters`` may name any of ``GROUPS`` but the model, ``status``, and ``since`` and ``until`` (whole days, both
    in). The sums are written with the requests themselves, so a day that is not in here has nothing to look for.
    """
    found = UsageDay.objects.for_organization(organization)
    for name, value in filters.items():
        if name in GROUPS:
            found = found.filter(**{GROUPS[name]: value})
    if "since" in filters:
        found = found.filter(day__gte=filters["since"])
    if "until" in filters:
        found = found.filter(day__lte=filters["until"])
    if filters.get("status") == "failed":
        found = found.filter(failed__gt=0)
    elif filters.get("status") == "succeeded":
        found = found.filter(requests__gt=F("failed"))
    days = found.aggregate(first=Min("day"), last=Max("day"))
    return None if days["first"] is None else (days["first"], days["last"])


def key_names(organization: Organization, keys: Iterable[str]) -> dict[str, str]:
    """The names of keys as they were when they were used."""
    found = UsageDay.objects.for_organization(organization).filter(key_id__in=list(keys))
    return {str(key): name for key, name in found.order_by("day").values_list("key_id", "key_name")}


_AGGREGATES = {f"sum_{name}": Sum(name) for name in NAMES}


def _rows(
    organization: Organization, period: Period, filters: dict[str, str]
) -> QuerySet[UsageDay]:
    wanted = {GROUPS[name]: value for name, value in filters.items() if value}
    found = UsageDay.objects.for_organization(organization)
    return found.filter(day__gte=period.since, day__lt=period.until, **wanted).order_by()


def _sums(values: list[Any]) -> Sums:
    return Sums(*(int(value or 0) for value in values))
