"""Invoices: one for each month, from the ledger's entries, to the nano-dollar, however it is closed."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from django.utils import timezone
from pypdf import PdfReader

from accounts.audit import SYSTEM
from accounts.ids import uuid7
from accounts.models import Organization
from billing import services
from billing.audit import audit
from billing.errors import InvoiceConflict
from billing.invoices import close_due, close_month, issue_credit_note
from billing.invoices.focus import focus_csv
from billing.invoices.pdf import invoice_pdf, receipt_pdf
from billing.invoices.requests import requests_csv
from billing.models import Invoice, Receipt, Series, Transfer, Usage
from billing.money import nano_from_usd, usd_from_nano
from billing.months import month_after
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_automatic import apart

USD = 1_000_000_000
MONTH = timezone.now().date().replace(day=1)
OVER = datetime.combine(month_after(MONTH), datetime.min.time(), UTC) + timedelta(hours=1)
LATER = OVER + timedelta(days=32)


def used(plan: str = "enterprise") -> Organization:
    """Somebody with charges of several models and rates."""
    tenant = factories.organization(plan=plan, credit_nano=100 * USD)
    for number in range(12):
        factories.charge(
            tenant, 1_234_567 + number, model=f"model-{number % 3}", provider=f"p{number % 2}",
            service_fee_bps=[300, 0, 125][number % 3],
        )  # fmt: skip
    return tenant


def charged_nano(tenant: Organization) -> int:
    total: int = Transfer.objects.filter(organization=tenant, kind="usage").aggregate(
        sum=Sum("amount_nano")
    )["sum"]
    return total


def close(tenant: Organization, month: date = MONTH, at: datetime = OVER) -> Invoice:
    made = close_month(tenant, month, at)
    assert made is not None
    return made


@pytest.mark.django_db
def test_an_invoice_adds_up_to_the_ledger_in_every_form() -> None:
    tenant = used()
    factories.profile(
        tenant, legal_name="Größe & <Söhne> 株式会社", tax_id="DE123", po_number="PO-9"
    )

    invoice = close(tenant)

    total = usd_from_nano(invoice.total_nano)
    text = "".join(
        page.extract_text() for page in PdfReader(io.BytesIO(invoice_pdf(invoice))).pages
    )
    focus = list(csv.DictReader(io.StringIO("".join(focus_csv([invoice])))))
    listed = list(csv.DictReader(io.StringIO("".join(requests_csv(invoice)))))
    assert invoice.total_nano == charged_nano(tenant)
    assert invoice.requests == len(listed) == 12
    assert sum(nano_from_usd(row["total_usd"]) for row in listed) == invoice.total_nano
    assert sum(Decimal(row["BilledCost"]) for row in focus) == Decimal(total)
    assert sum(line.total_nano for line in invoice.lines.all()) == invoice.total_nano
    assert total in text
    assert "DE123" in text
    assert "PO-9" in text
    assert "<Söhne>" in text
    assert audit(tenant) == []


@pytest.mark.django_db
def test_the_same_document_gives_the_same_bytes() -> None:
    invoice = close(used())

    assert invoice_pdf(invoice) == invoice_pdf(Invoice.objects.get(pk=invoice.pk))


@pytest.mark.django_db
def test_closing_twice_or_late_gives_the_same_invoice() -> None:
    tenant = used()

    first = close(tenant)
    again = close(tenant)
    late = close(tenant, at=LATER)

    assert first.pk == again.pk == late.pk
    assert close_due(LATER) == 0


def test_closing_in_parallel_gives_one_invoice(committed: None) -> None:
    tenant = used()

    made = apart(lambda _: close(tenant).pk, range(12))

    assert len(set(made)) == 1
    assert Invoice.objects.filter(organization=tenant).count() == 1


def test_closing_that_is_interrupted_leaves_nothing_and_no_gap(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = used()
    before = Series.objects.filter(prefix="INV").values_list("last_number", flat=True).first() or 0

    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr("billing.invoices.close.InvoiceLine.objects.bulk_create", crash)
        with pytest.raises(RuntimeError):
            close(tenant)
    assert not Invoice.objects.filter(organization=tenant).exists()
    invoice = close(tenant)

    assert int(invoice.number.split("-")[1]) == before + 1


@pytest.mark.django_db
def test_a_month_that_is_not_over_is_not_closed() -> None:
    with pytest.raises(InvoiceConflict):
        close_month(used(), MONTH)


@pytest.mark.django_db
def test_a_month_without_charges_has_no_invoice() -> None:
    assert close_month(factories.organization(credit_nano=USD), MONTH, OVER) is None


@pytest.mark.django_db
def test_what_is_settled_too_late_is_on_the_next_invoice_with_its_month() -> None:
    tenant = used()
    first = close(tenant)
    factories.charge(tenant, 5_000, model="late")
    factories.charge(tenant, 7_000, model="later", created_at=OVER.isoformat())

    second = close(tenant, month_after(MONTH), LATER)

    months = {line.model: line.month for line in second.lines.all()}
    assert months == {"late": MONTH, "later": month_after(MONTH)}
    assert second.first_sequence == (first.last_sequence or 0) + 1
    assert first.total_nano + second.total_nano == charged_nano(tenant)
    assert audit(tenant) == []


@pytest.mark.django_db
def test_a_month_cannot_be_closed_after_a_later_one() -> None:
    tenant = used()
    close(tenant, month_after(MONTH), LATER)

    with pytest.raises(InvoiceConflict):
        close_month(tenant, MONTH, LATER)


@pytest.mark.django_db
def test_a_charge_taken_back_within_the_month_is_on_no_invoice() -> None:
    tenant = factories.organization(credit_nano=USD)
    kept, taken = factories.charge(tenant, 100_000), factories.charge(tenant, 900_000)
    services.take_back([taken], reason="not_delivered")

    invoice = close(tenant)

    assert (invoice.requests, invoice.total_nano) == (1, 103_000)
    assert kept in "".join(requests_csv(invoice))
    assert audit(tenant) == []


@pytest.mark.django_db
def test_a_charge_taken_back_after_its_month_has_a_credit_note() -> None:
    tenant = factories.organization(credit_nano=USD)
    taken = factories.charge(tenant, 900_000)
    first = close(tenant)
    services.take_back([taken], reason="not_delivered")
    factories.charge(tenant, 100_000)

    second = close(tenant, month_after(MONTH), LATER)

    note = first.corrections.get()
    assert (note.total_nano, second.total_nano) == (927_000, 103_000)
    assert balance_of(tenant).balance_nano == USD - 103_000
    assert audit(tenant) == []


@pytest.mark.django_db
def test_a_correction_is_a_document_and_money() -> None:
    tenant = used()
    invoice = close(tenant)
    before = balance_of(tenant).balance_nano

    note = issue_credit_note(invoice, 1_000_000, reason="agreed", actor=SYSTEM)

    assert (note.kind, note.corrects) == ("credit_note", invoice)
    assert balance_of(tenant).balance_nano == before + 1_000_000
    assert b"%PDF" in invoice_pdf(note)
    for amount, reason in ((invoice.total_nano, "x"), (0, "x"), (1, " ")):
        with pytest.raises(InvoiceConflict):
            issue_credit_note(invoice, amount, reason=reason, actor=SYSTEM)
    with pytest.raises(InvoiceConflict):
        issue_credit_note(note, 1, reason="x", actor=SYSTEM)
    assert audit(tenant) == []


@pytest.mark.django_db
@pytest.mark.parametrize("left", [0, 926_999])
def test_a_charge_that_a_credit_note_gave_back_is_not_taken_back_too(
    left: int, caplog: Any
) -> None:
    tenant = factories.organization(credit_nano=USD)
    late = factories.charge(tenant, 900_000)
    invoice = close(tenant)
    issue_credit_note(invoice, invoice.total_nano - left, reason="never arrived", actor=SYSTEM)

    taken = services.take_back([late], reason="not_delivered")  # a journal that was found later

    assert taken == 0
    assert balance_of(tenant).balance_nano == USD - left
    assert Usage.objects.get(pk=late).billed
    assert "already_corrected" in caplog.text
    assert invoice.number in caplog.text
    assert late in caplog.text
    factories.charge(tenant, 100_000)
    close(tenant, month_after(MONTH), LATER)
    assert audit(tenant) == []


@pytest.mark.django_db
def test_a_charge_is_taken_back_as_long_as_its_invoice_has_it() -> None:
    tenant = factories.organization(credit_nano=USD)
    charges = [factories.charge(tenant, 100_000) for _ in range(3)]
    invoice = close(tenant)
    issue_credit_note(invoice, 150_000, reason="agreed", actor=SYSTEM)

    taken = services.take_back(charges, reason="not_delivered")

    assert taken == 1  # of 309,000 there are 159,000 left, and then 56,000
    assert balance_of(tenant).balance_nano == USD - 56_000
    with pytest.raises(InvoiceConflict, match=r"0\.000056"):
        issue_credit_note(invoice, 56_001, reason="too much", actor=SYSTEM)
    issue_credit_note(invoice, 56_000, reason="the rest", actor=SYSTEM)
    factories.charge(tenant, 100_000)
    close(tenant, month_after(MONTH), LATER)
    assert sum(note.total_nano for note in invoice.corrections.all()) == invoice.total_nano
    assert audit(tenant) == []


@pytest.mark.django_db
def test_the_audit_finds_what_was_given_back_twice() -> None:
    tenant = factories.organization(credit_nano=USD)
    late = factories.charge(tenant, 900_000)
    invoice = close(tenant)
    issue_credit_note(invoice, invoice.total_nano, reason="never arrived", actor=SYSTEM)
    services.post(
        tenant, "reversal", debit="revenue", credit="wallet", amount_nano=927_000,
        reference=f"reversal:{late}",
    )  # fmt: skip
    Usage.objects.filter(pk=late).update(billed=False, status="failed", error_code="x")

    (found,) = audit(tenant)

    assert found.check == "no invoice is given back beyond its fees"
    assert (found.expected, found.found) == (927_000, 2 * 927_000)


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["invoice", "invoiceline", "receipt"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE billing_{} SET id = id", "DELETE FROM billing_{}", "TRUNCATE billing_{} CASCADE"],
)
def test_documents_never_change(table: str, statement: str) -> None:
    tenant = used()
    factories.top_up(tenant)
    close(tenant)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


@pytest.mark.django_db
def test_documents_keep_the_profile_they_were_made_with() -> None:
    tenant = used()
    factories.profile(tenant, legal_name="Before Ltd")
    invoice = close(tenant)

    factories.profile(tenant, legal_name="After Ltd")

    assert Invoice.objects.get(pk=invoice.pk).profile["legal_name"] == "Before Ltd"


@pytest.mark.django_db
def test_a_receipt_of_an_automatic_top_up_carries_the_profile_too() -> None:
    tenant = factories.organization()
    factories.profile(tenant, legal_name="Payer Ltd", po_number="PO-1")
    factories.top_up(tenant)

    text = (
        PdfReader(io.BytesIO(receipt_pdf(Receipt.objects.get(organization=tenant))))
        .pages[0]
        .extract_text()
    )

    assert "Payer Ltd" in text
    assert "PO-1" in text
    assert "50.00 USD" in text


def flat_tax(profile: dict[str, str], subtotal_nano: int) -> int:
    return subtotal_nano // 10 if profile.get("country") == "Taxland" else 0


@pytest.mark.django_db
def test_taxes_come_from_the_hook_and_from_nowhere_else(settings: Any) -> None:
    plain, taxed = used(), used()
    factories.profile(taxed, country="Taxland")
    settings.TAX_CALCULATOR = "tests.billing.test_invoices.flat_tax"

    assert close(plain).tax_nano == 0
    invoice = close(taxed)

    assert invoice.tax_nano == charged_nano(taxed) // 10
    assert audit(taxed) == []


@pytest.mark.django_db
def test_a_name_that_looks_like_a_formula_is_inert_in_csv() -> None:
    tenant = factories.organization(credit_nano=USD)
    factories.charge(tenant, 1_000, model="=cmd()", key_name="@sum")
    invoice = close(tenant)

    for text in ("".join(focus_csv([invoice])), "".join(requests_csv(invoice))):
        assert not re.search(r"(^|,)[=@+]", text, re.MULTILINE)


@pytest.mark.django_db
def test_a_charge_that_was_capped_still_adds_up() -> None:
    tenant = factories.organization(credit_nano=USD)
    factories.charge(
        tenant, 1_000, id=uuid7(), capped=True,
        lines=[{"unit": "input", "count": 9, "price": 1, "fee": 1_500}],
    )  # fmt: skip

    invoice = close(tenant)

    focus = csv.DictReader(io.StringIO("".join(focus_csv([invoice]))))
    assert sum(Decimal(row["BilledCost"]) for row in focus) == Decimal(
        usd_from_nano(invoice.total_nano)
    )
    assert audit(tenant) == []
