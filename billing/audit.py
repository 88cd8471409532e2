"""Proof that the money is right: the ledger entry by entry, and everything that must agree with it.

``audit`` goes once through the ledger in its order, recomputing balances and the hash chain, and asks
the database for everything else. Run it in one snapshot: money moves meanwhile.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import Organization

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CHUNK = 5_000
REPORT_EVERY = 50_000

Progress = Callable[[int, int], None]
Balances = dict[Any, dict[str, tuple[int, int]]]

BALANCE = "balance = sum of the ledger"
RUNNING = "the running balance of every entry"
GAP = "no gap in the ledger"
CHAIN = "the hash chain of the ledger"
LEDGER_CHECKS = (BALANCE, RUNNING, GAP, CHAIN)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not add up, in nano-USD or rows."""

    check: str
    organization: str
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.check}: organization {self.organization}: expected {self.expected}, found {self.found}"


# All that was ever used: rows, and of archived months their sealed sums.
_USED = """
         (SELECT organization_id, sum(requests)::bigint AS count, sum(fees)::bigint AS nano
            FROM (SELECT organization_id, count(*) AS requests, coalesce(sum(total_nano) FILTER (WHERE billed), 0) AS fees
                    FROM billing_usage GROUP BY 1
                  UNION ALL
                  SELECT organization_id, requests, model_fee_nano + service_fee_nano FROM billing_archivedusage) each
           GROUP BY 1)"""

