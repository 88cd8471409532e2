"""Comparing Stripe's books with ours: one thing that is wrong does not hide the rest."""

from dataclasses import replace

import pytest

from accounts.audit import SYSTEM
from billing.errors import PaymentsAway
from billing.models import Alert, Reconciliation, StripeEvent
from billing.payments import gate, reconcile
from billing.plans import put_on_plan
from tests import factories
from tests.billing.test_closing import running_at_stripe
from tests.billing.test_subscriptions import on_pro
from tests.billing.test_top_ups import deliver
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def plan_payment_at_stripe() -> str:
    """The payment of the one invoice there is."""
    (found,) = gate.client().v1.invoice_payments.list().data
    return str(found.payment.payment_intent)


def test_a_subscription_that_stripe_does_not_know_is_a_difference(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    put_on_plan(tenant, "pro", actor=SYSTEM, source="stripe", stripe_id="sub_gone")
    other = on_pro(stripe)
    stripe.control("POST", f"/subscriptions/{running_at_stripe()[0]}/renew", outcome="failed")

    report = reconcile.reconcile()

    assert report.finished_at is not None
    assert [words for words in report.differences if "sub_gone" in words]
    assert Alert.objects.filter(organization=other, kind="plan_payment").exists()


def test_a_subscription_of_nobody_is_a_difference(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    (name,) = running_at_stripe()
    gate.client().v1.subscriptions.update(name, {"metadata": {"organization": "org_nobody"}})

    report = reconcile.reconcile()

    assert f"{name} runs at Stripe and gives nobody a plan." in report.differences
    assert tenant.status == "active"


def test_what_was_found_before_stripe_stopped_answering_is_kept(stripe: Stripe) -> None:
    on_pro(stripe)
    stripe.control("PUT", "/faults", path="/v1/subscriptions", status=500, method="GET")

    with pytest.raises(PaymentsAway):
        reconcile.reconcile()

    report = Reconciliation.objects.get()
    assert (report.payments, report.finished_at) == (1, None)
    assert "stopped answering" in report.differences[0]


def test_a_disputed_payment_for_a_plan_is_told_and_reported(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    made = stripe.control("POST", "/disputes", payment_intent=plan_payment_at_stripe())
    deliver(stripe)

    assert StripeEvent.objects.get(type="charge.dispute.created").status == "processed"
    (told,) = Alert.objects.filter(organization=tenant, kind="dispute")
    assert "for your plan is disputed" in told.message
    (words,) = reconcile.reconcile().differences
    assert made["id"] in words
    assert "open" in words

    stripe.control("POST", f"/disputes/{made['id']}/close", outcome="lost")
    deliver(stripe, "charge.dispute.closed")
    (said,) = Alert.objects.filter(organization=tenant, kind="dispute", dismissed_at=None)
    assert "was lost" in said.message


def test_a_refund_of_a_plan_that_was_made_at_stripe_is_reported(stripe: Stripe) -> None:
    on_pro(stripe)
    made = stripe.control("POST", "/refunds", payment_intent=plan_payment_at_stripe(), amount=1)
    deliver(stripe)

    (words,) = reconcile.reconcile().differences

    assert made["id"] in words
    assert StripeEvent.objects.get(type="refund.created").status == "processed"


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired"])
def test_a_subscription_that_was_never_paid_for_is_no_difference(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    on_pro(stripe)
    (state,) = gate.running_subscriptions()
    never_paid = replace(state, stripe_id="sub_unpaid", status=status, paid=())
    monkeypatch.setattr(gate, "running_subscriptions", lambda: iter([state, never_paid]))

    report = reconcile.reconcile()

    assert [words for words in report.differences if "sub_unpaid" in words] == []
