"""A statement: the ledger of one organization as a file that anyone can verify without us.

Each line carries the hash that chains it to the line before; ``static/verify_statement.py`` checks them.
"""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

from accounts.models import Organization
from accounts.spreadsheets import csv_lines
from billing.models import Transfer

COLUMNS = (
    "organization", "sequence", "created_at", "kind", "debit_account", "credit_account",
    "amount_nano", "balance_after_nano", "reference", "description", "hash",
)  # fmt: skip


def statement_csv(organization: Organization) -> Iterator[str]:
    """The whole ledger from its first entry on, oldest first, a line at a time."""
    return csv_lines(COLUMNS, _rows(organization))


def _rows(organization: Organization) -> Iterator[list[Any]]:
    entries = Transfer.objects.for_organization(organization).order_by("sequence")
    for entry in entries.iterator(chunk_size=2_000):
        yield [
            organization.id,
            entry.sequence,
            entry.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            entry.kind,
            entry.debit_account,
            entry.credit_account,
            entry.amount_nano,
            entry.balance_after_nano,
            entry.reference,
            entry.description,
            bytes(entry.hash).hex(),
        ]
