"""A closed organization pays for nothing: its pages are closed, and what was paid all the same goes back."""

import pytest

from accounts.audit import SYSTEM
from accounts.models import Organization
from accounts.services import close_organization
from billing.audit import audit
from billing.models import StripeInstruction, TopUp
from billing.payments import gate, reconcile
from billing.plans import subscription_of
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_subscriptions import begin
from tests.billing.test_top_ups import USD, deliver, start
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def pages_of(tenant: Organization) -> list[str]:
    return [begin(tenant), start(tenant).checkout_url]


def running_at_stripe() -> list[str]:
    return [state.stripe_id for state in gate.running_subscriptions()]


def sent_back_nano() -> int:
    refunds = gate.client().v1.refunds.list({"limit": 100})
    return sum(refund.amount for refund in refunds.data) * gate.NANO_PER_CENT


def test_nobody_can_pay_on_a_page_that_was_open_when_it_closed(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    pages = pages_of(tenant)

    close_organization(tenant, actor=SYSTEM)
    reconcile.chase()
    deliver(stripe)

    assert [stripe.pay(page) for page in pages] == [409, 409]
    assert TopUp.objects.get(organization=tenant).status == "failed"


def test_where_stripe_does_not_answer_its_pages_are_closed_later(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    pages = pages_of(tenant)
    stripe.control("PUT", "/faults", path="/v1/checkout/sessions", status=500, method="GET")

    close_organization(tenant, actor=SYSTEM)
    reconcile.chase()
    assert StripeInstruction.objects.get(organization=tenant).status == "pending"
    stripe.lift_faults()
    reconcile.chase()

    assert StripeInstruction.objects.get(organization=tenant).status == "done"
    assert [stripe.pay(page) for page in pages] == [409, 409]


def test_what_is_paid_before_the_pages_are_closed_goes_back_whole(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter", credit_nano=7 * USD)
    pages = pages_of(tenant)

    close_organization(tenant, actor=SYSTEM)
    assert [stripe.pay(page) for page in pages] == [303, 303]
    told = [event for _ in range(2) for event in deliver(stripe)]
    for _ in range(2):
        TopUp.objects.get(organization=tenant).refunds.update(created_at="2026-01-01T00:00Z")
        reconcile.chase()
    deliver(stripe)

    assert not [event.error for event in told if event.status == "failed"]
    assert subscription_of(tenant) is None
    assert running_at_stripe() == []
    for_the_plan = StripeInstruction.objects.get(organization=tenant, kind="end_subscription")
    assert sent_back_nano() == 50 * USD + for_the_plan.refunded_nano
    assert TopUp.objects.get(organization=tenant).status == "refunded"
    assert balance_of(tenant).balance_nano == 7 * USD  # what was given up at closing
    assert audit(tenant) == []


def test_a_plan_that_goes_on_after_all_ends_with_its_organization(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    assert stripe.pay(begin(tenant)) == 303
    deliver(stripe)
    held = subscription_of(tenant)
    assert held is not None
    assert held.stripe_id is not None
    gate.end_at_period_end(held.stripe_id, ends=True, attempt="ends")
    deliver(stripe)
    close_organization(tenant, actor=SYSTEM)

    gate.end_at_period_end(held.stripe_id, ends=False, attempt="kept at Stripe by hand")
    deliver(stripe)
    reconcile.chase()

    assert subscription_of(tenant) is None
    assert running_at_stripe() == []
    assert sent_back_nano() == 0  # it was in force until then
