"""Pro by card: what a change means, and what Stripe's subscription makes of it."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.errors import PlanConflict
from billing.models import Alert, PlanPayment, Receipt, Subscription
from billing.payments import inbox, reconcile, subscriptions
from billing.plans import put_on_plan, subscription_of, terms_of
from tests import factories
from tests.billing.test_top_ups import USD, deliver
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def on_pro(stripe: Stripe) -> Organization:
    tenant = factories.organization(plan="starter")
    assert stripe.pay(begin(tenant)) == 303
    deliver(stripe)
    assert terms_of(tenant).plan.slug == "pro"
    return tenant


def begin(tenant: Organization) -> str:
    return subscriptions.start(
        tenant, "pro", user=factories.member(tenant),
        return_url="https://tokenhub.example/plan/", cancel_url="https://tokenhub.example/plan/",
    )  # fmt: skip


def test_the_preview_is_what_is_charged(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    url = begin(tenant)
    before = subscriptions.preview(tenant, "pro").due_now_nano
    stripe.pay(url)
    deliver(stripe)

    paid = PlanPayment.objects.get(organization=tenant)

    after = subscriptions.prorated_nano(49 * USD, timezone.now())
    assert after <= paid.amount_nano <= before
    assert Receipt.objects.get(plan_payment=paid).amount_nano == paid.amount_nano
    assert terms_of(tenant).plan.slug == "pro"


@pytest.mark.parametrize(
    ("at", "cents"),
    [
        (datetime(2026, 4, 1, tzinfo=UTC), 4900),
        (datetime(2026, 4, 16, tzinfo=UTC), 2450),
        (datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC), 0),
        (datetime(2026, 12, 16, 12, tzinfo=UTC), 2450),
    ],
)
def test_what_is_left_of_a_month_is_counted_by_the_second(at: datetime, cents: int) -> None:
    assert subscriptions.prorated_nano(49 * USD, at) == cents * 10_000_000


def test_nobody_subscribes_twice(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")

    assert begin(tenant) == begin(tenant)
    stripe.pay(begin(tenant))
    deliver(stripe)
    with pytest.raises(PlanConflict, match="already"):
        begin(tenant)


def test_a_downgrade_says_what_it_takes_and_waits_for_its_end(stripe: Stripe) -> None:
    tenant = on_pro(stripe)

    change = subscriptions.preview(tenant, "starter")
    ended = subscriptions.end(tenant, actor=SYSTEM)

    assert not change.is_upgrade
    assert any("600 requests per minute" in loss for loss in change.losses)
    assert ended.ends_at == change.starts_at == subscriptions.month_after(timezone.now())
    assert terms_of(tenant).plan.slug == "pro"
    assert terms_of(tenant).until == ended.ends_at
    assert terms_of(tenant, ended.ends_at).plan.slug == "starter"


def test_an_end_can_be_taken_back_and_wished_again(stripe: Stripe) -> None:
    tenant = on_pro(stripe)

    for wish, ends in ((subscriptions.end, True), (subscriptions.keep, False)) * 2:
        assert (wish(tenant, actor=SYSTEM).ends_at is not None) == ends
        deliver(stripe)

    assert terms_of(tenant).until is None


def test_each_month_paid_has_its_receipt_however_often_it_is_told(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    held = subscription_of(tenant)
    assert held is not None

    stripe.control("POST", f"/subscriptions/{held.stripe_id}/renew", outcome="paid")
    for _ in range(2):
        deliver(stripe)
    reconcile.reconcile()

    assert max(p.amount_nano for p in PlanPayment.objects.filter(organization=tenant)) == 49 * USD
    assert Receipt.objects.filter(organization=tenant).count() == 2


def test_a_month_that_cannot_be_charged_is_told_and_ends_the_plan(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    held = subscription_of(tenant)
    assert held is not None

    stripe.control("POST", f"/subscriptions/{held.stripe_id}/renew", outcome="failed")
    for _ in range(2):
        deliver(stripe)
    assert terms_of(tenant).plan.slug == "pro"
    assert Alert.objects.filter(organization=tenant, kind="plan_payment").count() == 1

    stripe.control("POST", f"/subscriptions/{held.stripe_id}/end")
    deliver(stripe)
    assert terms_of(tenant).plan.slug == "starter"


def test_late_and_reordered_messages_change_nothing(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    held = subscription_of(tenant)
    assert held is not None
    stripe.control("POST", f"/subscriptions/{held.stripe_id}/end")

    for event in [*reversed(stripe.events()), *stripe.events()]:
        inbox.take_in(event)

    assert terms_of(tenant).plan.slug == "starter"
    assert Subscription.objects.filter(organization=tenant).count() == 1


def test_what_a_customer_cannot_change_alone(stripe: Stripe) -> None:
    by_agreement = factories.organization(plan="pro")
    starter = factories.organization(plan="starter")
    enterprise = factories.organization(plan="enterprise")

    for tenant, plan in (
        (by_agreement, "starter"),
        (starter, "enterprise"),
        (enterprise, "pro"),
        (starter, "gold"),
    ):
        with pytest.raises(PlanConflict):
            subscriptions.preview(tenant, plan)


def test_an_agreement_ends_what_was_paid_by_card(stripe: Stripe) -> None:
    tenant = on_pro(stripe)

    subscriptions.assign(tenant, "enterprise", actor=SYSTEM)
    deliver(stripe)

    assert terms_of(tenant).plan.slug == "enterprise"
    assert stripe.events("customer.subscription.deleted")
    put_on_plan(tenant, "starter", actor=SYSTEM)
    assert terms_of(tenant).plan.slug == "starter"
