"""Close a month: one invoice for each organization and period, from the entries of its ledger."""

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.audit import SYSTEM, Actor, record
from accounts.models import Organization
from accounts.webhooks.events import emit
from billing.alerts import invoice_issued
from billing.corrections import left_nano
from billing.errors import InvoiceConflict
from billing.models import Account, BillingProfile, Invoice, InvoiceLine, Transfer
from billing.money import usd_from_nano
from billing.months import first_day, midnight, month_after
from billing.receipts import next_number
from billing.services import post
from billing.taxes import tax_nano

log = structlog.get_logger(__name__)

# The charges of a range of the ledger that were not taken back within it.
_CHARGED = """
WITH charged AS MATERIALIZED (
    SELECT u.*, date_trunc('month', u.created_at AT TIME ZONE 'UTC')::date AS month
      FROM billing_transfer t
      JOIN billing_usage u ON u.id = CASE WHEN t.reference LIKE 'req\\_%%' THEN substring(t.reference FROM 5)::uuid END
     WHERE t.organization_id = %(tenant)s AND t.kind = 'usage' AND t.sequence BETWEEN %(first)s AND %(last)s
       AND u.organization_id = t.organization_id
       AND NOT EXISTS (SELECT FROM billing_transfer r
                        WHERE r.organization_id = t.organization_id AND r.reference = 'reversal:' || t.reference
                          AND r.sequence <= %(last)s)
)
"""
_SUMS = (
    _CHARGED
    + """
SELECT month, model, provider, region, count(*), sum(model_fee_nano)::bigint, sum(service_fee_nano)::bigint
  FROM charged GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
)
_COMPONENTS = (
    _CHARGED
    + """
SELECT c.month, c.model, c.provider, c.region, line->>'unit', sum((line->>'count')::bigint)::bigint,
       sum((line->>'fee')::bigint)::bigint
  FROM charged c CROSS JOIN LATERAL jsonb_array_elements(c.lines) line
 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
)
# Charges of earlier invoices that were taken back in a range: each invoice with what it is corrected by.
_TAKEN_BACK = """
SELECT i.id, count(*), sum(u.model_fee_nano)::bigint, sum(u.service_fee_nano)::bigint
  FROM billing_transfer r
  JOIN billing_transfer t ON t.organization_id = r.organization_id AND t.reference = substring(r.reference FROM 10)
  JOIN billing_usage u ON u.id = substring(t.reference FROM 5)::uuid
  JOIN billing_invoice i ON i.organization_id = r.organization_id AND i.kind = 'invoice'
       AND t.sequence BETWEEN i.first_sequence AND i.last_sequence
 WHERE r.organization_id = %(tenant)s AND r.kind = 'reversal' AND r.sequence BETWEEN %(first)s AND %(last)s
   AND r.reference LIKE 'reversal:req\\_%%'
 GROUP BY i.id ORDER BY i.id
"""
# Whose ledger has charges before an instant that are on no invoice, and since when. Entries are numbered in the order
# of their time, but for what clocks differ by: from a minute after the instant on nothing needs to be looked at.
_OPEN = """
SELECT a.organization_id, charged.since
  FROM billing_account a
 CROSS JOIN LATERAL (
       SELECT coalesce(max(i.last_sequence), 0) AS last FROM billing_invoice i
        WHERE i.organization_id = a.organization_id AND i.kind = 'invoice') invoiced
 CROSS JOIN LATERAL (
       SELECT coalesce((SELECT t.sequence FROM billing_transfer t
                         WHERE t.organization_id = a.organization_id AND t.sequence > invoiced.last
                           AND t.created_at >= %(before)s + interval '1 minute'
                         ORDER BY t.sequence LIMIT 1), a.sequence + 1) AS first) later
 CROSS JOIN LATERAL (
       SELECT min(t.created_at) AS since FROM billing_transfer t
        WHERE t.organization_id = a.organization_id AND t.sequence > invoiced.last AND t.sequence < later.first
          AND t.kind IN ('usage', 'reversal') AND t.created_at < %(before)s) charged
 WHERE a.kind = 'wallet' AND a.sequence > invoiced.last AND charged.since IS NOT NULL
"""