# Each query yields (organization, expected, found) for what differs, over all organizations or one.
CHECKS = {
    "the accounts of an organization sum to zero": """
        SELECT a.organization_id, 0, sum(a.balance_nano)::bigint FROM billing_account a
         WHERE {a} GROUP BY a.organization_id HAVING sum(a.balance_nano) <> 0""",
    "balance is not below zero, nor below what is on hold": """
        SELECT a.organization_id, a.leased_nano, a.balance_nano FROM billing_account a
         WHERE {a} AND a.kind = 'wallet' AND a.balance_nano < greatest(a.leased_nano, 0)""",
    "on hold = what open leases have not spent": """
        SELECT a.organization_id, coalesce(l.nano, 0), a.leased_nano
          FROM billing_account a
          LEFT JOIN (SELECT organization_id, sum(granted_nano - spent_nano)::bigint AS nano
                       FROM billing_lease WHERE closed_at IS NULL GROUP BY organization_id) l USING (organization_id)
         WHERE {a} AND a.kind = 'wallet' AND coalesce(l.nano, 0) <> a.leased_nano""",
    "no hold is older than its lease": """
        SELECT a.organization_id, 0, a.granted_nano - a.spent_nano FROM billing_lease a
         WHERE {a} AND a.closed_at IS NULL AND a.expires_at < clock_timestamp() - interval '2 minutes'""",
    "withheld = disputes that are open or not collected, and refunds not collected": """
        SELECT a.organization_id, coalesce(d.nano, 0) + coalesce(r.nano, 0), a.frozen_nano
          FROM billing_account a
          LEFT JOIN (SELECT organization_id, sum(amount_nano - collected_nano)::bigint AS nano
                       FROM billing_dispute WHERE status <> 'won' GROUP BY organization_id) d USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(amount_nano - collected_nano)::bigint AS nano
                       FROM billing_refund WHERE status <> 'failed' GROUP BY organization_id) r USING (organization_id)
         WHERE {a} AND a.kind = 'wallet' AND coalesce(d.nano, 0) + coalesce(r.nano, 0) <> a.frozen_nano""",
    "every billed request has its one transfer, of its total": """
        SELECT a.organization_id, a.total_nano, coalesce(t.amount_nano, 0)
          FROM billing_usage a
          LEFT JOIN billing_transfer t ON t.organization_id = a.organization_id AND t.kind = 'usage'
               AND t.reference = 'req_' || replace(a.id::text, '-', '')
         WHERE {a} AND a.billed AND coalesce(t.amount_nano, 0) <> a.total_nano""",
    "an archived month = what the ledger charged for it": """
        SELECT a.organization_id, sum(a.charged)::bigint, sum(a.kept)::bigint
          FROM (SELECT t.organization_id, m.month, 0 AS kept,
                       CASE t.kind WHEN 'usage' THEN t.amount_nano ELSE -t.amount_nano END AS charged
                  FROM billing_archivedmonth m
                  JOIN billing_transfer t ON billing_month_of(t.reference) = m.month
                 WHERE t.kind IN ('usage', 'reversal')
                UNION ALL
                SELECT organization_id, month, model_fee_nano + service_fee_nano, 0 FROM billing_archivedusage
                UNION ALL  -- what was settled into it later, by a clock far behind
                SELECT u.organization_id, m.month, u.total_nano, 0
                  FROM billing_archivedmonth m
                  JOIN billing_usage u ON u.id >= billing_uuid_at(m.month::timestamp AT TIME ZONE 'UTC')
                       AND u.id < billing_uuid_at((m.month + interval '1 month') AT TIME ZONE 'UTC')
                 WHERE u.billed) a
         WHERE {a} GROUP BY a.organization_id, a.month HAVING sum(a.charged) <> sum(a.kept)""",
    "usage by day = usage, in requests": """
        SELECT a.id, coalesce(u.count, 0), coalesce(d.count, 0)
          FROM (SELECT id, id AS organization_id FROM accounts_organization) a
          LEFT JOIN """
    + _USED
    + """ u USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(requests)::bigint AS count FROM billing_usageday GROUP BY 1) d USING (organization_id)
         WHERE {a} AND coalesce(u.count, 0) <> coalesce(d.count, 0)""",
    "usage by day = usage, in fees": """
        SELECT a.id, coalesce(u.nano, 0), coalesce(d.nano, 0)
          FROM (SELECT id, id AS organization_id FROM accounts_organization) a
          LEFT JOIN """
    + _USED
    + """ u USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(model_fee_nano + service_fee_nano)::bigint AS nano
                       FROM billing_usageday GROUP BY 1) d USING (organization_id)
         WHERE {a} AND coalesce(u.nano, 0) <> coalesce(d.nano, 0)""",
    "charges less reversals = billed requests": """
        SELECT a.organization_id, coalesce(u.nano, 0) - coalesce(c.nano, 0), a.balance_nano
          FROM billing_account a
          LEFT JOIN """
    + _USED
    + """ u USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(amount_nano)::bigint AS nano
                       FROM billing_transfer WHERE kind = 'correction' GROUP BY organization_id) c USING (organization_id)
         WHERE {a} AND a.kind = 'revenue' AND coalesce(u.nano, 0) - coalesce(c.nano, 0) <> a.balance_nano""",
    "the lines of a request sum to its model fee": """
        SELECT a.organization_id, a.model_fee_nano,
               (SELECT coalesce(sum((line->>'fee')::bigint), 0) FROM jsonb_array_elements(a.lines) line)::bigint
          FROM billing_usage a
         WHERE {a} AND a.billed AND NOT a.capped AND a.model_fee_nano <>
               (SELECT coalesce(sum((line->>'fee')::bigint), 0) FROM jsonb_array_elements(a.lines) line)""",
    "the service fee of a request is its rate, half-up": """
        SELECT a.organization_id, (a.model_fee_nano::numeric * a.service_fee_bps + 5000)::bigint / 10000, a.service_fee_nano
          FROM billing_usage a
         WHERE {a} AND a.billed AND NOT a.capped
           AND div(a.model_fee_nano::numeric * a.service_fee_bps + 5000, 10000) <> a.service_fee_nano""",
    "an open task holds its money, one that ended holds none": """
        SELECT a.organization_id, CASE WHEN a.finished_at IS NULL THEN a.hold_nano ELSE 0 END, coalesce(l.nano, 0)
          FROM billing_mediatask a
          LEFT JOIN (SELECT id, granted_nano - spent_nano AS nano FROM billing_lease WHERE closed_at IS NULL) l USING (id)
         WHERE {a} AND coalesce(l.nano, 0) <> CASE WHEN a.finished_at IS NULL THEN a.hold_nano ELSE 0 END""",
    "a task that succeeded has its one charge, any other none": """
        SELECT a.organization_id, a.total_nano, coalesce(u.total_nano, t.amount_nano, 0)
          FROM billing_mediatask a
          LEFT JOIN billing_usage u ON u.id = a.id AND u.billed
          LEFT JOIN billing_archivedmonth m
                 ON m.month = billing_month_of('req_' || replace(a.id::text, '-', '')) AND u.id IS NULL
          LEFT JOIN billing_transfer t ON m.month IS NOT NULL AND t.organization_id = a.organization_id
               AND t.kind = 'usage' AND t.reference = 'req_' || replace(a.id::text, '-', '')
         WHERE {a} AND (coalesce(u.total_nano, t.amount_nano, 0) <> a.total_nano
                        OR (m.month IS NULL AND (a.status = 'succeeded') <> (u.id IS NOT NULL)))""",
    "no task is open past its deadline": """
        SELECT a.organization_id, 0, a.hold_nano FROM billing_mediatask a
         WHERE {a} AND a.finished_at IS NULL AND a.deadline_at < clock_timestamp() - interval '30 minutes'""",
    "card payments less what went back = top-ups": """
        SELECT a.organization_id, coalesce(t.nano, 0) - coalesce(r.nano, 0) - coalesce(d.nano, 0), -a.balance_nano
          FROM billing_account a
          LEFT JOIN (SELECT organization_id, sum(amount_nano)::bigint AS nano FROM billing_topup
                      WHERE status IN ('succeeded', 'refunded') GROUP BY organization_id) t USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(collected_nano)::bigint AS nano FROM billing_refund
                      WHERE status <> 'failed' GROUP BY organization_id) r USING (organization_id)
          LEFT JOIN (SELECT organization_id, sum(collected_nano)::bigint AS nano FROM billing_dispute
                      GROUP BY organization_id) d USING (organization_id)
         WHERE {a} AND a.kind = 'funding'
           AND coalesce(t.nano, 0) - coalesce(r.nano, 0) - coalesce(d.nano, 0) <> -a.balance_nano""",
    "every top-up that succeeded has its one transfer and its receipt": """
        SELECT a.organization_id, a.amount_nano, least(coalesce(t.amount_nano, 0), coalesce(r.amount_nano - a.fee_nano, 0))
          FROM billing_topup a
          LEFT JOIN billing_transfer t ON t.organization_id = a.organization_id AND t.kind = 'top_up'
               AND t.reference = 'top_up:top_' || replace(a.id::text, '-', '')
          LEFT JOIN billing_receipt r ON r.top_up_id = a.id
         WHERE {a} AND a.status IN ('succeeded', 'refunded')
           AND (t.amount_nano IS DISTINCT FROM a.amount_nano OR r.amount_nano IS DISTINCT FROM a.amount_nano + a.fee_nano)""",
    "the lines of an invoice sum to its fees": """
        SELECT a.organization_id, a.model_fees_nano + a.service_fees_nano, coalesce(l.nano, 0)
          FROM billing_invoice a
          LEFT JOIN (SELECT invoice_id, sum(model_fee_nano + service_fee_nano)::bigint AS nano
                       FROM billing_invoiceline GROUP BY invoice_id) l ON l.invoice_id = a.id
         WHERE {a} AND a.kind = 'invoice' AND a.model_fees_nano + a.service_fees_nano <> coalesce(l.nano, 0)""",
    "invoices less credit notes = charges of the months that are closed": """
        SELECT a.organization_id, coalesce(t.nano, 0), coalesce(i.nano, 0)
          FROM billing_account a
          JOIN (SELECT organization_id, max(last_sequence) FILTER (WHERE kind = 'invoice') AS upto,
                       sum(CASE kind WHEN 'invoice' THEN 1 ELSE -1 END * (model_fees_nano + service_fees_nano))::bigint AS nano
                  FROM billing_invoice GROUP BY organization_id) i USING (organization_id)
          LEFT JOIN LATERAL (
               SELECT sum(CASE kind WHEN 'usage' THEN amount_nano ELSE -amount_nano END)::bigint AS nano
                 FROM billing_transfer t
                WHERE t.organization_id = a.organization_id
                  AND (t.kind = 'correction' OR (t.kind IN ('usage', 'reversal') AND t.sequence <= i.upto))) t ON TRUE
         WHERE {a} AND a.kind = 'wallet' AND coalesce(t.nano, 0) <> coalesce(i.nano, 0)""",
    "no invoice is given back beyond its fees": """
        SELECT a.organization_id, a.model_fees_nano + a.service_fees_nano, coalesce(n.nano, 0) + coalesce(r.nano, 0)
          FROM billing_invoice a
          LEFT JOIN (SELECT corrects_id, sum(total_nano)::bigint AS nano FROM billing_invoice GROUP BY corrects_id) n
                 ON n.corrects_id = a.id
          LEFT JOIN (SELECT i.id, sum(b.amount_nano)::bigint AS nano
                       FROM billing_transfer b
                       JOIN billing_transfer t ON t.organization_id = b.organization_id AND t.kind = 'usage'
                            AND t.reference = substring(b.reference FROM 10)
                       JOIN billing_invoice i ON i.organization_id = b.organization_id AND i.kind = 'invoice'
                            AND t.sequence BETWEEN i.first_sequence AND i.last_sequence
                      WHERE b.kind = 'reversal'
                        AND b.sequence > (SELECT max(l.last_sequence) FROM billing_invoice l
                                           WHERE l.organization_id = b.organization_id AND l.kind = 'invoice')
                      GROUP BY i.id) r ON r.id = a.id
         WHERE {a} AND a.kind = 'invoice'
           AND coalesce(n.nano, 0) + coalesce(r.nano, 0) > a.model_fees_nano + a.service_fees_nano""",
    "an invoice follows the one before without a gap": """
        SELECT a.organization_id, a.before + 1, a.first_sequence
          FROM (SELECT i.organization_id, i.first_sequence,
                       lag(i.last_sequence, 1, 0::bigint) OVER (PARTITION BY i.organization_id ORDER BY i.period_start) AS before
                  FROM billing_invoice i WHERE i.kind = 'invoice') a
         WHERE {a} AND a.before + 1 <> a.first_sequence""",
}
# Over all organizations only: (expected, found).
NUMBERS = """
    SELECT s.last_number, count(d.number)
      FROM billing_series s
      LEFT JOIN (SELECT number FROM billing_invoice UNION ALL SELECT number FROM billing_receipt) d
             ON d.number LIKE s.prefix || '-%'
     GROUP BY s.prefix, s.last_number
    HAVING count(d.number) <> s.last_number
        OR coalesce(max(split_part(d.number, '-', 2)::bigint), 0) <> s.last_number"""
