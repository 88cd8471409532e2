"""The webhooks' pages: the secret is shown once, the log is there, and what is wrong is said."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from accounts.webhooks.models import Attempt, Delivery, Endpoint
from tests import factories
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db
URL = "http://127.0.0.1:9999/hook"


def page(name: str, tenant: Any, *arguments: str) -> str:
    return reverse(name, args=[tenant.slug, *arguments])


def test_the_secret_is_shown_once(client: Client, inside: Any) -> None:
    answer = client.post(
        page("webhook_new", inside),
        {"url": URL, "description": HOSTILE, "events": ["key.created", "balance.low"]},
    )

    made = Endpoint.objects.for_organization(inside).get()
    assert made.secret in answer.content.decode()
    assert "no-store" in answer["cache-control"]
    assert made.events == ["balance.low", "key.created"]
    for name, arguments in (
        ("webhooks", []),
        ("webhook", [made.id]),
        ("webhook_change", [made.id]),
        ("audit", []),
    ):
        shown = client.get(page(name, inside, *arguments))
        assert made.secret not in shown.content.decode()
        safe(shown)


def test_a_private_address_is_refused_with_a_reason(
    client: Client, inside: Any, settings: Any
) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False

    answer = client.post(page("webhook_new", inside), {"url": "https://10.0.0.1/hook"})

    assert answer.status_code == 422
    assert "private, local or special" in answer.content.decode()
    assert not Endpoint.objects.for_organization(inside).exists()


@pytest.mark.parametrize("given", [{}, {"url": "x" * 600}, {"url": URL, "events": ["nothing"]}])
def test_a_senseless_form_is_shown_again(client: Client, inside: Any, given: Any) -> None:
    answer = client.post(page("webhook_new", inside), given)

    assert answer.status_code == 422
    safe(answer)


def test_a_new_secret_is_shown_once_and_the_old_one_noted(client: Client, inside: Any) -> None:
    made = factories.endpoint(inside, URL)
    old = made.secret

    answer = client.post(page("webhook_rotate", inside, made.id))

    made.refresh_from_db()
    assert made.secret in answer.content.decode()
    assert (made.previous_secret, made.secret != old) == (old, True)
    shown = client.get(page("webhook", inside, made.id)).content.decode()
    assert "the previous one counts until" in shown
    assert made.secret not in shown


def test_switching_off_and_on_is_audited(client: Client, inside: Any) -> None:
    made = factories.endpoint(inside, URL, disabled_reason="It answered 410 Gone.")

    client.post(page("webhook_change", inside, made.id), {"url": URL, "description": "Off"})
    made.refresh_from_db()
    assert not made.enabled
    client.post(page("webhook_change", inside, made.id), {"url": URL, "enabled": "on"})

    made.refresh_from_db()
    assert (made.enabled, made.disabled_reason) == (True, "")
    changes = AuditEvent.objects.for_organization(inside).filter(action="webhook.changed")
    assert changes.count() == 2


def test_the_log_shows_every_attempt_and_sends_again(client: Client, inside: Any) -> None:
    made = factories.endpoint(inside, URL)
    found = factories.delivery(inside, endpoint=made, status="failed", next_try_at=None)
    Attempt.objects.create(
        delivery=found, number=1, at=found.created_at, response_status=500,
        response_text=HOSTILE, duration_ms=12,
    )  # fmt: skip

    log = client.get(page("webhook", inside, made.id))
    one = client.get(page("webhook_delivery", inside, made.id, found.id))
    client.post(page("webhook_redeliver", inside, made.id, found.id))

    assert "Failed" in log.content.decode()
    assert "HTTP 500" in one.content.decode()
    safe(log)
    safe(one)
    found.refresh_from_db()
    assert found.status == "pending"


def test_a_test_event_waits_for_this_webhook_alone(client: Client, inside: Any) -> None:
    made, _ = factories.endpoint(inside, URL, events=["key.created"]), factories.endpoint(inside)

    client.post(page("webhook_test", inside, made.id))

    (waiting,) = Delivery.objects.for_organization(inside)
    assert (waiting.endpoint_id, waiting.event.kind) == (made.id, "webhook.test")


def test_deleting_asks_first_and_takes_the_log_along(client: Client, inside: Any) -> None:
    made = factories.endpoint(inside, URL)
    factories.delivery(inside, endpoint=made)

    safe(client.get(page("webhook_delete", inside, made.id)))
    assert Endpoint.objects.filter(pk=made.pk).exists()
    client.post(page("webhook_delete", inside, made.id))

    assert not Endpoint.objects.filter(pk=made.pk).exists()
    assert not Delivery.objects.for_organization(inside).exists()
    assert AuditEvent.objects.for_organization(inside).filter(action="webhook.deleted").exists()


def test_the_log_is_paged_and_takes_few_queries(
    client: Client, inside: Any, django_assert_max_num_queries: Any
) -> None:
    made = factories.endpoint(inside, URL)
    rows = [factories.delivery(inside, endpoint=made) for _ in range(51)]

    with django_assert_max_num_queries(12):
        first = client.get(page("webhook", inside, made.id))
    older = client.get(page("webhook", inside, made.id), {"before": first.context["older"]})

    assert len(first.context["page"]) == 50
    assert [each.id for each in older.context["page"]] == [rows[0].id]
    assert client.get(page("webhook", inside, made.id), {"before": "x"}).status_code == 404


def test_another_tenants_delivery_is_not_found_below_ones_own_webhook(
    client: Client, inside: Any
) -> None:
    theirs = factories.delivery(factories.organization())
    mine = factories.endpoint(inside)

    assert client.get(page("webhook_delivery", inside, mine.id, theirs.id)).status_code == 404
    assert (
        client.get(page("webhook_delivery", inside, theirs.endpoint_id, theirs.id)).status_code
        == 404
    )


def test_the_secret_never_leaves_by_the_admin(admin_client: Client) -> None:
    made = factories.endpoint(factories.organization())

    shown = admin_client.get(f"/admin/webhooks/endpoint/{made.id}/change/").content.decode()

    assert made.url in shown
    assert made.secret not in shown
