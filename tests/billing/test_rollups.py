"""Usage by day is the usage, to the nano-dollar, however it was written; and settling stays cheap."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from billing.audit import audit
from billing.models import Transfer, Usage, UsageDay
from billing.selectors import usage_summaries
from billing.services import take_back
from tests import factories


def days(tenant: Organization) -> dict[date, tuple[int, int, int]]:
    """Requests, failed ones and nano-USD of each day."""
    rows = UsageDay.objects.for_organization(tenant).order_by().values("day")
    return {
        row["day"]: (row["r"], row["f"], row["m"] + row["s"])
        for row in rows.annotate(
            r=Sum("requests"), f=Sum("failed"), m=Sum("model_fee_nano"), s=Sum("service_fee_nano")
        )
    }


@pytest.mark.django_db
@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    uses=st.lists(
        st.tuples(
            st.sampled_from(["m1", "m2", ""]), st.sampled_from(["eu", "us"]), st.integers(0, 3),
            st.booleans(), st.integers(1, 10**12), st.integers(0, 10**6),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_any_usage_adds_up(uses: list[tuple[str, str, int, bool, int, int]]) -> None:
    tenant = factories.organization()
    now = datetime.now(UTC)
    expected: Counter[str] = Counter()
    for model, region, days_ago, billed, fee, tokens in uses:
        factories.usage(
            tenant, model=model, region=region, created_at=now - timedelta(days=days_ago), billed=billed,
            status="succeeded" if billed else "failed", model_fee_nano=fee, service_fee_nano=3,
            total_nano=fee + 3, units={"input": tokens, "cached_input": 1, "output": 2},
        )  # fmt: skip
        expected += Counter({"requests": 1, "failed": not billed, "billed": billed})
        if billed:
            expected += Counter(
                {"model_fee_nano": fee, "service_fee_nano": 3, "input_tokens": tokens + 1, "output_tokens": 2}
            )  # fmt: skip

    found = UsageDay.objects.for_organization(tenant).aggregate(
        **{f"sum_{name}": Sum(name) for name in expected}
    )

    assert {name: found[f"sum_{name}"] for name in expected} == dict(expected)
    assert not any("usage by day" in difference.check for difference in audit(tenant))


@pytest.mark.django_db
def test_a_day_begins_at_midnight_utc() -> None:
    tenant = factories.organization(credit_nano=10**9)
    midnight = datetime(2026, 3, 29, tzinfo=UTC)  # clocks change in Europe that night
    for moment in (midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=23)):
        factories.charge(tenant, 1_000, service_fee_bps=0, created_at=moment.isoformat())

    assert days(tenant) == {date(2026, 3, 28): (1, 0, 1_000), date(2026, 3, 29): (2, 0, 2_000)}
    [first, both] = usage_summaries(
        tenant, [date(2026, 3, 29), date(2026, 3, 28)], date(2026, 3, 30)
    )
    assert (first.total_nano, both.total_nano) == (2_000, 3_000)
    assert usage_summaries(tenant, [date(2026, 3, 28)], date(2026, 3, 29))[0].total_nano == 1_000


@pytest.mark.django_db
def test_what_is_taken_back_is_taken_off_its_day() -> None:
    tenant = factories.organization(credit_nano=10**9)
    kept, gone = factories.charge(tenant, 1_000), factories.charge(tenant, 5_000)

    assert take_back([gone], reason="undelivered") == 1
    assert take_back([gone], reason="undelivered") == 0

    today = datetime.now(UTC).date()
    assert days(tenant) == {today: (2, 1, 1_030)}
    assert Usage.objects.get(pk=kept).billed
    assert audit(tenant) == []


def test_many_at_once_count_each_other(committed: None) -> None:
    tenant = factories.organization(credit_nano=10**10)

    def work(number: int) -> None:
        factories.charge(tenant, 1_000, model=f"m{number % 3}", service_fee_bps=0)
        connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(120)))

    assert sum(requests for requests, _, _ in days(tenant).values()) == 120
    assert audit(tenant) == []


@pytest.mark.django_db
def test_the_audit_finds_a_day_that_was_altered() -> None:
    tenant = factories.organization(credit_nano=10**9)
    factories.charge(tenant, 1_000)

    UsageDay.objects.for_organization(tenant).update(model_fee_nano=1, requests=7)

    assert {d.check for d in audit(tenant)} == {
        "usage by day = usage, in requests",
        "usage by day = usage, in fees",
    }


@pytest.mark.django_db
@pytest.mark.parametrize("analyzed", [False, True])
def test_a_settlement_reads_no_more_of_a_long_ledger_than_of_a_short_one(analyzed: bool) -> None:
    for _ in range(8):  # planned by those who credit, before anyone is charged
        tenant = factories.organization(credit_nano=10**10)
    with connection.cursor() as cursor:
        if analyzed:
            cursor.execute("ANALYZE billing_transfer")
        before = _entries_read(cursor)
        for _ in range(120):
            factories.charge(tenant, 1_000)
        read = _entries_read(cursor) - before

    assert Transfer.objects.for_organization(tenant).count() == 121
    assert read < 121 * 6


def _entries_read(cursor: Any) -> int:
    cursor.execute(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
        " FROM pg_stat_xact_user_tables WHERE relname = 'billing_transfer'"
    )
    return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_one_row_a_day_and_kind() -> None:
    tenant = factories.organization(credit_nano=10**9)
    factories.charge(tenant, 1_000)
    row = UsageDay.objects.for_organization(tenant).get()
    row.pk = None

    with pytest.raises(DatabaseError), transaction.atomic():
        row.save(force_insert=True)
    assert uuid.UUID(str(row.key_id)).version == 4
