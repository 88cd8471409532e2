"""Top-ups: money is credited once, by whoever hears of it first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.audit import audit
from billing.errors import InvalidAmount, PaymentsAway
from billing.models import PaymentMethod, Receipt, StripeEvent, TopUp, Transfer
from billing.payments import gate, inbox, reconcile, topups
from billing.selectors import balance_of
from tests import factories
from tests.live import Stripe

pytestmark = pytest.mark.django_db
USD = 1_000_000_000


def start(tenant: Organization, amount_nano: int = 50 * USD, **options: Any) -> TopUp:
    return topups.start_top_up(
        tenant, amount_nano, user=None, actor=SYSTEM, save_card=options.get("save_card", False),
        return_url="https://tokenhub.example/{top_up}", cancel_url="https://tokenhub.example/",
    )  # fmt: skip


def deliver(stripe: Stripe, kind: str = "") -> list[StripeEvent]:
    return [inbox.take_in(event) for event in stripe.events(kind)]


@pytest.mark.parametrize("first", ["webhook", "return page", "reconciliation"])
def test_money_is_credited_by_the_first_who_hears_and_once(stripe: Stripe, first: str) -> None:
    tenant = factories.organization()
    top_up = start(tenant)
    assert stripe.pay(top_up.checkout_url) == 303
    ways = {
        "webhook": lambda: deliver(stripe),
        "return page": lambda: topups.sync(TopUp.objects.get(pk=top_up.pk)),
        "reconciliation": reconcile.reconcile,
    }

    for way in [ways.pop(first), *ways.values(), *ways.values()]:
        way()
        assert balance_of(tenant).balance_nano == 50 * USD

    assert TopUp.objects.get(pk=top_up.pk).status == "succeeded"
    assert Receipt.objects.filter(organization=tenant).count() == 1
    assert audit(tenant) == []


@pytest.mark.parametrize("usd", [4, 10_001, 5.001])
def test_an_amount_outside_the_limits_is_refused(stripe: Stripe, usd: float) -> None:
    with pytest.raises(InvalidAmount):
        start(factories.organization(), int(usd * USD))

    assert stripe.events() == []


def test_a_declined_card_costs_nothing_and_another_may_pay(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = start(tenant)

    assert stripe.pay(top_up.checkout_url, Stripe.DECLINED) == 402
    deliver(stripe)
    assert balance_of(tenant).balance_nano == 0
    assert stripe.pay(top_up.checkout_url) == 303
    deliver(stripe)

    assert balance_of(tenant).balance_nano == 50 * USD


def test_events_in_any_order_come_to_the_same(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = start(tenant)
    stripe.pay(top_up.checkout_url, Stripe.DISPUTED)
    events = stripe.events()
    assert len(events) > 4

    for event in [*reversed(events), *events]:
        inbox.take_in(event)

    assert balance_of(tenant).balance_nano == 50 * USD
    assert balance_of(tenant).available_nano == 0
    assert audit(tenant) == []


def test_a_card_is_kept_only_where_the_customer_wanted_it(stripe: Stripe) -> None:
    keeps, does_not = factories.organization(), factories.organization()
    for tenant, save_card in ((keeps, True), (does_not, False)):
        stripe.pay(start(tenant, save_card=save_card).checkout_url)
    deliver(stripe)

    assert [method.last4 for method in PaymentMethod.objects.filter(organization=keeps)] == ["4242"]
    assert not PaymentMethod.objects.filter(organization=does_not).exists()


def test_a_page_that_expires_is_a_top_up_that_failed(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = start(tenant)
    gate.client().v1.checkout.sessions.expire(top_up.stripe_session_id or "")
    deliver(stripe)

    top_up.refresh_from_db()
    assert (top_up.status, "expired" in top_up.failure) == ("failed", True)


def test_however_many_wait_each_is_asked_about_in_turn(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topups, "MAX_LOOKED_AT", 2)
    at = timezone.now() - timedelta(minutes=10)
    unknown = TopUp.objects.create(
        organization=factories.organization(), source="automatic", amount_nano=USD, created_at=at
    )
    pages = [start(factories.organization()) for _ in range(5)]
    for number, page in enumerate(pages):
        TopUp.objects.filter(pk=page.pk).update(created_at=at + timedelta(minutes=number))
    asked = []

    for _ in range(3):
        looked_at = topups.pending_since(timedelta(seconds=30))
        asked.append([top_up.pk for top_up in looked_at])
        for page in looked_at[1:]:  # nobody pays on them
            topups.sync(page)

    one, two, three, four, five = (page.pk for page in pages)
    assert asked == [[unknown.pk, one, two], [unknown.pk, three, four], [unknown.pk, five, one]]


def test_where_stripe_does_not_answer_nothing_is_left_open(stripe: Stripe) -> None:
    stripe.control("PUT", "/faults", path="/v1/checkout/sessions", status=500)
    tenant = factories.organization()

    with pytest.raises(PaymentsAway):
        start(tenant)

    assert TopUp.objects.get(organization=tenant).status == "failed"


def test_a_payment_of_another_amount_is_not_credited_but_reported(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = start(tenant)
    stripe.pay(top_up.checkout_url)
    payment = replace(
        gate.payment(gate.session(top_up.stripe_session_id or "").payment), amount_nano=USD
    )

    with pytest.raises(topups.UnexpectedPayment):
        topups.apply(payment)

    assert not Transfer.objects.filter(organization=tenant).exists()


def test_a_payment_that_is_none_of_ours_is_ignored_and_reported(stripe: Stripe) -> None:
    customer = gate.client().v1.customers.create({"name": "somebody"})
    card = gate.client().v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    gate.client().v1.payment_intents.create(
        {
            "amount": 700, "currency": "usd", "customer": customer.id,
            "payment_method": card.id, "confirm": True, "off_session": True,
        }
    )  # fmt: skip

    kept = deliver(stripe, "payment_intent.succeeded")
    report = reconcile.reconcile()

    assert [event.status for event in kept] == ["ignored"]
    assert any("no top-up of ours" in difference for difference in report.differences)
