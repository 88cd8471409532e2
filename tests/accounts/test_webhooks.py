"""Webhooks: told is what was committed, signed as the standard says, until it is answered, to nobody else."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections, transaction
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.audit import SYSTEM
from accounts.models import AuditEvent
from accounts.roles import Role
from accounts.webhooks import delivery, events, services
from accounts.webhooks.errors import InvalidEndpoint
from accounts.webhooks.models import Attempt, Delivery, Endpoint, Event
from tests import factories
from tests.receiver import Received, Receiver, receiver
from tokenhub.web import docs

Status = Delivery.Status
DATA = {"id": "key_1", "name": "Straße"}


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening


def added(tenant: Any, url: str, **options: Any) -> services.Revealed:
    return services.add(tenant, url, actor=SYSTEM, **options)


def verified(secret: str, got: Received) -> Any:
    return Webhook(secret).verify(got.body, got.headers)


def make_due(found: Delivery) -> None:
    Delivery.objects.filter(pk=found.pk).update(next_try_at=timezone.now())


def told(tenant: Any) -> list[str]:
    return sorted(Event.objects.for_organization(tenant).values_list("kind", flat=True))


@pytest.mark.django_db
def test_a_delivery_is_verified_by_the_reference_library(target: Receiver) -> None:
    tenant = factories.organization()
    made = added(tenant, target.url)
    event = events.emit(tenant, "key.created", DATA)

    assert delivery.deliver_due() == 1

    (got,) = target.got
    assert verified(made.secret, got) == {
        "id": event.id, "type": "key.created", "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
        "organization": tenant.id, "data": DATA,
    }  # fmt: skip
    assert got.headers["webhook-id"] == event.id
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "b3RoZXI=" * 4).verify(got.body, got.headers)
    (done,) = Delivery.objects.for_organization(tenant)
    (attempt,) = done.log.all()
    assert (done.status, done.attempts, attempt.response_status) == (Status.SUCCEEDED, 1, 200)
    assert attempt.response_text == "thanks"


@pytest.mark.django_db
@pytest.mark.parametrize("number", [0, 1])
def test_the_documented_samples_verify_what_is_sent(
    target: Receiver, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tenant = factories.organization()
    monkeypatch.setenv("TOKENHUB_WEBHOOK_SECRET", added(tenant, target.url).secret)
    events.emit(tenant, "key.created", DATA)
    delivery.deliver_due()
    page = docs.page("webhooks")
    assert page is not None
    samples = [sample for sample in page.samples if sample.language == "python"]
    names: dict[str, Any] = {}
    exec(samples[number].code, names)
    (got,) = target.got

    assert names["received"](got.body, got.headers)["data"] == DATA

    with pytest.raises((ValueError, WebhookVerificationError)):
        names["received"](got.body + b" ", got.headers)
    assert os.environ["TOKENHUB_WEBHOOK_SECRET"].startswith("whsec_")


@pytest.mark.django_db
def test_a_rotated_secret_counts_for_a_day_beside_the_new_one(target: Receiver) -> None:
    tenant = factories.organization()
    old = added(tenant, target.url)
    new = services.rotate(old.endpoint, actor=SYSTEM)
    events.emit(tenant, "key.created", DATA)
    delivery.deliver_due()
    Endpoint.objects.filter(pk=old.endpoint.pk).update(previous_until=timezone.now())
    events.emit(tenant, "key.created", DATA)
    delivery.deliver_due()
    both, alone = target.got

    assert len(both.headers["webhook-signature"].split()) == 2
    for secret, got in ((old.secret, both), (new.secret, both), (new.secret, alone)):
        assert verified(secret, got)
    with pytest.raises(WebhookVerificationError):
        verified(old.secret, alone)


@pytest.mark.django_db
def test_the_secret_is_encrypted_at_rest_and_in_no_audit_event() -> None:
    tenant = factories.organization()
    old = added(tenant, "http://127.0.0.1:9999/hook")
    new = services.rotate(old.endpoint, actor=SYSTEM)

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(e)::text FROM webhooks_endpoint e")
        stored = " ".join(row[0] for row in cursor.fetchall())
    trail = json.dumps(list(AuditEvent.objects.for_organization(tenant).values("before", "after")))
    for secret in (old.secret, new.secret):
        assert secret not in stored + trail
        assert secret not in repr(old) + repr(new)


@pytest.mark.django_db
def test_what_is_rolled_back_is_not_told() -> None:
    tenant = factories.organization()
    factories.endpoint(tenant)

    with transaction.atomic():
        factories.key(tenant)
        assert told(tenant) == ["key.created"]
        transaction.set_rollback(True)

    assert told(tenant) == []


@pytest.mark.django_db
def test_only_those_who_want_an_event_are_told_of_it() -> None:
    tenant, other = factories.organization(), factories.organization()
    every = factories.endpoint(tenant)
    some = factories.endpoint(tenant, events=["key.created"])
    factories.endpoint(tenant, events=["balance.low"])
    factories.endpoint(tenant, enabled=False)
    factories.endpoint(other)

    factories.key(tenant)

    assert {found.endpoint_id for found in Delivery.objects.all()} == {every.id, some.id}
    assert events.emit(factories.organization(), "key.created", DATA) is None


@pytest.mark.django_db
def test_a_failing_endpoint_is_tried_for_a_day_and_then_given_up(target: Receiver) -> None:
    tenant = factories.organization()
    made = added(tenant, target.url)
    event = events.emit(tenant, "key.created", DATA)
    target.answers = [500]
    found = Delivery.objects.for_organization(tenant).get()
    waits = []

    for _ in range(len(delivery.DELAYS) + 1):
        make_due(found)
        before = timezone.now()
        assert delivery.deliver_due() == 1
        found.refresh_from_db()
        if found.next_try_at:
            waits.append(found.next_try_at - before)

    assert found.status == Status.FAILED
    assert waits == sorted(waits)
    assert timedelta(hours=23) < sum(waits, timedelta()) < timedelta(hours=27)
    assert delivery.deliver_due() == 0
    assert {got.headers["webhook-id"] for got in target.got} == {event.id}
    assert len(target.got) == Attempt.objects.filter(delivery=found).count() == 8
    made.endpoint.refresh_from_db()
    assert made.endpoint.enabled
    assert made.endpoint.failing_since is not None


@pytest.mark.django_db
def test_one_success_forgets_the_failures(target: Receiver) -> None:
    tenant = factories.organization()
    made = added(tenant, target.url)
    target.answers = [500, 204]
    events.emit(tenant, "key.created", DATA)
    delivery.deliver_due()

    make_due(Delivery.objects.for_organization(tenant).get())
    delivery.deliver_due()

    made.endpoint.refresh_from_db()
    assert made.endpoint.failing_since is None
    assert Delivery.objects.for_organization(tenant).get().status == Status.SUCCEEDED


@pytest.mark.django_db
def test_an_endpoint_that_failed_for_days_is_switched_off_with_notice(target: Receiver) -> None:
    tenant = factories.organization()
    owner, viewer = factories.member(tenant), factories.member(tenant, Role.VIEWER)
    failing = timezone.now() - delivery.GIVE_UP_AFTER
    made = factories.endpoint(tenant, target.url, failing_since=failing)
    target.answers = [500]
    last, waiting = (factories.delivery(tenant, endpoint=made, tries=tries) for tries in (7, 0))
    Delivery.objects.filter(pk=waiting.pk).update(next_try_at=timezone.now() + timedelta(hours=1))

    delivery.deliver_due()
    assert delivery.send_notices() == 1
    assert delivery.send_notices() == 0

    made.refresh_from_db()
    assert not made.enabled
    for each in (last, waiting):
        each.refresh_from_db()
        assert each.status == Status.FAILED
    (notice,) = mail.outbox
    assert notice.to == [owner.email]
    assert viewer.email not in notice.to
    assert target.url in notice.body
    assert AuditEvent.objects.for_organization(tenant).filter(action="webhook.disabled").exists()


@pytest.mark.django_db
def test_gone_switches_it_off_at_once(target: Receiver) -> None:
    tenant = factories.organization()
    made = factories.endpoint(tenant, target.url)
    target.answers = [410]
    factories.delivery(tenant, endpoint=made)

    delivery.deliver_due()

    made.refresh_from_db()
    assert (made.enabled, made.disabled_reason) == (False, "It answered 410 Gone.")


@pytest.mark.django_db
def test_a_redirect_is_a_failure(target: Receiver) -> None:
    tenant = factories.organization()
    target.answers, target.headers = [307], {"location": target.url + "2"}
    found = factories.delivery(tenant, endpoint=factories.endpoint(tenant, target.url))

    delivery.deliver_due()

    found.refresh_from_db()
    assert found.status == Status.PENDING
    assert [got.path for got in target.got] == ["/hook"]


@pytest.mark.django_db
def test_an_address_that_turned_private_is_not_sent_to(target: Receiver, settings: Any) -> None:
    tenant = factories.organization()
    found = factories.delivery(tenant, endpoint=factories.endpoint(tenant, target.url))
    settings.EGRESS_ALLOW_LOOPBACK = False

    delivery.deliver_due()

    assert target.got == []
    assert found.log.get().response_status is None
    assert "https://" in found.log.get().error


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://169.254.169.254/latest", "https://localhost/", "x"]
)
def test_a_private_address_is_refused_at_save(settings: Any, url: str) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False
    tenant = factories.organization()
    made = factories.endpoint(tenant)

    with pytest.raises(InvalidEndpoint) as refused:
        added(tenant, url)
    with pytest.raises(InvalidEndpoint):
        services.change(made, url=url, events=[], description="", enabled=True, actor=SYSTEM)

    assert refused.value.field == "url"
    assert Endpoint.objects.for_organization(tenant).get().url == made.url


@pytest.mark.django_db
def test_an_organization_has_ten_at_most_and_no_unknown_events() -> None:
    tenant = factories.organization()
    with pytest.raises(InvalidEndpoint):
        added(tenant, "http://127.0.0.1:9999/", events=["key.stolen"])
    for _ in range(services.MAX_ENDPOINTS):
        added(tenant, "http://127.0.0.1:9999/")

    with pytest.raises(InvalidEndpoint):
        added(tenant, "http://127.0.0.1:9999/")


@pytest.mark.django_db
def test_sending_again_uses_the_same_id_and_starts_over(target: Receiver) -> None:
    tenant = factories.organization()
    made = factories.endpoint(tenant, target.url)
    found = factories.delivery(
        tenant, endpoint=made, status=Status.FAILED, tries=8, next_try_at=None
    )

    services.redeliver(found)
    delivery.deliver_due()

    found.refresh_from_db()
    assert (found.status, found.tries) == (Status.SUCCEEDED, 1)
    assert target.got[0].headers["webhook-id"] == found.event_id
    services.change(made, url=made.url, events=[], description="", enabled=False, actor=SYSTEM)
    with pytest.raises(InvalidEndpoint):
        services.redeliver(found)


@pytest.mark.django_db
def test_what_a_dead_worker_had_claimed_is_sent_by_the_next(target: Receiver) -> None:
    tenant = factories.organization()
    found = factories.delivery(tenant, endpoint=factories.endpoint(tenant, target.url))
    (dead,) = delivery._claim()
    assert delivery.deliver_due() == 0

    make_due(found)
    assert delivery.deliver_due() == 1
    # The dead one was only stalled, and now says how its attempt ended.
    delivery._keep(dead, delivery._Outcome(timezone.now(), 500, "", "", 1))

    found.refresh_from_db()
    assert (found.status, found.attempts) == (Status.SUCCEEDED, 2)
    assert [attempt.number for attempt in found.log.all()] == [2]


def test_two_workers_send_each_delivery_once(committed: None, target: Receiver) -> None:
    tenant = factories.organization()
    made = [factories.endpoint(tenant, target.url) for _ in range(5)]
    for endpoint in made:
        for _ in range(6):
            factories.delivery(tenant, endpoint=endpoint)

    def work() -> None:
        delivery.deliver_due()
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    done = Delivery.objects.for_organization(tenant)
    assert set(done.values_list("status", "attempts")) == {(Status.SUCCEEDED, 1)}
    assert len(target.got) == len({got.headers["webhook-id"] for got in target.got}) == 30


@pytest.mark.django_db
def test_a_busy_endpoint_does_not_keep_others_waiting(
    target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = factories.organization()
    busy = factories.endpoint(tenant, target.url)
    for _ in range(delivery.BATCH + 5):
        factories.delivery(tenant, endpoint=busy)
    last = factories.delivery(tenant, endpoint=factories.endpoint(tenant, target.url))

    batch = delivery._claim()

    assert len(batch) == delivery.PER_ENDPOINT + 1
    assert last.id in {post.delivery for post in batch}


@pytest.mark.django_db
def test_the_same_reference_is_told_once() -> None:
    tenant = factories.organization()
    factories.endpoint(tenant)

    for _ in range(2):
        events.emit(tenant, "invoice.issued", {}, reference="invoice:1")

    assert Delivery.objects.for_organization(tenant).count() == 1
