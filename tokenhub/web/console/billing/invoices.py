"""Invoices, credit notes and receipts, as pages, PDF and CSV."""

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing.invoices.focus import focus_csv
from billing.invoices.pdf import invoice_pdf as draw_invoice
from billing.invoices.pdf import receipt_pdf as draw_receipt
from billing.invoices.requests import requests_csv
from billing.models import Invoice, Receipt
from tokenhub.web.downloads import csv_response

SHOWN = 100


@organization_view(Permission.VIEW_BILLING)
def invoices(request: OrganizationRequest) -> HttpResponse:
    """Every document, the newest first."""
    context = {
        "invoices": _invoices(request)[:SHOWN],
        "receipts": Receipt.objects.for_organization(request.organization)[:SHOWN],
    }
    return render(request, "console/billing/invoices.html", context)


@organization_view(Permission.VIEW_BILLING)
def invoice(request: OrganizationRequest, number: str) -> HttpResponse:
    """One document with its lines and what corrects it."""
    found = _invoice_or_404(request, number)
    context = {
        "invoice": found,
        "lines": found.lines.all(),
        "corrections": found.corrections.all(),
    }
    return render(request, "console/billing/invoice.html", context)


@organization_view(Permission.VIEW_BILLING)
def invoice_pdf(request: OrganizationRequest, number: str) -> HttpResponse:
    """The document as PDF."""
    found = _invoice_or_404(request, number)
    return _pdf(draw_invoice(found), found.number)


@organization_view(Permission.VIEW_BILLING)
def invoice_csv(request: OrganizationRequest, number: str) -> HttpResponseBase:
    """The document's charges in FOCUS columns."""
    found = _invoice_or_404(request, number)
    return csv_response(request, focus_csv([found]), f"{found.number}-focus.csv")


@organization_view(Permission.VIEW_BILLING)
def invoice_requests(request: OrganizationRequest, number: str) -> HttpResponseBase:
    """Every request on an invoice, a line each; they add up to it."""
    found = _invoice_or_404(request, number)
    if found.kind != Invoice.Kind.INVOICE:
        raise Http404("A credit note has no requests of its own.")
    return csv_response(request, requests_csv(found), f"{found.number}-requests.csv")


@organization_view(Permission.VIEW_BILLING)
def invoices_csv(request: OrganizationRequest) -> HttpResponseBase:
    """Every document's charges in FOCUS columns."""
    lines = focus_csv(
        _invoices(request).prefetch_related("lines").order_by("period_start", "number")
    )
    return csv_response(request, lines, f"{request.organization.slug}-focus.csv")


@organization_view(Permission.VIEW_BILLING)
def receipt_pdf(request: OrganizationRequest, number: str) -> HttpResponse:
    """A receipt as PDF."""
    found = Receipt.objects.for_organization(request.organization).filter(number=number).first()
    if found is None:
        raise Http404("No such receipt.")
    return _pdf(draw_receipt(found), found.number)


def _invoices(request: OrganizationRequest) -> QuerySet[Invoice]:
    return Invoice.objects.for_organization(request.organization)


def _invoice_or_404(request: OrganizationRequest, number: str) -> Invoice:
    found = _invoices(request).select_related("corrects").filter(number=number).first()
    if found is None:
        raise Http404("No such invoice.")
    return found


def _pdf(content: bytes, number: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{number}.pdf"'
    return response
