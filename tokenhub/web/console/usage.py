"""Usage: by day, by model, provider, region, kind, key or member; compared with the days before; as CSV."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from accounts.access import OrganizationRequest, organization_view
from accounts.models import Organization
from accounts.roles import Permission
from accounts.spreadsheets import csv_lines
from billing.money import usd_from_nano
from billing.usage import Period, Sums, key_names, usage_by, usage_by_day
from keys.models import ApiKey
from tokenhub.web.charts import Stacked, largest, stacked
from tokenhub.web.days import DayField
from tokenhub.web.downloads import csv_response

DAYS, MOST_DAYS = 30, 366
GROUPS = [
    ("model", "Model"), ("provider", "Provider"), ("region", "Region"), ("modality", "Kind"), ("key", "Key"),
    ("member", "Member"),
]  # fmt: skip
METRICS = [
    ("spend", "Spend"), ("requests", "Requests"), ("tokens", "Tokens"), ("errors", "Failed requests"),
]  # fmt: skip
COLUMNS = (
    "requests", "failed", "input_tokens", "output_tokens", "model_fee_usd", "service_fee_usd", "total_usd",
)  # fmt: skip
NOBODY = "a program"


class Question(forms.Form):
    """What is asked, as it stands in the URL: ``from`` and ``to`` are whole days in UTC, both of them in."""

    group = forms.ChoiceField(required=False, choices=GROUPS, label="By")
    metric = forms.ChoiceField(required=False, choices=METRICS, widget=forms.HiddenInput)
    model = forms.CharField(required=False, max_length=160)
    provider = forms.CharField(required=False, max_length=60)
    since = DayField(label="From day (UTC)")
    until = DayField(label="To day (UTC)")

    def add_prefix(self, field_name: str) -> str:
        # Python would not let fields have these names.
        return {"since": "from", "until": "to"}.get(field_name, field_name)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        first, last = given.get("since"), given.get("until")
        if first and last and first > last:
            self.add_error("until", "The last day is before the first.")
        elif first and (last or timezone.now().date()) - first > timedelta(days=MOST_DAYS):
            self.add_error("since", f"At most {MOST_DAYS} days at once.")
        return given

    @property
    def group_by(self) -> str:
        """One of ``GROUPS``."""
        return self.cleaned_data.get("group") or "model"

    @property
    def period(self) -> Period:
        """The days asked for; without any, the last thirty."""
        today: date = timezone.now().date()
        last = self.cleaned_data.get("until") or today
        first = self.cleaned_data.get("since") or last - timedelta(days=DAYS - 1)
        if self.errors.keys() & {"since", "until"}:
            first, last = today - timedelta(days=DAYS - 1), today
        return Period(first, last + timedelta(days=1))

    @property
    def filters(self) -> dict[str, str]:
        """What the sums are narrowed to."""
        return {name: self.cleaned_data.get(name) or "" for name in ("model", "provider")}

    def query(self, **more: str) -> str:
        """The URL's query with what is set, and more."""
        names = [self.add_prefix(name) for name in self.fields]
        return urlencode({name: self.data[name] for name in names if self.data.get(name)} | more)


@dataclass(frozen=True, slots=True)
class Row:
    """One group: what it came to, what it came to in as many days before, and where its requests are listed."""

    name: str
    sums: Sums
    before: Sums
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything the page and the CSV show."""

    period: Period
    rows: list[Row]
    total: Sums
    total_before: Sums
    by_day: dict[date, dict[str, Sums]]


@organization_view(Permission.VIEW)
def usage(request: OrganizationRequest) -> HttpResponse:
    """The sums, a chart of their days, and the same as tables."""
    form = Question(request.GET)
    form.is_valid()
    answer = _answer(request.organization, form)
    metric = form.cleaned_data.get("metric") or "spend"
    chart, days = _chart(answer, metric)
    context = {
        "form": form, "answer": answer, "metric": metric, "metric_name": dict(METRICS)[metric],
        "metrics": [(name, form.query(metric=value)) for value, name in METRICS],
        "group_name": dict(GROUPS)[form.group_by], "chart": chart, "days": days, "query": form.query(),
        "last_day": answer.period.until - timedelta(days=1),
    }  # fmt: skip
    return render(request, "console/usage.html", context)


@organization_view(Permission.VIEW)
def usage_csv(request: OrganizationRequest) -> HttpResponseBase:
    """The page's table; with ``days=1`` a line for each day."""
    form = Question(request.GET)
    form.is_valid()
    answer = _answer(request.organization, form)
    name = f"{request.organization.slug}-usage.csv"
    if request.GET.get("days"):
        daily = ([str(day), *line] for day, line in _daily(answer))
        return csv_response(request, csv_lines(["day", form.group_by, *COLUMNS], daily), name)
    lines = ([row.name, *_cells(row.sums)] for row in answer.rows)
    return csv_response(request, csv_lines([form.group_by, *COLUMNS], lines), name)