NUMBERS_CHECK = "document numbers have no gap"

_ENTRIES = """
SELECT organization_id, sequence, kind, debit_account, credit_account, amount_nano, balance_after_nano,
       reference, description, created_at, hash
  FROM billing_transfer a WHERE {a} ORDER BY organization_id, sequence"""


@dataclass(slots=True)
class _Walk:
    """One organization's ledger, as far as it was read."""

    tenant: Any
    sequence: int = 0
    balance_nano: int = 0
    hash: str = ""
    accounts: dict[str, int] = field(default_factory=dict)


def audit(
    organization: Organization | None = None, *, limit: int = 100, progress: Progress | None = None
) -> list[Difference]:
    """Every difference found, at most ``limit`` of each kind; for one organization or for all.

    ``progress`` is told how many of how many ledger entries are done.
    """
    condition = "TRUE" if organization is None else "a.organization_id = %s"
    arguments = [] if organization is None else [organization.id.removeprefix("org_")]
    found = _at_most(limit, _ledger(condition, arguments, progress))
    for check, query in CHECKS.items():
        with connection.cursor() as cursor:
            cursor.execute(f"{query.replace('{a}', condition)} LIMIT {int(limit)}", arguments)
            found += [
                Difference(check, f"org_{tenant.hex}", int(expected), int(actual))
                for tenant, expected, actual in cursor.fetchall()
            ]
    if organization is None:
        with connection.cursor() as cursor:
            cursor.execute(NUMBERS)
            found += [Difference(NUMBERS_CHECK, "all", *row) for row in cursor.fetchall()]
    return found


