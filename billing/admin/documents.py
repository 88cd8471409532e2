"""Invoices and receipts: read-only, but for adding a credit note."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, staff
from billing.admin.money import MoneyAdmin, in_usd
from billing.corrections import left_nano
from billing.forms import UsdField
from billing.invoices import issue_credit_note
from billing.models import Invoice, InvoiceLine, Receipt, Series
from billing.money import usd_from_nano


class CreditNoteForm(forms.ModelForm):  # type: ignore[type-arg]
    """Which invoice is corrected, by how much, and why."""

    amount = UsdField(label="Amount in USD")

    class Meta:
        model = Invoice
        fields = ["corrects", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "corrects" in self.fields:  # not where a document is only looked at
            for name in ("corrects", "reason"):
                self.fields[name].required = True

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        invoice, amount_nano = given.get("corrects"), given.get("amount")
        if invoice is not None and amount_nano is not None:
            left = left_nano(invoice) if invoice.kind == Invoice.Kind.INVOICE else 0
            if amount_nano > left:
                raise ValidationError(
                    f"{usd_from_nano(max(left, 0))} USD is left to correct of {invoice.number}."
                )
        return given

    def _post_clean(self) -> None:
        """The rest of the document is made by the service: there is nothing to validate of it here."""


class InvoiceLineInline(admin.TabularInline):  # type: ignore[type-arg]
    """What an invoice is made of."""

    model = InvoiceLine
    extra = 0
    can_delete = False
    exclude = ["organization", "components", "model_fee_nano", "service_fee_nano"]
    readonly_fields = [
        "month", "model", "provider", "region", "requests", in_usd("model_fee_nano"),
        in_usd("service_fee_nano"),
    ]  # fmt: skip

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Invoice)
class InvoiceAdmin(MoneyAdmin):
    """Documents of use. “Add” makes a credit note, which gives the money back."""

    list_display = ["number", "organization", "kind", "period_start", "total_nano", "issued_at"]
    list_select_related = ["organization"]
    list_filter = ["kind"]
    search_fields = ["number", "organization__slug"]
    raw_id_fields = ["corrects"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **more: Any
    ) -> Any:
        if obj is None:
            more["form"] = CreditNoteForm
        return super().get_form(request, obj, change, **more)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return [] if obj is None else [InvoiceLineInline]

    def save_model(self, request: HttpRequest, obj: Invoice, form: Any, change: bool) -> None:
        given = form.cleaned_data
        made = issue_credit_note(
            given["corrects"],
            given["amount"],
            reason=given["reason"],
            actor=staff(request),
        )
        obj.__dict__.update(made.__dict__)


@admin.register(Receipt)
class ReceiptAdmin(MoneyAdmin):
    """Card payments received."""

    list_display = ["number", "organization", "amount_nano", "description", "issued_at"]
    list_select_related = ["organization"]
    search_fields = ["number", "organization__slug"]


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    """How far the numbers are."""

    list_display = ["prefix", "last_number"]
