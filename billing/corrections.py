"""What may still be given back of what was invoiced: no charge goes back twice, by a document and by itself.

Whoever gives back locks the organization's wallet first, and then asks here.
"""

from collections.abc import Collection

from django.db import connection

from billing.models import Invoice, Usage

# Fees, less what credit notes gave back, less charges taken back that get their credit note with the next invoice.
# The tax of an invoice was not taken from the balance.
_LEFT = """
SELECT i.model_fees_nano + i.service_fees_nano
       - (SELECT coalesce(sum(n.total_nano), 0) FROM billing_invoice n WHERE n.corrects_id = i.id)
       - (SELECT coalesce(sum(r.amount_nano), 0)
            FROM billing_transfer r
            JOIN billing_transfer t ON t.organization_id = r.organization_id
                 AND t.reference = substring(r.reference FROM 10)
           WHERE r.organization_id = i.organization_id AND r.kind = 'reversal'
             AND r.sequence > (SELECT max(l.last_sequence) FROM billing_invoice l
                                WHERE l.organization_id = i.organization_id AND l.kind = 'invoice')
             AND t.sequence BETWEEN i.first_sequence AND i.last_sequence)
  FROM billing_invoice i WHERE i.id = %s
"""
_INVOICED = """
SELECT t.reference, i.id
  FROM billing_transfer t
  JOIN billing_invoice i ON i.organization_id = t.organization_id AND i.kind = 'invoice'
       AND t.sequence BETWEEN i.first_sequence AND i.last_sequence
 WHERE t.organization_id = ANY (%s::uuid[]) AND t.reference = ANY (%s)
"""


def left_nano(invoice: Invoice) -> int:
    """How much of an invoice may still be given back, in nano-USD."""
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, [invoice.id.removeprefix("inv_")])
        (left,) = cursor.fetchone()
    return int(left)


def invoices_of(charged: Collection[Usage]) -> dict[str, Invoice]:
    """The invoices of those requests whose charge is on one."""
    organizations = {usage.organization_id.removeprefix("org_") for usage in charged}
    with connection.cursor() as cursor:
        cursor.execute(_INVOICED, [list(organizations), [usage.id for usage in charged]])
        found = {request: f"inv_{invoice.hex}" for request, invoice in cursor.fetchall()}
    invoices = Invoice.objects.in_bulk(set(found.values()))
    return {request: invoices[invoice] for request, invoice in found.items()}