def _at_most(limit: int, differences: Iterator[Difference]) -> list[Difference]:
    """The first of each kind; all of them are looked at."""
    kept: dict[str, list[Difference]] = {}
    for difference in differences:
        of_kind = kept.setdefault(difference.check, [])
        if len(of_kind) < limit:
            of_kind.append(difference)
    return [difference for of_kind in kept.values() for difference in of_kind]


def _ledger(
    condition: str, arguments: list[str], progress: Progress | None
) -> Iterator[Difference]:
    """Walk the ledger in its order, once."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT organization_id, kind, balance_nano, sequence FROM billing_account a WHERE {condition}",
            arguments,
        )
        balances: Balances = {}
        for tenant, kind, balance_nano, number in cursor.fetchall():
            balances.setdefault(tenant, {})[kind] = (balance_nano, number)
        cursor.execute(f"SELECT count(*) FROM billing_transfer a WHERE {condition}", arguments)
        total = cursor.fetchone()[0]
    walk: _Walk | None = None
    done = 0
    # A cursor on the server: the ledger does not have to fit in memory.
    with connection.chunked_cursor() as cursor:
        cursor.execute(_ENTRIES.replace("{a}", condition), arguments)
        for entry in _rows(cursor):
            if walk is None or walk.tenant != entry[0]:
                if walk is not None:
                    yield from _close(walk, balances)
                walk = _Walk(entry[0])
            yield from _step(walk, entry)
            done += 1
            if progress is not None and done % REPORT_EVERY == 0:
                progress(done, total)
    if walk is not None:
        yield from _close(walk, balances)
    if progress is not None:
        progress(done, total)
    for tenant in list(balances):
        yield from _close(_Walk(tenant), balances)


def _rows(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while chunk := cursor.fetchmany(CHUNK):
        yield from chunk


def _step(walk: _Walk, entry: tuple[Any, ...]) -> Iterator[Difference]:
    tenant, sequence, kind, debit, credit, amount, after, reference, description, at, stored = entry
    name = f"org_{tenant.hex}"
    walk.accounts[debit] = walk.accounts.get(debit, 0) - amount
    walk.accounts[credit] = walk.accounts.get(credit, 0) + amount
    walk.balance_nano += amount if credit == "wallet" else -amount
    if after != walk.balance_nano:
        yield Difference(RUNNING, name, walk.balance_nano, after)
        walk.balance_nano = after  # said once, not for every entry after it
    if sequence != walk.sequence + 1:
        yield Difference(GAP, name, walk.sequence + 1, sequence)
    walk.sequence = sequence
    micros = (at - EPOCH) // MICROSECOND
    text = (
        f"{walk.hash}|{name}|{sequence}|{kind}|{debit}|{credit}|{amount}|{after}|{micros}"
        f"|{reference}|{description}"
    )
    walk.hash = bytes(stored).hex()
    if hashlib.sha256(text.encode()).hexdigest() != walk.hash:
        yield Difference(CHAIN, name, sequence, sequence)


def _close(walk: _Walk, balances: Balances) -> Iterator[Difference]:
    """Compare what was read of an organization with its accounts, and be done with it."""
    name = f"org_{walk.tenant.hex}"
    for kind, (balance_nano, sequence) in balances.pop(walk.tenant, {}).items():
        if walk.accounts.get(kind, 0) != balance_nano:
            yield Difference(BALANCE, name, walk.accounts.get(kind, 0), balance_nano)
        if kind == "wallet" and sequence != walk.sequence:
            yield Difference(GAP, name, sequence, walk.sequence)
