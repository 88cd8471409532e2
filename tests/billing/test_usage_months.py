"""Months of usage get their partitions in time, and nobody waits for that: no charge, no reader, no other month."""

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.ids import uuid7
from accounts.models import Organization
from billing import services, tasks
from billing.audit import audit
from billing.errors import UsageMonthMissing
from billing.models import Usage
from tests import factories
from tests.conftest import database_url
from tests.processes import eventually

AHEAD = 5  # two more than there are from the start
CREDIT = 1_000_000_000


def month(ahead: int) -> datetime:
    """The middle of a month that is so many months ahead."""
    now = timezone.now().astimezone(UTC)
    years, index = divmod(now.month - 1 + ahead, 12)
    return datetime(now.year + years, index + 1, 15, tzinfo=UTC)


def name(ahead: int) -> str:
    return f"{month(ahead):%Y-%m}"


def partition(ahead: int) -> str:
    return f"billing_usage_{month(ahead):%Y%m}"


def rows(statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall()  # type: ignore[no-any-return]


def where(tenant: Organization) -> list[str]:
    """The partitions in which an organization's usage lies."""
    found = rows(
        "SELECT tableoid::regclass::text FROM billing_usage WHERE organization_id = %s ORDER BY 1",
        tenant.id[4:],
    )
    return [table for (table,) in found]


def charge_at(tenant: Organization, at: datetime) -> None:
    """A charge by a gateway whose clock says ``at``."""
    request = uuid.UUID(int=int(at.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)
    factories.charge(tenant, id=request, created_at=at.isoformat())


@pytest.fixture
def as_before(committed: None) -> Iterator[None]:
    """Months that a test makes for all to see are gone after it."""
    yield
    with connection.cursor() as cursor:
        for ahead in (4, 5):
            cursor.execute(f"DROP TABLE IF EXISTS {partition(ahead)}")


def test_no_charge_waits_while_somebody_reads_for_long(as_before: None) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    outcomes: list[tuple[str, str]] = []

    def make() -> None:
        with psycopg.connect(database_url(), autocommit=True, application_name="months") as maker:
            outcomes.extend(
                maker.execute("SELECT * FROM billing_keep_usage_months(%s)", [AHEAD]).fetchall()
            )

    charged_meanwhile = 0
    with psycopg.connect(database_url()) as reader:  # a backup, or a long export
        reader.execute("SELECT count(*) FROM billing_usage")
        rows("SELECT set_config('lock_timeout', '100ms', false)")
        maker = threading.Thread(target=make)
        maker.start()
        eventually(lambda: rows(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'months' AND wait_event_type = 'Lock'"
        ), what="waiting for the reader")  # fmt: skip
        while maker.is_alive() and charged_meanwhile < 1_000:
            factories.charge(tenant, 1_000)  # refused after 100 ms if it had to wait
            charged_meanwhile += 1
    maker.join()
    rows("SELECT set_config('lock_timeout', '0', false)")

    assert charged_meanwhile > 0
    assert outcomes == [(name(4), "busy"), (name(5), "busy")]
    assert services.keep_usage_partitions(AHEAD) == {name(4): "added", name(5): "added"}
    assert services.keep_usage_partitions(AHEAD) == {}
    assert audit(tenant) == []


def test_a_month_is_made_while_a_charge_is_under_way(as_before: None) -> None:
    tenant = factories.organization(credit_nano=CREDIT)

    with psycopg.connect(database_url()) as gateway:
        gateway.execute(
            "SELECT billing_settle(%s, %s::json)",
            [uuid.uuid4(), json.dumps([factories.result(tenant, 1_000)])],
        )
        made = services.keep_usage_partitions(AHEAD)

    assert made == {name(4): "added", name(5): "added"}
    assert Usage.objects.filter(organization=tenant).count() == 1
    assert audit(tenant) == []


@pytest.mark.django_db
def test_what_a_clock_far_ahead_left_moves_to_its_month() -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    charge_at(tenant, month(4))
    charge_at(tenant, month(9))
    assert where(tenant) == ["billing_usage_default"] * 2

    made = services.keep_usage_partitions(AHEAD)
    charge_at(tenant, month(4) + timedelta(days=1))

    assert made == {name(4): "added", name(5): "added"}
    assert where(tenant) == [partition(4), partition(4), "billing_usage_default"]
    assert audit(tenant) == []


@pytest.mark.django_db
@pytest.mark.parametrize("table", [partition(4), "billing_usage_default"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET model = 'x'"])
def test_a_month_that_was_made_later_is_append_only_too(table: str, statement: str) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    charge_at(tenant, month(4))
    services.keep_usage_partitions(AHEAD)
    charge_at(tenant, month(9))

    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table))


@pytest.mark.django_db
def test_a_crowded_month_stays_where_it_is_and_stops_no_other() -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    charge_at(tenant, month(4))
    charge_at(tenant, month(4))

    made = rows("SELECT * FROM billing_keep_usage_months(%s, 1)", AHEAD)

    assert made == [(name(4), "crowded"), (name(5), "added")]
    assert where(tenant) == ["billing_usage_default"] * 2
    assert rows("SELECT * FROM billing_keep_usage_months(%s, 2)", AHEAD) == [(name(4), "added")]
    assert where(tenant) == [partition(4)] * 2
    assert audit(tenant) == []


@pytest.mark.parametrize(
    ("outcomes", "alarm"),
    [
        ({}, False),
        ({3: "added"}, False),
        ({3: "busy"}, False),
        ({2: "added", 3: "crowded"}, True),
        ({1: "busy", 2: "busy"}, True),
        ({0: "busy"}, True),
    ],
)
def test_operators_see_a_month_that_will_not_come_by_itself(
    outcomes: dict[int, str], alarm: bool, monkeypatch: Any
) -> None:
    months = {name(ahead): outcome for ahead, outcome in outcomes.items()}
    monkeypatch.setattr(services, "keep_usage_partitions", lambda: months)
    said = ", ".join(f"{one} {outcome}" for one, outcome in months.items())

    if alarm:
        with pytest.raises(UsageMonthMissing, match=said):
            tasks.keep_usage_partitions()
    else:
        assert tasks.keep_usage_partitions() == said
