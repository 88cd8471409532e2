"""A clock that jumps: a gateway's, the database's, or the scheduler's, by an hour either way (T6)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.audit import audit
from billing.media import claim_due as claim_due_tasks
from billing.models import Account, Agreement, MediaTask, Usage
from billing.services import reap_leases
from routing.health import Seen, Source, claim_due, ensure, observe
from routing.models import Offering, OfferingHealth, Price, PriceComponent
from tests import factories
from tests.conftest import database_url, new_gateway
from tests.gateway.test_prices import offered
from tests.live import Gateway
from tests.load import Load
from tests.processes import Server, eventually
from tokenhub.celery import app
from tokenhub.schedule import Scheduler

CREDIT = 10_000_000_000
HOUR_S = 3600
JUMPS_S = (-HOUR_S, HOUR_S, 0)


class Clock:
    """What a gateway of its own takes for the time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, off_by_s: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(off_by_s))
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "off-by")


@pytest.fixture
def shifted(
    gateway: Gateway, gateway_environ: dict[str, str], clock: Clock, tmp_path: Path
) -> Iterator[Gateway]:
    """A gateway on a machine whose clock can be set."""
    command = ["-m", "tests.security.shifted", "serve", "--role", "gateway", "--port", "{port}"]
    environ = {**gateway_environ, "CLOCK_OFF_BY": str(tmp_path / "off-by")}
    server = Server(command, environ, "/readyz").start()
    yield Gateway(server.url, gateway.providers)
    server.stop()


def grows(load: Load, by: int) -> None:
    seen = sum(outcome.complete for outcome in load.outcomes)
    eventually(lambda: sum(outcome.complete for outcome in load.outcomes) >= seen + by, within_s=60)


