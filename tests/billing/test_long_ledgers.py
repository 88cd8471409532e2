"""What runs every few seconds reads a few entries of a ledger, however long it is, and finds what reading all of it finds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing import alerts
from billing.invoices import close, close_due
from billing.services import take_back
from tests import factories

pytestmark = pytest.mark.django_db
USD = 1_000_000_000
LONG = 50_000
few_examples = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# The same, by reading everything.
SPENT = """
SELECT b.organization_id, b.monthly_nano, b.monthly_is_hard,
       coalesce(sum(CASE t.credit_account WHEN 'revenue' THEN t.amount_nano ELSE -t.amount_nano END), 0)::bigint
  FROM billing_budget b
  LEFT JOIN billing_transfer t ON t.organization_id = b.organization_id AND t.created_at >= %(since)s
       AND t.kind IN ('usage', 'reversal')
 WHERE b.monthly_nano IS NOT NULL
 GROUP BY b.organization_id, b.monthly_nano, b.monthly_is_hard
"""
OPEN = """
SELECT t.organization_id, min(t.created_at)
  FROM billing_transfer t
 WHERE t.kind IN ('usage', 'reversal') AND t.created_at < %(before)s
   AND t.sequence > coalesce((SELECT max(i.last_sequence) FROM billing_invoice i
                               WHERE i.organization_id = t.organization_id AND i.kind = 'invoice'), 0)
 GROUP BY t.organization_id
"""


def rows(query: str, **values: object) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return sorted(cursor.fetchall())


def entries(tenant: Organization, kinds: list[str], times: list[datetime]) -> None:
    """A ledger as it was written, each entry at its time."""
    after = rows("SELECT sequence FROM billing_account WHERE kind = 'wallet' AND organization_id = %(t)s", t=tenant.id[4:])[0][0]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "INSERT INTO billing_transfer (organization_id, kind, debit_account, credit_account, amount_nano,"
            " balance_after_nano, sequence, reference, description, created_at)"
            " SELECT %s, e.kind, 'wallet', 'revenue', 1, 1, %s + e.number, 'entry-' || %s + e.number, '', e.at"
            "   FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY e (kind, at, number)",
            [tenant.id[4:], after, after, kinds, times],
        )
        cursor.execute(
            "UPDATE billing_account SET sequence = %s WHERE kind = 'wallet' AND organization_id = %s",
            [after + len(kinds), tenant.id[4:]],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def invoiced(tenant: Organization, month: int, last: int) -> None:
    """An invoice up to an entry."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "INSERT INTO billing_invoice (id, organization_id, number, kind, period_start, period_end, first_sequence,"
            " last_sequence, requests, model_fees_nano, service_fees_nano, tax_nano, total_nano, profile, reason, issued_at)"
            " VALUES (gen_random_uuid(), %s, left(gen_random_uuid()::text, 13), 'invoice', make_date(2020, %s, 1),"
            " make_date(2020, %s, 2), 1, %s, 0, 0, 0, 0, 0, '{}', '', now())",
            [tenant.id[4:], month, month, last],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def entries_read(work: Callable[[], object]) -> int:
    """How many entries of the ledger were read meanwhile, by whatever way."""
    counted = (
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
        " FROM pg_stat_xact_user_tables WHERE relname = 'billing_transfer'"
    )
    before = rows(counted)[0][0]
    work()
    return int(rows(counted)[0][0] - before)


def used_for_long() -> Organization:
    """Low on money, with a month's budget, and a long ledger since the last refill."""
    tenant = factories.organization(credit_nano=USD)
    alerts.set_budget(tenant, low_balance_nano=20 * USD, monthly_nano=100_000 * USD, actor=SYSTEM)
    now = timezone.now()
    entries(tenant, ["usage"] * LONG, [now - timedelta(seconds=LONG - n) for n in range(LONG)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_transfer")
    return tenant


def test_alerts_are_found_without_reading_a_ledger() -> None:
    used_for_long()

    assert entries_read(alerts.check) < 100  # says that the balance is low
    assert entries_read(alerts.check) < 100  # looks whether it still is


def test_where_no_month_is_to_be_closed_no_ledger_is_read() -> None:
    tenant = used_for_long()
    last = rows("SELECT max(sequence) FROM billing_transfer WHERE organization_id = %(t)s", t=tenant.id[4:])[0][0]  # fmt: skip
    invoiced(tenant, 1, last - 5)
    new = factories.organization(credit_nano=USD)  # its first month is not over
    now = timezone.now()
    entries(new, ["usage"] * LONG, [now + timedelta(seconds=n) for n in range(LONG)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_transfer")

    assert entries_read(lambda: rows(close._OPEN, before=now - timedelta(days=1))) < 200
    assert entries_read(lambda: close_due(now - timedelta(days=62))) < 200


kinds = st.sampled_from(["usage", "usage", "reversal", "top_up", "refund", "correction"])
gaps = st.sampled_from([0, 1, 10, 50, 600, 86_400])


@few_examples
@given(
    ledgers=st.lists(
        st.tuples(
            st.lists(st.tuples(kinds, gaps, st.integers(-29, 29)), max_size=12), st.integers(0, 12)
        ),
        min_size=1, max_size=3,
    ),
    hours=st.integers(-2, 60), seconds=st.integers(-40, 40),
)  # fmt: skip
def test_the_months_to_close_are_those_that_reading_everything_finds(
    ledgers: list[tuple[list[tuple[str, int, int]], int]], hours: int, seconds: int
) -> None:
    begin = datetime(2020, 1, 31, 22, tzinfo=UTC)
    for ledger, last in ledgers:
        tenant, at, times = factories.organization(), begin, []
        for _, gap_s, clock_s in ledger:
            at += timedelta(seconds=gap_s)
            times.append(at + timedelta(seconds=clock_s))  # clocks differ a little
        entries(tenant, [kind for kind, *_ in ledger], times)
        if last and last <= len(ledger):
            invoiced(tenant, 1, last)
    before = begin + timedelta(hours=hours, seconds=seconds)

    assert rows(close._OPEN, before=before) == rows(OPEN, before=before)


@few_examples
@given(st.lists(st.tuples(st.integers(1, 3 * USD), st.booleans()), max_size=6), st.booleans())
def test_what_a_month_came_to_is_what_reading_everything_comes_to(
    charges: list[tuple[int, bool]], hard: bool
) -> None:
    tenant = factories.organization(credit_nano=30 * USD)
    alerts.set_budget(
        tenant, low_balance_nano=None, monthly_nano=USD, monthly_is_hard=hard, actor=SYSTEM
    )
    for fee_nano, is_delivered in charges:
        request = factories.charge(tenant, fee_nano)
        if not is_delivered:
            take_back([request], reason="not_delivered")
    since = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    assert rows(alerts._SPENT, since=since.date()) == rows(SPENT, since=since)