def close_due(at: datetime | None = None) -> int:
    """Close every month that is over, in order, for every organization; returns how many invoices."""
    at = at or timezone.now()
    this_month = first_day(at.astimezone(UTC).date())
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"before": midnight(this_month)})
        found = cursor.fetchall()
    made = 0
    for tenant, since in found:
        organization = Organization.objects.get(pk=f"org_{tenant.hex}")
        month = first_day(since.astimezone(UTC).date())
        while month < this_month:
            made += close_month(organization, month, at) is not None
            month = month_after(month)
    return made


@transaction.atomic
def close_month(
    organization: Organization, month: date, at: datetime | None = None
) -> Invoice | None:
    """The invoice of a month, made now or before; ``None`` where nothing was charged.

    ``at`` is the instant it is closed at, now unless said.

    Closing twice, late, in parallel or after an interruption gives the same invoice: the
    organization's row serialises it, and PostgreSQL refuses a second one. Raises
    ``InvoiceConflict`` for a month that is not over, or that a later invoice has passed.
    """
    month = first_day(month)
    end = month_after(month)
    if midnight(end) > (at or timezone.now()):
        raise InvoiceConflict(f"{month:%B %Y} is not over.")
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    invoices = Invoice.objects.for_organization(organization).filter(kind=Invoice.Kind.INVOICE)
    earlier: Invoice | None = invoices.filter(period_start=month).first()
    if earlier is not None:
        return earlier
    if invoices.filter(period_start__gt=month).exists():
        raise InvoiceConflict(f"A month after {month:%B %Y} is closed already.")
    first = (invoices.aggregate(last=Max("last_sequence"))["last"] or 0) + 1
    # A transfer that is not committed yet has a higher number than every one that is: the range
    # is whole without holding up the gateway. What comes late is on the next invoice.
    entries = Transfer.objects.for_organization(organization).filter(
        sequence__gte=first, created_at__lt=midnight(end)
    )
    last = entries.aggregate(last=Max("sequence"))["last"]
    if not entries.filter(kind__in=[Transfer.Kind.USAGE, Transfer.Kind.REVERSAL]).exists():
        return None
    return _make(organization, month, end, first, last)


def _make(organization: Organization, month: date, end: date, first: int, last: int) -> Invoice:
    span = {"tenant": organization.id.removeprefix("org_"), "first": first, "last": last}
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, span)
        sums = cursor.fetchall()
        cursor.execute(_COMPONENTS, span)
        components = cursor.fetchall()
        cursor.execute(_TAKEN_BACK, span)
        taken_back = cursor.fetchall()
    by_line: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for *place, unit, count, fee in components:
        by_line[tuple(place)].append({"unit": unit, "count": count, "fee": fee})
    profile = _profile(organization)
    model_fees = sum(row[5] for row in sums)
    service_fees = sum(row[6] for row in sums)
    tax = tax_nano(profile, model_fees + service_fees)
    invoice: Invoice = Invoice.objects.create(
        organization=organization,
        number=next_number("INV"),
        kind=Invoice.Kind.INVOICE,
        period_start=month,
        period_end=end,
        first_sequence=first,
        last_sequence=last,
        requests=sum(row[4] for row in sums),
        model_fees_nano=model_fees,
        service_fees_nano=service_fees,
        tax_nano=tax,
        total_nano=model_fees + service_fees + tax,
        profile=profile,
    )
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            organization=organization, invoice=invoice, month=line_month, model=model,
            provider=provider, region=region, requests=requests,
            components=_with_cap(by_line[line_month, model, provider, region], model_fee),
            model_fee_nano=model_fee, service_fee_nano=service_fee,
        )
        for line_month, model, provider, region, requests, model_fee, service_fee in sums
    )  # fmt: skip
    for corrected, requests, model_fee, service_fee in taken_back:
        _credit_note(
            Invoice.objects.for_organization(organization).get(pk=f"inv_{corrected.hex}"),
            model_fee,
            service_fee,
            requests=requests,
            reason="Results that did not reach their client",
            last_sequence=last,
        )
    emit(organization, "invoice.issued", _told(invoice))
    invoice_issued(invoice)
    log.info("month_closed", number=invoice.number, total_nano=invoice.total_nano)
    return invoice