def test_a_gateways_clock_that_jumps_under_load_changes_no_charge(
    shifted: Gateway, clock: Clock
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    load = Load(shifted.url, factories.key(tenant).secret, workers=6).start()
    try:
        for off_by_s in (*JUMPS_S, *JUMPS_S):
            clock.jump(off_by_s)
            grows(load, 40)
    finally:
        outcomes = load.stop()

    assert [outcome for outcome in outcomes if not outcome.complete] == []
    usages = Usage.objects.filter(organization=tenant)
    billed = set(usages.filter(billed=True).values_list("id", flat=True))
    assert billed == {outcome.request_id for outcome in outcomes}
    now = timezone.now()
    # The clock did jump, both ways.
    assert usages.filter(created_at__lt=now - timedelta(minutes=50)).exists()
    assert usages.filter(created_at__gt=now + timedelta(minutes=50)).exists()
    assert len(set(usages.values_list("total_nano", flat=True))) <= 2
    assert audit(tenant) == []


def test_what_is_in_force_is_said_by_the_database_and_not_by_a_gateways_clock(
    shifted: Gateway, clock: Clock
) -> None:
    """A price and a rate of later are not charged early, nor an ended one late, nor is a key's life changed."""
    tenant = factories.organization(plan="pro", credit_nano=CREDIT)
    now = timezone.now()
    offering = offered(1_000_000_000)
    later = Price.objects.create(offering=offering, effective_from=now + timedelta(minutes=30))
    PriceComponent.objects.bulk_create(
        PriceComponent(price=later, unit=unit, amount_nano=9_000_000_000)
        for unit in ("input", "output")
    )
    Agreement.objects.create(
        organization=tenant, agreed_by="Ada", reference="MSA-1", fee_bps=100, effective_from=now,
        effective_until=now + timedelta(minutes=30),
    )  # fmt: skip
    living = factories.key(tenant, expires_at=now + timedelta(minutes=30)).secret
    dying = factories.key(tenant, expires_at=timezone.now() + timedelta(seconds=3)).secret
    name = offering.model.slug
    eventually(lambda: shifted.chat(living, name).status_code == 200, what="the model's offer")
    for off_by_s in JUMPS_S:
        clock.jump(off_by_s)
        answer = shifted.chat(living, name)
        assert answer.status_code == 200, answer.text
        used = Usage.objects.get(organization=tenant, id=answer.headers["x-request-id"])
        assert used.service_fee_bps == 100
        assert {line["price"] for line in used.lines} == {1_000_000_000}
    clock.jump(-HOUR_S)

    eventually(lambda: shifted.chat(dying, name).status_code == 401, what="the key's end")
    assert audit(tenant) == []


@pytest.fixture
def database_clock(committed: None) -> Iterator[Any]:
    """The database's clock, for sessions that find ours first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE SCHEMA shifted; CREATE TABLE shifted.off_by AS SELECT 0 AS seconds;"
            "CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$"
            " SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM shifted.off_by)) $$"
        )

    def jump(off_by_s: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shifted.off_by SET seconds = %s", [off_by_s])

    yield jump
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO DEFAULT; DROP SCHEMA shifted CASCADE")


def test_the_databases_clock_that_jumps_under_load_changes_no_charge(
    gateway: Gateway, gateway_environ: dict[str, str], database_clock: Any
) -> None:
    """Every lease of the gateway expires at once, and is reaped under it; or would not for an hour."""
    tenant = factories.organization(credit_nano=CREDIT)
    path = "shifted,pg_catalog,public"
    url = f"{database_url()}?options=-c%20search_path%3D{path}"
    server = new_gateway({**gateway_environ, "DATABASE_URL": url}).start()
    with connection.cursor() as cursor:
        cursor.execute(f"SET search_path TO {path}")
    reaped = 0
    load = Load(server.url, factories.key(tenant).secret, workers=6).start()
    try:
        for off_by_s in (HOUR_S, 0, -HOUR_S, HOUR_S, 0):
            grows(load, 30)
            database_clock(off_by_s)
            reaped += reap_leases()
            grows(load, 30)
    finally:
        outcomes = load.stop()
        server.stop()
    database_clock(2 * HOUR_S)
    reap_leases()

    assert reaped >= 1
    assert {outcome.status for outcome in outcomes} <= {200, 503}
    delivered = {outcome.request_id for outcome in outcomes if outcome.complete}
    billed = set(
        Usage.objects.filter(organization=tenant, billed=True).values_list("id", flat=True)
    )
    assert delivered == billed
    wallet = Account.objects.get(organization=tenant, kind="wallet")
    assert wallet.leased_nano == 0
    assert wallet.balance_nano >= 0
    assert audit(tenant) == []


@pytest.mark.django_db
def test_jobs_go_on_when_the_schedulers_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(app=app, schedule_filename=str(tmp_path / "schedule"), lazy=True)
    scheduler.setup_schedule()
    sent: list[str] = []
    monkeypatch.setattr(
        scheduler, "apply_entry", lambda entry, producer=None: sent.append(entry.name)
    )
    monkeypatch.setattr(Scheduler, "producer", None)
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.default_now() + timedelta(hours=1)

    def short_of_everything() -> bool:
        scheduler.tick()
        return {"follow-media-tasks", "reap-expired-leases", "deliver-webhooks"} <= set(sent)

    eventually(short_of_everything, within_s=20)
    scheduler.close()


@pytest.mark.django_db
def test_probes_and_video_tasks_go_on_when_the_clock_was_set_back(catalogue: None) -> None:
    hour = timedelta(hours=1)
    offering = Offering.objects.filter(enabled=True).first()
    assert offering is not None
    ensure(Offering.objects.values_list("pk", flat=True))
    OfferingHealth.objects.update(next_probe_at=timezone.now() + timedelta(seconds=20))
    OfferingHealth.objects.filter(offering=offering).update(
        next_probe_at=timezone.now() + hour, since=timezone.now() + hour, status="down",
        last_failed_at=timezone.now() + hour, failures=0, successes=0,
    )  # fmt: skip
    task = factories.media_task(factories.organization())
    MediaTask.objects.filter(pk=task.pk).update(next_poll_at=timezone.now() + hour)

    assert [target.offering for target in claim_due()] == [offering.pk]
    for _ in range(3):
        observe(
            {offering.pk: Seen(successes=1, began_s=timezone.now().timestamp())},
            source=Source.PROBE,
        )
    assert OfferingHealth.objects.get(offering=offering).status == "degraded"
    found = claim_due_tasks(timezone.now(), limit=100, again_after=timedelta(seconds=2))
    assert task.pk in {one.pk for one in found}
