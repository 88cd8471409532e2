"""``/invoices/``: the documents of each month."""

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from accounts.models import Organization
from accounts.roles import Permission
from billing.invoices.pdf import invoice_pdf
from billing.models import Invoice as Document
from tokenhub.api.fields import Answer, Usd, address
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.problems import not_found
from tokenhub.api.view import READ_OR_BILLING, ApiView, operation


class ComponentSerializer(Answer):
    """What one unit came to."""

    unit = serializers.CharField()
    count = serializers.IntegerField()
    fee = Usd()


class InvoiceLineSerializer(Answer):
    """One model at one provider and region in one month."""

    month = serializers.DateField()
    model = serializers.CharField()
    provider = serializers.CharField()
    region = serializers.CharField()
    requests = serializers.IntegerField()
    components = ComponentSerializer(many=True)
    model_fee = Usd(source="model_fee_nano")
    service_fee = Usd(source="service_fee_nano")
    total = Usd(source="total_nano")


class InvoiceSerializer(Answer):
    """An invoice or a credit note."""

    example = {
        "number": "INV-000042", "kind": "invoice", "status": "paid", "period_start": "2026-10-01",
        "period_end": "2026-11-01", "issued_at": "2026-11-01T02:00:00Z", "requests": 1204,
        "lines": [
            {
                "month": "2026-10-01", "model": "deepseek-v3.2", "provider": "alibaba", "region": "eu",
                "requests": 1204, "components": [{"unit": "input", "count": 1400000, "fee": "0.42"}],
                "model_fee": "0.42", "service_fee": "0.0126", "total": "0.4326",
            }
        ],
        "model_fees": "0.42", "service_fees": "0.0126", "tax": "0.00", "total": "0.4326",
        "corrects": None, "reason": "", "pdf_url": "https://tokenhub.example/api/v1/invoices/INV-000042.pdf",
    }  # fmt: skip

    number = serializers.CharField()
    kind = serializers.ChoiceField(choices=Document.Kind.choices)
    status = serializers.SerializerMethodField()
    period_start = serializers.DateField()
    period_end = serializers.DateField(help_text="The first day that is not in it.")
    issued_at = serializers.DateTimeField()
    requests = serializers.IntegerField()
    lines = InvoiceLineSerializer(many=True)
    model_fees = Usd(source="model_fees_nano")
    service_fees = Usd(source="service_fees_nano")
    tax = Usd(source="tax_nano")
    total = Usd(source="total_nano")
    corrects = serializers.CharField(
        source="corrects.number", allow_null=True, help_text="Of a credit note."
    )
    reason = serializers.CharField()
    pdf_url = serializers.SerializerMethodField()

    def get_status(self, document: Document) -> str:
        """Use is paid from the balance as it happens: an invoice never waits for money."""
        return "paid" if document.kind == Document.Kind.INVOICE else "credited"

    def get_pdf_url(self, document: Document) -> str:
        return address("api_invoice_pdf", document.number)


class Invoices(ApiView):
    """The documents."""

    @operation(
        "list_invoices", "List invoices", scopes=READ_OR_BILLING,
        permission=Permission.VIEW_BILLING, query=PageQuery, answer=paged(InvoiceSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Invoices and credit notes, the newest first."""
        rows = _documents(self.caller.organization)
        return page(request, self.asked(PageQuery), rows, InvoiceSerializer)


class Invoice(ApiView):
    """One document."""

    @operation(
        "get_invoice", "One invoice", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        answer=InvoiceSerializer,
    )  # fmt: skip
    def get(self, request: Request, number: str) -> HttpResponse:
        """With its lines."""
        return self.answer(InvoiceSerializer, _document(self.caller.organization, number))


class Pdf(BaseRenderer):
    """``application/pdf``; the view draws it itself."""

    media_type = "application/pdf"
    format = "pdf"


FILE_NAME = OpenApiParameter(
    "Content-Disposition", str, OpenApiParameter.HEADER, response=[200],
    description="The name to save it under.",
    examples=[OpenApiExample("an invoice", 'attachment; filename="INV-000042.pdf"')],
)  # fmt: skip


class InvoicePdf(ApiView):
    """One document to print."""

    renderer_classes = [Pdf]

    @operation(
        "get_invoice_pdf", "One invoice as PDF", scopes=READ_OR_BILLING,
        permission=Permission.VIEW_BILLING, responses={(200, "application/pdf"): OpenApiTypes.BINARY},
        extra=[FILE_NAME],
    )  # fmt: skip
    def get(self, request: Request, number: str) -> HttpResponse:
        """The document, as it was issued."""
        found = _document(self.caller.organization, number)
        return HttpResponse(
            invoice_pdf(found), content_type=Pdf.media_type,
            headers={"Content-Disposition": f'attachment; filename="{found.number}.pdf"'},
        )  # fmt: skip


def _documents(organization: Organization) -> QuerySet[Document]:
    rows: QuerySet[Document] = Document.objects.for_organization(organization)
    return rows.select_related("corrects").prefetch_related("lines")


def _document(organization: Organization, number: str) -> Document:
    found = _documents(organization).filter(number=number).first()
    if found is None:
        raise not_found("invoice")
    return found
