"""Refunds of what is unused, and disputes that withhold what is contested."""

import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.audit import audit
from billing.errors import NotRefundable
from billing.models import Alert, Dispute, Refund, TopUp
from billing.payments import inbox, reconcile, reversals
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_top_ups import USD, deliver, start
from tests.live import Stripe
from tests.processes import BASE_DIR

pytestmark = pytest.mark.django_db


def paid(stripe: Stripe, tenant: Organization, usd: int = 50, card: str = Stripe.CARD) -> TopUp:
    top_up = start(tenant, usd * USD)
    assert stripe.pay(top_up.checkout_url, card) == 303
    deliver(stripe)
    top_up.refresh_from_db()
    assert top_up.status == "succeeded"
    return top_up


def refund(top_up: TopUp, usd: float) -> Refund:
    return reversals.refund(top_up, int(usd * USD), reason="unused", actor=SYSTEM)


def test_unused_money_goes_back_once(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)

    made = refund(top_up, 20)
    deliver(stripe)
    reconcile.reconcile()

    assert made.status == "succeeded"
    assert balance_of(tenant).balance_nano == 30 * USD
    refund(top_up, 30)
    top_up.refresh_from_db()
    assert (top_up.status, balance_of(tenant).balance_nano) == ("refunded", 0)
    with pytest.raises(NotRefundable):
        refund(top_up, 1)
    assert audit(tenant) == []


def test_what_is_used_held_or_a_credit_stays(stripe: Stripe) -> None:
    tenant = factories.organization(credit_nano=10 * USD)
    top_up = paid(stripe, tenant)

    assert reversals.refundable(top_up).amount_nano == 50 * USD  # the credit is used first
    factories.charge(tenant, 20 * USD, service_fee_bps=0)
    assert reversals.refundable(top_up).amount_nano == 40 * USD
    with pytest.raises(NotRefundable, match=r"40\.00 USD"):
        refund(top_up, 40.01)
    refund(top_up, 40)

    assert balance_of(tenant).balance_nano == 0
    assert audit(tenant) == []


def test_a_refund_is_possible_within_its_days(stripe: Stripe) -> None:
    top_up = paid(stripe, factories.organization())
    TopUp.objects.filter(pk=top_up.pk).update(settled_at=timezone.now() - timedelta(days=31))
    top_up.refresh_from_db()

    with pytest.raises(NotRefundable, match="30 days"):
        refund(top_up, 1)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", 500])
def test_a_refund_nobody_heard_the_end_of_is_made_once(stripe: Stripe, fault: object) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    stripe.control("PUT", "/faults", path="/v1/refunds", status=fault, method="POST")

    made = refund(top_up, 20)
    assert made.status == "pending"
    stripe.lift_faults()
    for _ in range(3):
        reconcile.chase(older_than=timedelta(0))

    made.refresh_from_db()
    assert made.status == "succeeded"
    assert balance_of(tenant).balance_nano == 30 * USD
    assert len(stripe.events("charge.refunded")) == 1
    assert audit(tenant) == []


