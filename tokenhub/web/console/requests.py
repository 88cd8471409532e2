"""Requests: the log with its filters in the URL, and one request explained."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, Value
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from accounts.access import OrganizationRequest, organization_view
from accounts.ids import first_uuid7
from accounts.models import Organization
from accounts.roles import Permission
from accounts.spreadsheets import csv_lines
from billing.archive import archived_month, archived_months
from billing.media import open_tasks, task_of
from billing.models import Transfer, Usage
from billing.money import usd_from_nano
from billing.plans import explain_fee
from billing.usage import days_of_requests
from keys.models import ApiKey
from routing.models import Model, Provider, Region
from tokenhub.web.console.explain import considered, unrounded_usd
from tokenhub.web.console.samples import samples
from tokenhub.web.console.waterfall import bars
from tokenhub.web.days import DayField, midnight
from tokenhub.web.downloads import csv_response
from tokenhub.web.patience import TookTooLong, at_most

PAGE = 50
# Filters that the daily sums know, too.
SUMMED = ("provider", "region", "modality", "status", "key", "since", "until")
UNITS = (
    "input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning", "image",
    "video_second_720p", "video_second_1080p",
)  # fmt: skip
COLUMNS = (
    "request", "time", "status", "error", "billed", "model_requested", "model", "provider", "region", "kind",
    "key", "streamed", *UNITS, "model_fee_usd", "service_fee_usd", "total_usd", "latency_ms", "session",
)  # fmt: skip


class Filters(forms.Form):
    """The log's filters, as they stand in the URL: ``from`` and ``to`` are whole days in UTC."""

    id = forms.CharField(required=False, max_length=60, label="Request id")
    model = forms.CharField(
        required=False, max_length=160, widget=forms.TextInput(attrs={"list": "models"})
    )
    provider = forms.CharField(
        required=False, max_length=60, widget=forms.TextInput(attrs={"list": "providers"})
    )
    region = forms.CharField(
        required=False, max_length=20, widget=forms.TextInput(attrs={"list": "regions"})
    )
    modality = forms.ChoiceField(
        required=False, choices=[("", "Any"), *Model.Modality.choices], label="Kind"
    )
    status = forms.ChoiceField(
        required=False, choices=[("", "Any"), ("succeeded", "Succeeded"), ("failed", "Failed")]
    )
    key = forms.ChoiceField(required=False)
    since = DayField(label="From day (UTC)")
    until = DayField(label="To day (UTC)")

    def __init__(self, data: Any, keys: list[tuple[str, str]]) -> None:
        super().__init__(data)
        field = self.fields["key"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "Any"), *keys]

    def add_prefix(self, field_name: str) -> str:
        # Python would not let fields have these names.
        return {"since": "from", "until": "to"}.get(field_name, field_name)

    def apply(self, organization: Organization) -> QuerySet[Usage]:
        """An organization's requests, narrowed; what is not valid narrows nothing and is said beside its field."""
        self.is_valid()
        given = self.cleaned_data
        usage: QuerySet[Usage] = Usage.objects.for_organization(organization)
        summed = {name: given[name] for name in SUMMED if given.get(name)}
        if "key" in summed:
            summed["key"] = summed["key"].removeprefix("key_")
        if summed and not given.get("id"):
            # The daily sums tell where to look: a million requests are not read to find that none matches.
            days = days_of_requests(organization, summed)
            if days is None:
                return usage.none()
            usage = usage.filter(
                id__gte=first_uuid7(midnight(days[0] - timedelta(days=1))).hex,
                id__lt=first_uuid7(midnight(days[1] + timedelta(days=2))).hex,
            )
        if given.get("id"):
            wanted = _id_or_none(given["id"])
            usage = usage.filter(pk=wanted) if wanted else usage.none()
        if given.get("model"):
            usage = usage.filter(Q(model=given["model"]) | Q(model_requested=given["model"]))
        for name in ("provider", "region", "modality", "status"):
            if given.get(name):
                usage = usage.filter(**{name: given[name]})
        if given.get("key"):
            usage = usage.filter(key_id=given["key"].removeprefix("key_"))
        if given.get("since"):
            usage = usage.filter(created_at__gte=midnight(given["since"]))
        if given.get("until"):
            usage = usage.filter(created_at__lt=midnight(given["until"]) + timedelta(days=1))
        return usage

    def query(self, **more: str) -> str:
        """The URL's query with the filters that are set, and more."""
        names = [self.add_prefix(name) for name in self.fields]
        return urlencode({name: self.data[name] for name in names if self.data.get(name)} | more)


