"""The requests on an invoice, one by one; their totals add up to it.

Of a request that is archived the ledger knows when it was charged, its model and its total.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection

from accounts.spreadsheets import csv_lines
from billing.models import Invoice
from billing.money import usd_from_nano

COLUMNS = (
    "request", "created_at", "model", "provider", "region", "key", "model_fee_usd", "service_fee_usd",
    "service_fee_bps", "total_usd",
)  # fmt: skip
CHUNK = 2_000
_REQUESTS = """
SELECT t.reference, coalesce(u.created_at, t.created_at), coalesce(u.model, t.description),
       coalesce(u.provider, 'archived'), coalesce(u.region, 'archived'), coalesce(u.key_name, 'archived'),
       u.model_fee_nano, u.service_fee_nano, u.service_fee_bps, t.amount_nano
  FROM billing_transfer t
  LEFT JOIN billing_usage u ON u.id = CASE WHEN t.reference LIKE 'req\\_%%' THEN substring(t.reference FROM 5)::uuid END
       AND u.organization_id = t.organization_id
 WHERE t.organization_id = %s AND t.kind = 'usage' AND t.sequence BETWEEN %s AND %s
   AND NOT EXISTS (SELECT FROM billing_transfer r
                    WHERE r.organization_id = t.organization_id AND r.reference = 'reversal:' || t.reference
                      AND r.sequence <= %s)
 ORDER BY t.sequence
"""


def requests_csv(invoice: Invoice) -> Iterator[str]:
    """Every request that an invoice charges, oldest first, a line at a time."""
    return csv_lines(COLUMNS, _rows(invoice))


def _rows(invoice: Invoice) -> Iterator[list[Any]]:
    tenant = invoice.organization_id.removeprefix("org_")
    span = [tenant, invoice.first_sequence, invoice.last_sequence, invoice.last_sequence]
    with connection.chunked_cursor() as cursor:
        cursor.execute(_REQUESTS, span)
        while chunk := cursor.fetchmany(CHUNK):
            for reference, at, *names, model_fee, service_fee, bps, total in chunk:
                fees = [
                    "" if fee is None else usd_from_nano(fee) for fee in (model_fee, service_fee)
                ]
                when = f"{at:%Y-%m-%dT%H:%M:%SZ}"
                yield [reference, when, *names, *fees, bps, usd_from_nano(total)]