def test_a_refund_that_fails_later_is_back_on_the_balance(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    made = refund(top_up, 20)

    stripe.control("POST", f"/refunds/{made.stripe_id}/fail")
    for _ in range(2):
        deliver(stripe)

    made.refresh_from_db()
    assert made.status == "failed"
    assert balance_of(tenant).balance_nano == 50 * USD
    assert audit(tenant) == []


def test_a_refund_made_at_stripe_takes_what_is_there_and_is_reported(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    factories.charge(tenant, 40 * USD, service_fee_bps=0)

    stripe.control("POST", "/refunds", payment_intent=top_up.stripe_payment_intent_id, amount=2_000)
    deliver(stripe)
    deliver(stripe)

    assert balance_of(tenant).balance_nano == 0
    assert any("10.00 USD" in words for words in reconcile.reconcile().differences)
    assert audit(tenant) == []


def draw(tenant: Organization, usd: int) -> str:
    """A gateway sets money aside; its lease."""
    lease = str(uuid.uuid4())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_draw_lease(%s, %s, 'gateway', %s, %s, 60)",
            [lease, tenant.id[4:], usd * USD, usd * USD],
        )
        assert cursor.fetchone()[0] == usd * USD
    return lease


def give_back(tenant: Organization, lease: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_return_lease(%s, %s, 0)", [lease, tenant.id[4:]])


def refund_at_stripe(stripe: Stripe, top_up: TopUp, usd: int) -> Refund:
    stripe.control(
        "POST", "/refunds", payment_intent=top_up.stripe_payment_intent_id, amount=usd * 100
    )
    deliver(stripe)
    return Refund.objects.get(top_up=top_up)


def test_what_a_lease_holds_of_a_refund_made_at_stripe_is_collected_when_it_is_back(
    stripe: Stripe,
) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant, 100)
    lease = draw(tenant, 25)

    made = refund_at_stripe(stripe, top_up, 100)
    assert made.collected_nano == 75 * USD
    give_back(tenant, lease)

    assert balance_of(tenant).available_nano == 0  # withheld, so that no call spends it
    assert audit(tenant) == []
    reconcile.chase(older_than=timedelta(0))
    made.refresh_from_db()
    assert (made.collected_nano, balance_of(tenant).balance_nano) == (100 * USD, 0)
    assert reconcile.reconcile().differences == []
    assert reversals.owing() == []
    assert audit(tenant) == []


def test_what_was_spent_of_a_refund_made_at_stripe_is_taken_from_later_money(
    stripe: Stripe,
) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    factories.charge(tenant, 40 * USD, service_fee_bps=0)
    refund_at_stripe(stripe, top_up, 20)

    paid(stripe, tenant, 30)
    deliver(stripe)

    assert balance_of(tenant).available_nano == 20 * USD
    assert reconcile.reconcile().differences == []
    assert audit(tenant) == []


def test_a_refund_made_at_stripe_that_fails_is_owed_no_more(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    factories.charge(tenant, 40 * USD, service_fee_bps=0)
    made = refund_at_stripe(stripe, top_up, 20)

    stripe.control("POST", f"/refunds/{made.stripe_id}/fail")
    deliver(stripe)

    assert balance_of(tenant).available_nano == 10 * USD
    assert reversals.owing() == []
    assert audit(tenant) == []


def test_refunds_from_before_they_were_withheld_are_withheld(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Refund.objects.create(
            organization=tenant, top_up=top_up, amount_nano=5 * USD, collected_nano=0,
            status="succeeded", stripe_id="re_before",
        )  # fmt: skip
        cursor.execute("SET LOCAL session_replication_role = origin")
        assert balance_of(tenant).frozen_nano == 0

        for _ in range(2):
            for name in ("refunds", "before"):
                cursor.execute((BASE_DIR / f"billing/sql/0024/{name}.sql").read_text())

    assert balance_of(tenant).frozen_nano == 5 * USD
    assert audit(tenant) == []


def dispute_of(tenant: Organization) -> Dispute:
    return Dispute.objects.get(organization=tenant)


def test_a_disputed_payment_is_withheld_until_it_is_won(stripe: Stripe) -> None:
    tenant = factories.organization(credit_nano=10 * USD)
    paid(stripe, tenant, card=Stripe.DISPUTED)

    balance = balance_of(tenant)
    assert (balance.balance_nano, balance.on_hold_nano) == (60 * USD, 50 * USD)
    stripe.control("POST", f"/disputes/{dispute_of(tenant).stripe_id}/close", outcome="won")
    deliver(stripe)

    assert balance_of(tenant).available_nano == 60 * USD
    assert Alert.objects.filter(organization=tenant, kind="dispute").count() == 2
    said = Alert.objects.get(organization=tenant, kind="dispute", dismissed_at=None)
    assert "in your favour" in said.message
    assert audit(tenant) == []


def test_a_lost_dispute_takes_its_money_and_waits_for_the_rest(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    factories.charge(tenant, 30 * USD, service_fee_bps=0)
    stripe.control("POST", "/disputes", payment_intent=top_up.stripe_payment_intent_id)
    deliver(stripe)
    assert balance_of(tenant).available_nano == 0

    stripe.control("POST", f"/disputes/{dispute_of(tenant).stripe_id}/close", outcome="lost")
    for _ in range(2):
        deliver(stripe)
    assert balance_of(tenant).balance_nano == 0
    assert dispute_of(tenant).collected_nano == 20 * USD
    said = Alert.objects.get(organization=tenant, kind="dispute", dismissed_at=None)
    assert "30.00 USD of it will be taken" in said.message

    paid(stripe, tenant, 40)
    assert balance_of(tenant).available_nano == 10 * USD
    assert dispute_of(tenant).collected_nano == 50 * USD
    assert audit(tenant) == []


def test_a_disputed_payment_is_not_refunded_as_well(stripe: Stripe) -> None:
    top_up = paid(stripe, factories.organization(), card=Stripe.DISPUTED)

    with pytest.raises(NotRefundable, match="disputed"):
        refund(top_up, 1)


def test_withheld_money_is_refused_to_new_calls(stripe: Stripe) -> None:
    tenant = factories.organization()
    paid(stripe, tenant, card=Stripe.DISPUTED)

    with pytest.raises(AssertionError, match="does not cover"):
        factories.charge(tenant, USD)


@pytest.mark.parametrize("change", [{"status": "open"}, {"collected_nano": 0}, {"status": "won"}])
def test_a_dispute_is_decided_once_even_by_sql(stripe: Stripe, change: dict[str, object]) -> None:
    tenant = factories.organization()
    paid(stripe, tenant, card=Stripe.DISPUTED)
    stripe.control("POST", f"/disputes/{dispute_of(tenant).stripe_id}/close", outcome="lost")
    deliver(stripe)

    with pytest.raises(DatabaseError), transaction.atomic():
        Dispute.objects.filter(organization=tenant).update(**change)


def test_events_of_a_lost_dispute_in_any_order_come_to_the_same(stripe: Stripe) -> None:
    tenant = factories.organization()
    top_up = start(tenant)
    stripe.pay(top_up.checkout_url, Stripe.DISPUTED)
    (opened,) = stripe.events("charge.dispute.created")
    stripe.control("POST", f"/disputes/{opened['data']['object']['id']}/close", outcome="lost")

    for event in [*reversed(stripe.events()), *stripe.events()]:
        inbox.take_in(event)

    assert balance_of(tenant).balance_nano == 0
    assert dispute_of(tenant).collected_nano == 50 * USD
    assert audit(tenant) == []
