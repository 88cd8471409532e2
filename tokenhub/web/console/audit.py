"""The audit trail: every change, who made it, from what to what, from where."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render

from accounts.access import OrganizationRequest, organization_view
from accounts.models import AuditEvent
from accounts.roles import Permission
from accounts.spreadsheets import csv_lines
from tokenhub.web.days import DayField, midnight
from tokenhub.web.downloads import csv_response

PAGE = 50
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
COLUMNS = ("event", "time", "actor_kind", "actor", "action", "target", "before", "after", "ip_address")  # fmt: skip


class Filters(forms.Form):
    """The trail's filters, as they stand in the URL: ``from`` and ``to`` are whole days in UTC."""

    who = forms.CharField(required=False, max_length=254, label="Who")
    what = forms.CharField(
        required=False,
        max_length=60,
        label="What",
        widget=forms.TextInput(attrs={"list": "actions"}),
    )
    since = DayField(label="From day (UTC)")
    until = DayField(label="To day (UTC)")

    def add_prefix(self, field_name: str) -> str:
        # Python would not let fields have these names.
        return {"since": "from", "until": "to"}.get(field_name, field_name)

    def apply(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Narrow a queryset; what is not valid narrows nothing and is said beside its field."""
        self.is_valid()
        given = self.cleaned_data
        if given.get("who"):
            events = events.filter(actor__icontains=given["who"])
        if given.get("what"):
            events = events.filter(action__startswith=given["what"])
        if given.get("since"):
            events = events.filter(created_at__gte=midnight(given["since"]))
        if given.get("until"):
            events = events.filter(created_at__lt=midnight(given["until"]) + timedelta(days=1))
        return events

    def query(self, **more: str) -> str:
        """The URL's query with the filters that are set, and more."""
        names = [self.add_prefix(name) for name in self.fields]
        return urlencode({name: self.data[name] for name in names if self.data.get(name)} | more)


@organization_view(Permission.VIEW_AUDIT)
def audit(request: OrganizationRequest) -> HttpResponse:
    """The newest first, fifty at a time."""
    form = Filters(request.GET)
    everything = AuditEvent.objects.for_organization(request.organization)
    found = form.apply(everything)
    before = request.GET.get("before")
    if before:
        found = found.filter(id__lt=_cursor(before))
    page = list(found[: PAGE + 1])
    context = {
        "form": form,
        "page": page[:PAGE],
        "changes": [(event, _changes(event)) for event in page[:PAGE]],
        "older": form.query(before=page[PAGE - 1].id) if len(page) > PAGE else "",
        "newest": form.query(),
        "before": before,
        "actions": everything.order_by().values_list("action", flat=True).distinct()[:200],
    }
    return render(request, "console/audit.html", context)


@organization_view(Permission.VIEW_AUDIT)
def audit_csv(request: OrganizationRequest) -> HttpResponseBase:
    """What the filters leave, all of it."""
    found = Filters(request.GET)
    events = found.apply(AuditEvent.objects.for_organization(request.organization))
    return csv_response(
        request, csv_lines(COLUMNS, _rows(events)), f"{request.organization.slug}-audit.csv"
    )


def _rows(events: QuerySet[AuditEvent]) -> Iterator[list[Any]]:
    for event in events.iterator(chunk_size=2_000):
        yield [
            event.id, f"{event.created_at:%Y-%m-%dT%H:%M:%SZ}", event.actor_kind, event.actor, event.action,
            event.target, _words(event.before), _words(event.after), event.ip_address or "",
        ]  # fmt: skip


def _changes(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Each thing that changed: its name, before, after."""
    names = list(dict.fromkeys([*event.before, *event.after]))
    return [
        (name.replace("_", " "), _spoken(event.before.get(name)), _spoken(event.after.get(name)))
        for name in names
        if event.before.get(name) != event.after.get(name)
    ]


def _words(values: dict[str, Any]) -> str:
    return "; ".join(f"{name}={_value(value)}" for name, value in values.items())


def _spoken(value: Any) -> str:
    """As the CSV has it, but for a time, which is spelled as it is everywhere on the page."""
    if isinstance(value, str) and MOMENT.fullmatch(value):
        return f"{datetime.fromisoformat(value).astimezone(UTC):%d %b %Y %H:%M:%S} UTC"
    return _value(value)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "none"
    return str(value)


def _cursor(text: str) -> str:
    try:
        return str(AuditEvent._meta.pk.to_python(text))
    except ValidationError:
        raise Http404("No such event.") from None