def _answer(organization: Organization, form: Question) -> Answer:
    period, filters, group = form.period, form.filters, form.group_by
    by_member = group == "member"
    column = "key" if by_member else group
    before = usage_by(organization, column, period.before, filters)
    daily = usage_by_day(organization, column, period, filters)
    values = {value for _, value in daily} | set(before)
    names = _names(organization, group, values)
    sums: dict[str, Sums] = {}
    by_day: dict[date, dict[str, Sums]] = {}
    for (day, value), each in daily.items():
        name = names[value]
        sums[name] = sums.get(name, Sums()) + each
        of_day = by_day.setdefault(day, {})
        of_day[name] = of_day.get(name, Sums()) + each
    sums_before: dict[str, Sums] = {}
    for value, each in before.items():
        sums_before[names[value]] = sums_before.get(names[value], Sums()) + each
    links = _links(form, names)
    rows = [
        Row(name, sums.get(name, Sums()), sums_before.get(name, Sums()), links.get(name, ""))
        for name in {**sums, **sums_before}
    ]
    rows.sort(key=lambda row: (-row.sums.total_nano, -row.sums.requests, row.name))
    return Answer(
        period, rows, sum(sums.values(), Sums()), sum(sums_before.values(), Sums()), by_day
    )


def _names(organization: Organization, group: str, values: set[str]) -> dict[str, str]:
    """What people read for the values of a group."""
    if group == "key":
        used = key_names(organization, values)
        return {value: f"{used.get(value, 'a key')} (…{value[-6:]})" for value in values}
    if group == "member":
        keys = ApiKey.objects.for_organization(organization).select_related("created_by")
        makers = {str(key.pk).removeprefix("key_"): key.created_by for key in keys}
        return {
            value: maker.email if (maker := makers.get(value.replace("-", ""))) else NOBODY
            for value in values
        }
    return {value: value or "none: refused before it was routed" for value in values}


def _links(form: Question, names: dict[str, str]) -> dict[str, str]:
    """The query that lists a group's requests, where the log can be narrowed to it."""
    days = {"from": str(form.period.since), "to": str(form.period.until - timedelta(days=1))}
    given = {name: value for name, value in form.filters.items() if value}
    if form.group_by in ("model", "provider"):
        return {
            name: urlencode({**given, form.group_by: value, **days})
            for value, name in names.items()
            if value
        }
    if form.group_by == "key":
        return {
            name: urlencode({**given, "key": "key_" + value.replace("-", ""), **days})
            for value, name in names.items()
        }
    return {}


def _chart(answer: Answer, metric: str) -> tuple[Stacked, list[tuple[date, list[int]]]]:
    """The chart, and the table that says the same: each day with a value for each series."""
    days = [answer.period.since + timedelta(days=n) for n in range(answer.period.days)]
    series = largest(
        {
            row.name: [
                _value(answer.by_day.get(day, {}).get(row.name, Sums()), metric) for day in days
            ]
            for row in answer.rows
        }
    )
    chart = stacked([f"{day:%d %b}" for day in days], series)
    return chart, [(day, [values[n] for values in series.values()]) for n, day in enumerate(days)]


def _value(sums: Sums, metric: str) -> int:
    return {
        "spend": sums.total_nano, "requests": sums.requests, "tokens": sums.tokens, "errors": sums.failed,
    }[metric]  # fmt: skip


def _daily(answer: Answer) -> Iterator[tuple[date, list[Any]]]:
    for day, groups in sorted(answer.by_day.items()):
        for name, sums in sorted(groups.items()):
            yield day, [name, *_cells(sums)]


def _cells(sums: Sums) -> list[Any]:
    return [
        sums.requests, sums.failed, sums.input_tokens, sums.output_tokens, usd_from_nano(sums.model_fee_nano),
        usd_from_nano(sums.service_fee_nano), usd_from_nano(sums.total_nano),
    ]  # fmt: skip