@transaction.atomic
def issue_credit_note(invoice: Invoice, amount_nano: int, *, reason: str, actor: Actor) -> Invoice:
    """Correct an invoice: a document of its own, and the money back on the balance.

    Raises ``InvoiceConflict`` without a reason, or for more than is left of the invoice.
    """
    organization = Organization.objects.select_for_update(no_key=True).get(
        pk=invoice.organization_id
    )
    # Nothing else is given back of it meanwhile.
    Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )
    if invoice.kind != Invoice.Kind.INVOICE:
        raise InvoiceConflict("Only an invoice can be corrected.")
    if not reason.strip():
        raise InvoiceConflict("A credit note needs a reason.")
    left = left_nano(invoice)
    if not 0 < amount_nano <= left:
        raise InvoiceConflict(f"{usd_from_nano(max(left, 0))} USD is left to correct.")
    note = _credit_note(invoice, amount_nano, 0, requests=0, reason=reason, last_sequence=None)
    post(
        organization,
        Transfer.Kind.CORRECTION,
        debit=Account.Kind.REVENUE,
        credit=Account.Kind.WALLET,
        amount_nano=amount_nano,
        reference=f"credit_note:{note.number}",
        description=f"Corrects {invoice.number}: {reason}",
    )
    record(
        organization, actor, "invoice.corrected", invoice.number,
        after={"credit_note": note.number, "amount_usd": usd_from_nano(amount_nano), "reason": reason},
    )  # fmt: skip
    return note


def _credit_note(
    invoice: Invoice, model_fee: int, service_fee: int, *, requests: int, reason: str,
    last_sequence: int | None,
) -> Invoice:  # fmt: skip
    made: Invoice = Invoice.objects.create(
        organization=invoice.organization,
        number=next_number("CN"),
        kind=Invoice.Kind.CREDIT_NOTE,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        last_sequence=last_sequence,
        requests=requests,
        model_fees_nano=model_fee,
        service_fees_nano=service_fee,
        total_nano=model_fee + service_fee,
        profile=_profile(invoice.organization),
        corrects=invoice,
        reason=reason[:200],
    )
    record(invoice.organization, SYSTEM, "credit_note.issued", made.number)
    emit(invoice.organization, "invoice.issued", _told(made))
    invoice_issued(made)
    return made


def _told(invoice: Invoice) -> dict[str, object]:
    return {
        "number": invoice.number,
        "kind": invoice.kind,
        "corrects": invoice.corrects.number if invoice.corrects else None,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
        "model_fees": usd_from_nano(invoice.model_fees_nano),
        "service_fees": usd_from_nano(invoice.service_fees_nano),
        "total": usd_from_nano(invoice.total_nano),
    }


def _with_cap(components: list[dict[str, Any]], model_fee: int) -> list[dict[str, Any]]:
    """A charge that was limited to its hold is less than its parts: say by how much."""
    cap = model_fee - sum(component["fee"] for component in components)
    return [*components, {"unit": "cap", "count": 1, "fee": cap}] if cap else components


def _profile(organization: Organization) -> dict[str, str]:
    profile = BillingProfile.objects.for_organization(organization).first()
    return {**(profile.snapshot() if profile else {}), "organization": organization.name}
