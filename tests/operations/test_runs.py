"""Every scheduled job exists, may run twice, and leaves a note of how it went."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from celery import Task
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.webhooks.models import Attempt, Delivery, Event
from billing.audit import audit
from billing.models import (
    Account,
    Alert,
    Invoice,
    MediaTask,
    Receipt,
    Settlement,
    TopUp,
    Transfer,
    Usage,
    UsageDay,
)
from routing.health import Seen, Source, observe
from routing.models import CredentialAlarm, Offering
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.billing.test_automatic import ready
from tests.billing.test_top_ups import USD, start
from tests.live import Stripe
from tokenhub.celery import app
from tokenhub.operations import runs
from tokenhub.operations.models import TaskRun
from tokenhub.redact import GONE
from tokenhub.web.models import Announcement, AnnouncementMail, Incident, ProviderDay

pytestmark = pytest.mark.django_db
SCHEDULED = sorted(entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values())
# What the work below is for: these leave something behind that was not there.
MAKES = {
    "accounts.webhooks.tasks.deliver_webhooks", "billing.tasks.check_alerts", "billing.tasks.reap_leases",
    "billing.tasks.run_automatic_top_ups", "tokenhub.web.tasks.follow_incidents",
}  # fmt: skip
CANARY = "thk_" + "c4n4ry" * 6


@app.task(name="tests.breaks")  # type: ignore[untyped-decorator]
def breaks() -> None:
    raise ValueError(f"no good: Bearer {CANARY}")


def task(name: str) -> Task:
    app.loader.import_default_modules()
    return app.tasks[name]


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_scheduled_job_runs_and_may_run_twice(name: str, stripe: Stripe) -> None:
    for _ in range(2):
        assert task(name).apply().state == "SUCCESS"

    noted = TaskRun.objects.get(task=name)
    assert (noted.outcome, noted.runs, noted.failures, noted.error) == ("succeeded", 2, 0, "")
    assert noted.duration_ms is not None
    assert noted.finished_at == noted.succeeded_at
    assert {job.state for job in runs.jobs() if job.task == name} == {"ok"}


def everything_made() -> dict[str, int]:
    """How many rows there are of each thing that a job makes, and where the money is."""
    made: dict[str, int] = {
        model.__name__: model.objects.count()
        for model in (
            Alert, Announcement, AnnouncementMail, Attempt, CredentialAlarm, Delivery, Event, Incident, Invoice,
            MediaTask, ProviderDay, Receipt, Settlement, TopUp, Transfer, Usage, UsageDay,
        )
    }  # fmt: skip
    made["balance"] = sum(Account.objects.values_list("balance_nano", flat=True))
    made["leased"] = sum(Account.objects.values_list("leased_nano", flat=True))
    made["open incidents"] = Incident.objects.filter(closed_at=None).count()
    return made


def a_lot_to_do(stripe: Stripe) -> None:
    """Something for every job: money that is low, a card to charge, a month to close, a provider that is down, …"""
    load_demo_catalogue("http://127.0.0.1:9")
    due = ready(stripe)  # its automatic top-up is
    start(due, 7 * USD)  # a payment that nobody has made yet
    tenant = factories.organization(credit_nano=10 * USD)
    factories.member(tenant)
    factories.charge(tenant, 6 * USD, service_fee_bps=0)
    factories.top_up(factories.organization())
    factories.delivery(tenant)
    factories.media_task(tenant, next_poll_at=(timezone.now() - timedelta(minutes=1)).isoformat())
    factories.announcement()
    offerings = Offering.objects.filter(endpoint__provider__slug="deepseek")
    seen = Seen(failures=10, outcome="timeout")
    observe(dict.fromkeys(offerings.values_list("pk", flat=True), seen), source=Source.GATEWAY)
    with connection.cursor() as cursor:  # a gateway that died with money in hand
        cursor.execute(
            "SELECT billing_draw_lease(%s, %s, 'dead', 1000, 1000, 0)",
            [uuid.uuid4(), tenant.id[4:]],
        )


@pytest.mark.parametrize("name", SCHEDULED)
def test_with_work_to_do_the_second_run_makes_nothing_that_the_first_has_made(
    name: str, stripe: Stripe, mailoutbox: list[Any]
) -> None:
    a_lot_to_do(stripe)
    before = everything_made()

    assert task(name).apply().state == "SUCCESS"
    once, mails = everything_made(), len(mailoutbox)
    assert task(name).apply().state == "SUCCESS"

    assert everything_made() == once
    assert len(mailoutbox) == mails
    if name in MAKES:
        assert once != before, "there was nothing to do"
    assert audit() == []


def test_a_failure_is_noted_without_what_it_should_not_say() -> None:
    breaks.apply()
    noted = TaskRun.objects.get(task="tests.breaks")

    assert (noted.outcome, noted.failures) == ("failed", 1)
    assert noted.error == f"ValueError: no good: {GONE}"
    assert noted.failed_at == noted.finished_at
    assert noted.succeeded_at is None


def test_a_job_is_limited_in_time_and_in_how_long_it_waits() -> None:
    assert settings.CELERY_TASK_SOFT_TIME_LIMIT < settings.CELERY_TASK_TIME_LIMIT <= 300
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        if isinstance(entry["schedule"], float):
            assert entry["options"]["expires"] <= max(10, entry["schedule"])


@pytest.mark.parametrize(
    ("outcome", "began_min_ago", "succeeded_min_ago", "state"),
    [
        ("succeeded", 1, 1, "ok"),
        ("running", 1, 1, "ok"),
        ("running", 1, None, "ok"),
        ("running", 8, 8, "killed"),
        ("failed", 1, 1, "failed"),
        ("succeeded", 3, 3, "late"),
    ],
)
def test_a_late_failed_or_killed_job_is_told_from_a_good_one(
    outcome: str, began_min_ago: int, succeeded_min_ago: int | None, state: str
) -> None:
    now = timezone.now()
    TaskRun.objects.create(
        task="billing.tasks.reap_leases", run_id="x", outcome=outcome,
        started_at=now - timedelta(minutes=began_min_ago),
        succeeded_at=None if succeeded_min_ago is None else now - timedelta(minutes=succeeded_min_ago),
    )  # fmt: skip

    states = {job.task: job.state for job in runs.jobs()}

    assert states["billing.tasks.reap_leases"] == state
    assert states["billing.tasks.close_months"] == "never"


def test_the_end_of_an_overtaken_run_changes_nothing() -> None:
    first, second = task("billing.tasks.reap_leases"), "second"
    runs.begun("first", first)
    runs.begun(second, first)

    runs.ended("first", first, None, "FAILURE")

    assert TaskRun.objects.get(task=first.name).outcome == "running"


def test_the_admin_shows_the_jobs_and_changes_none(admin_client: Client) -> None:
    breaks.apply()

    page = admin_client.get("/admin/operations/taskrun/")

    assert re.search(r"tests\.breaks", page.content.decode())
    assert CANARY not in page.content.decode()
    assert admin_client.get("/admin/operations/taskrun/add/").status_code == 403
    assert admin_client.post("/admin/operations/taskrun/tests.breaks/change/").status_code == 403


def test_a_job_is_run_now_from_the_admin(admin_client: Client, monkeypatch: Any) -> None:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, **_: sent.append(name))
    breaks.apply()

    admin_client.post(
        "/admin/operations/taskrun/", {"action": "run_now", "_selected_action": "tests.breaks"}
    )

    assert sent == ["tests.breaks"]
