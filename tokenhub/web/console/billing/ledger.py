"""The ledger with its running balance, and the statement to take away."""

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing.models import Transfer
from billing.statement import statement_csv
from tokenhub.web.console.billing.causes import with_causes
from tokenhub.web.downloads import csv_response

PAGE = 50


@organization_view(Permission.VIEW_BILLING)
def ledger(request: OrganizationRequest) -> HttpResponse:
    """Every entry, the newest first; by kind if wanted."""
    kinds = dict(Transfer.Kind.choices)
    kind = request.GET.get("kind", "")
    found = Transfer.objects.for_organization(request.organization)
    if kind in kinds:
        found = found.filter(kind=kind)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        found = found.filter(sequence__lt=int(before))
    page = list(found[: PAGE + 1])
    context = {
        "entries": with_causes(request.organization, page[:PAGE]),
        "older": page[PAGE - 1].sequence if len(page) > PAGE else None,
        "kinds": kinds,
        "kind": kind if kind in kinds else "",
        "before": before,
    }
    return render(request, "console/billing/ledger.html", context)


@organization_view(Permission.VIEW_BILLING)
def statement(request: OrganizationRequest) -> HttpResponseBase:
    """The whole ledger as CSV with its hash chain, to be verified offline."""
    return csv_response(
        request, statement_csv(request.organization), f"{request.organization.slug}-statement.csv"
    )