@organization_view(Permission.VIEW)
def requests(request: OrganizationRequest) -> HttpResponse:
    """The newest first, fifty at a time, as far back as anyone pages."""
    form = _filters(request)
    found = form.apply(request.organization)
    before = request.GET.get("before")
    if before:
        found = found.filter(id__lt=_cursor(before))
    try:
        with at_most(settings.SEARCH_TIMEOUT_S):
            page = list(found.defer("attempts", "routing", "lines")[: PAGE + 1])
        took_too_long = False
    except TookTooLong:
        page, took_too_long = [], True
    filters = form.query()
    older = form.query(before=page[PAGE - 1].id) if len(page) > PAGE else ""
    context = {
        "form": form,
        "page": page[:PAGE],
        "older": older,
        # What would come after the last row.
        "archived": [] if older else _archived(request.organization, form.cleaned_data),
        "newest": filters,
        "before": before,
        "filtered": bool(filters),
        "on_their_way": [] if filters or before else open_tasks(request.organization),
        "took_too_long": took_too_long,
        "patience_s": settings.SEARCH_TIMEOUT_S,
    }
    if _wants_fragment(request):
        return render(request, "console/requests.html#results", context)
    context |= _names()
    return render(request, "console/requests.html", context)


@organization_view(Permission.VIEW)
def requests_csv(request: OrganizationRequest) -> HttpResponseBase:
    """Every request that the filters leave, the newest first; amounts in USD, nothing rounded."""
    form = _filters(request)
    found = form.apply(request.organization)
    return csv_response(
        request, csv_lines(COLUMNS, _rows(found)), f"{request.organization.slug}-requests.csv"
    )


def _rows(found: QuerySet[Usage]) -> Iterator[list[Any]]:
    # What a list does not show is not read: attempts and routing are most of a row.
    for usage in found.defer("attempts", "routing", "lines").iterator(chunk_size=2_000):
        yield [
            usage.id, f"{usage.created_at:%Y-%m-%dT%H:%M:%S.%fZ}", usage.status, usage.error_code, usage.billed,
            usage.model_requested, usage.model, usage.provider, usage.region, usage.modality, usage.key_name,
            usage.stream, *(usage.units.get(unit, 0) for unit in UNITS), usd_from_nano(usage.model_fee_nano),
            usd_from_nano(usage.service_fee_nano), usd_from_nano(usage.total_nano), usage.latency_ms,
            usage.session_id,
        ]  # fmt: skip


@organization_view(Permission.VIEW)
def request_detail(request: OrganizationRequest, request_id: str) -> HttpResponse:
    """One request: what it cost and why, where it could have gone and where it went."""
    usage: Usage | None = Usage.objects.for_organization(request.organization).by_id(request_id)
    if usage is None:
        return _not_here(request, request_id)
    transfers = Transfer.objects.for_organization(request.organization).filter(
        reference__in=[usage.id, f"reversal:{usage.id}"]
    )
    context = {
        "usage": usage,
        "unrounded": unrounded_usd(usage.lines),
        "bars": bars(usage.attempts),
        "considered": considered(usage),
        "transfers": transfers.order_by("sequence"),
        "task": task_of(request.organization, usage.id) if usage.modality == "video" else None,
        "samples": samples(usage, settings.PUBLIC_URL),
        "fee_source": explain_fee(request.organization, usage.service_fee_source),
    }
    return render(request, "console/request_detail.html", context)


def _archived(organization: Organization, given: dict[str, Any]) -> list[date]:
    """The months that the filters ask for and that are archived."""
    if wanted := given.get("id"):
        month = archived_month(organization, wanted.strip())
        return [month] if month else []
    return archived_months(organization, given.get("since"), given.get("until"))


def _not_here(request: OrganizationRequest, request_id: str) -> HttpResponse:
    """A request that is archived is said to be, and what the ledger knows of it is shown; any other is none."""
    month = archived_month(request.organization, request_id)
    if month is None:
        raise Http404("No such request.")
    transfers = Transfer.objects.for_organization(request.organization).filter(
        reference__in=[request_id, f"reversal:{request_id}"]
    )
    context = {
        "month": month,
        "request_id": request_id,
        "transfers": transfers.order_by("sequence"),
    }
    return render(request, "console/request_archived.html", context, status=404)


def _filters(request: OrganizationRequest) -> Filters:
    """The filters of the URL; the playground's key is one to choose once it was used."""
    keys = ApiKey.with_hidden.for_organization(request.organization).order_by("purpose", "-id")
    named = [
        (
            key.id,
            f"{key.name} ({key.label})" if key.purpose == ApiKey.Purpose.CUSTOMER else key.name,
        )
        for key in keys
    ]
    return Filters(request.GET, named)


def _id_or_none(text: str) -> str | None:
    """What cannot be an id names no request."""
    try:
        return str(Usage._meta.pk.to_python(text.strip()))
    except ValidationError:
        return None


def _names() -> dict[str, list[str]]:
    """What the fields suggest: the names of models, providers and regions."""
    found: dict[str, list[str]] = {"models": [], "providers": [], "regions": []}
    names = Model.objects.order_by().values_list(Value("models"), "slug")
    names = names.union(
        Provider.objects.order_by().values_list(Value("providers"), "slug"),
        Region.objects.order_by().values_list(Value("regions"), "slug"),
        all=True,
    )
    for name, slug in names:
        found[name].append(slug)
    return {name: sorted(slugs) for name, slugs in found.items()}


def _cursor(text: str) -> str:
    try:
        return str(Usage._meta.pk.to_python(text))
    except ValidationError:
        raise Http404("No such request.") from None


def _wants_fragment(request: OrganizationRequest) -> bool:
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.history_restore_request
