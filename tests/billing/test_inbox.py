"""The webhook inbox: signed, once, and its row and effect together or not at all."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.test import Client

from billing.models import StripeEvent, TopUp, Transfer
from billing.payments import inbox, topups
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_automatic import apart
from tests.billing.test_top_ups import USD, start
from tests.live import Stripe


def signed(
    event: dict[str, Any], secret: str = "whsec_suite", at: float | None = None
) -> dict[str, Any]:
    body = json.dumps(event)
    moment = int(at or time.time())
    digest = hmac.new(secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "data": body,
        "content_type": "application/json",
        "headers": {"stripe-signature": f"t={moment},v1={digest}"},
    }


def paid(stripe: Stripe, tenant: Any) -> tuple[TopUp, dict[str, Any]]:
    top_up = start(tenant)
    stripe.pay(top_up.checkout_url)
    return top_up, stripe.events("checkout.session.completed")[-1]


def test_two_hundred_duplicates_at_once_are_one_credit(committed: None, stripe: Stripe) -> None:
    tenant = factories.organization()
    _, event = paid(stripe, tenant)

    answers = apart(
        lambda _: Client().post("/webhooks/stripe/", **signed(event)).status_code, range(200)
    )

    assert set(answers) == {200}
    assert balance_of(tenant).balance_nano == 50 * USD
    assert Transfer.objects.filter(organization=tenant).count() == 1
    assert StripeEvent.objects.get(pk=event["id"]).deliveries == 200


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["secret", "old", "absent", "body"])
def test_what_stripe_did_not_sign_is_refused_and_leaves_nothing(
    client: Client, stripe: Stripe, wrong: str
) -> None:
    tenant = factories.organization()
    _, event = paid(stripe, tenant)
    request = {
        "secret": lambda: signed(event, "whsec_other"),
        "old": lambda: signed(event, at=time.time() - 3_600),
        "absent": lambda: {**signed(event), "headers": {}},
        "body": lambda: {**signed(event), "data": json.dumps(event) + " "},
    }[wrong]()

    assert client.post("/webhooks/stripe/", **request).status_code == 400
    assert not StripeEvent.objects.exists()
    assert balance_of(tenant).balance_nano == 0


@pytest.mark.django_db
def test_an_invented_amount_in_a_signed_event_buys_nothing(client: Client, stripe: Stripe) -> None:
    tenant = factories.organization()
    _, event = paid(stripe, tenant)
    event["data"]["object"]["amount_total"] = 10**9

    client.post("/webhooks/stripe/", **signed(event))

    assert balance_of(tenant).balance_nano == 50 * USD


@pytest.mark.django_db
def test_an_effect_that_fails_leaves_no_money_and_comes_again(
    client: Client, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = factories.organization()
    _, event = paid(stripe, tenant)

    def crash(*_: Any) -> None:
        raise RuntimeError("after the credit")

    with monkeypatch.context() as broken:
        broken.setattr("billing.payments.reversals.collect", crash)
        assert client.post("/webhooks/stripe/", **signed(event)).status_code == 500
    failed = StripeEvent.objects.get(pk=event["id"])
    assert (failed.status, balance_of(tenant).balance_nano) == ("failed", 0)
    assert "after the credit" in failed.error

    assert client.post("/webhooks/stripe/", **signed(event)).status_code == 200
    assert StripeEvent.objects.get(pk=event["id"]).status == "processed"
    assert balance_of(tenant).balance_nano == 50 * USD


@pytest.mark.django_db
def test_where_stripe_cannot_be_asked_the_event_comes_again(client: Client, stripe: Stripe) -> None:
    tenant = factories.organization()
    _, event = paid(stripe, tenant)
    stripe.control("PUT", "/faults", path="/v1/*", status=500)

    assert client.post("/webhooks/stripe/", **signed(event)).status_code == 500
    stripe.lift_faults()

    assert inbox.replay(StripeEvent.objects.get(pk=event["id"])).status == "processed"
    assert inbox.replay(StripeEvent.objects.get(pk=event["id"])).status == "processed"
    assert balance_of(tenant).balance_nano == 50 * USD


def test_webhook_return_page_and_reconciliation_race_to_one_credit(
    committed: None, stripe: Stripe
) -> None:
    tenant = factories.organization()
    top_up, event = paid(stripe, tenant)
    ways = [
        lambda: inbox.take_in(event),
        lambda: topups.sync(TopUp.objects.get(pk=top_up.pk)),
        lambda: topups.sync(TopUp.objects.get(pk=top_up.pk)),
    ]

    apart(lambda number: ways[number % 3](), range(30))

    assert balance_of(tenant).balance_nano == 50 * USD
    assert Transfer.objects.filter(organization=tenant).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "status"), [("get", 405), ("put", 405)])
def test_the_door_takes_posts_alone(client: Client, method: str, status: int) -> None:
    assert getattr(client, method)("/webhooks/stripe/").status_code == status


@pytest.mark.django_db
def test_a_kind_of_event_that_means_nothing_to_us_is_kept_and_ignored(stripe: Stripe) -> None:
    event = {
        "id": "evt_x",
        "type": "balance.available",
        "created": 1_800_000_000,
        "data": {"object": {}},
    }

    assert inbox.take_in(event).status == "ignored"
    assert inbox.take_in(event).deliveries == 2
