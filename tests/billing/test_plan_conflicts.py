"""Nobody has two plans: what is paid for where another one is set ends at Stripe at once, and goes back."""

from dataclasses import replace
from datetime import timedelta

import pytest
import stripe as sdk
from django.test import Client
from django.utils import timezone

from accounts.audit import SYSTEM
from billing.errors import PlanConflict
from billing.models import Alert, PlanPayment, PlanVersion, StripeInstruction, Subscription
from billing.payments import gate, outbox, reconcile, subscriptions
from billing.plans import put_on_plan, subscription_of, terms_of
from tests import factories
from tests.billing.test_closing import running_at_stripe, sent_back_nano
from tests.billing.test_subscriptions import begin, on_pro
from tests.billing.test_top_ups import USD, deliver
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def everything_is_heard(stripe: Stripe) -> list[str]:
    """The errors of the events that failed."""
    told = [event for _ in range(2) for event in deliver(stripe)]
    reconcile.chase()
    return [event.error for event in [*told, *deliver(stripe)] if event.status == "failed"]


def charged_nano(stripe: Stripe) -> int:
    paid = stripe.events("invoice.paid")
    return sum(event["data"]["object"]["amount_paid"] for event in paid) * gate.NANO_PER_CENT


def new_price() -> None:
    version = PlanVersion.objects.filter(plan_id="pro").latest("effective_from")
    version.pk = None
    version.effective_from = timezone.now() - timedelta(seconds=1)
    version._state.adding = True
    version.save()


def test_a_page_that_is_paid_after_an_agreement_changes_nothing(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    page = begin(tenant)
    subscriptions.assign(tenant, "enterprise", actor=SYSTEM)

    assert stripe.pay(page) == 303
    failed = everything_is_heard(stripe)

    assert failed == []
    assert terms_of(tenant).plan.slug == "enterprise"
    assert running_at_stripe() == []
    assert sent_back_nano() == charged_nano(stripe)
    notice = Alert.objects.get(organization=tenant, kind="plan_refund")
    assert "Enterprise was set by agreement" in notice.message
    assert not PlanPayment.objects.filter(organization=tenant).exists()


def test_an_agreement_closes_the_pages_for_plans(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    page = begin(tenant)

    subscriptions.assign(tenant, "enterprise", actor=SYSTEM)
    reconcile.chase()

    assert stripe.pay(page) == 409


def test_a_second_page_closes_the_first(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    first = begin(tenant)
    new_price()
    second = begin(tenant)

    assert first != second
    assert (stripe.pay(first), stripe.pay(second)) == (409, 303)


def test_a_page_that_expired_is_followed_by_another(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    first = begin(tenant)
    gate.expire(first.rsplit("/", 1)[-1])

    second = begin(tenant)

    assert first != second
    assert stripe.pay(second) == 303


@pytest.mark.parametrize("order", [1, -1])
def test_two_pages_paid_at_once_leave_one_subscription(stripe: Stripe, order: int) -> None:
    tenant = factories.organization(plan="starter")
    first = begin(tenant)
    second = gate.open_subscription(  # by another process that did not see the first
        customer=subscriptions.customers.customer_of(tenant, None),
        organization=tenant.id, plan="pro", name="Pro", price_nano=49 * USD,
        anchor=subscriptions.month_after(timezone.now()), attempt="other", after="",
        return_url="https://tokenhub.example/", cancel_url="https://tokenhub.example/",
    ).url  # fmt: skip

    assert (stripe.pay(first), stripe.pay(second)) == (303, 303)
    told = [subscriptions.apply(gate.subscription(name)) for name in running_at_stripe()[::order]]
    failed = everything_is_heard(stripe)

    assert failed == []
    held = subscription_of(tenant)
    assert held is not None
    assert held.ends_at is None
    assert told[0] == held
    assert running_at_stripe() == [held.stripe_id]
    kept = PlanPayment.objects.get(organization=tenant)
    assert sent_back_nano() == charged_nano(stripe) - kept.amount_nano


def test_where_another_plan_is_set_for_later_none_is_sold(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    put_on_plan(
        tenant, "enterprise", actor=SYSTEM, starts_at=timezone.now() + timedelta(days=10)
    )  # fmt: skip

    with pytest.raises(PlanConflict, match="Enterprise is set from"):
        begin(tenant)


def test_a_page_paid_after_a_plan_was_set_for_later_is_paid_back(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    page = begin(tenant)
    later = timezone.now() + timedelta(days=10)
    put_on_plan(tenant, "enterprise", actor=SYSTEM, starts_at=later)

    assert stripe.pay(page) == 303
    failed = everything_is_heard(stripe)

    assert failed == []
    assert terms_of(tenant, later).plan.slug == "enterprise"
    assert running_at_stripe() == []
    assert sent_back_nano() == charged_nano(stripe) > 0


def test_an_agreement_for_later_leaves_what_is_paid_for_until_then(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    later = timezone.now() + timedelta(seconds=90)

    subscriptions.assign(tenant, "enterprise", actor=SYSTEM, starts_at=later)
    deliver(stripe)
    reconcile.reconcile()

    held = subscription_of(tenant)
    assert held is not None
    assert held.stripe_id is not None
    assert held.plan_id == "pro"
    assert gate.subscription(held.stripe_id).ends_at == held.ends_at
    assert terms_of(tenant, held.ends_at).plan.slug == "enterprise"  # without a gap
    for wish in (subscriptions.keep, subscriptions.end):
        with pytest.raises(PlanConflict, match="Enterprise is set"):
            wish(tenant, actor=SYSTEM)

    stripe.control("POST", f"/subscriptions/{held.stripe_id}/end")
    deliver(stripe)
    assert terms_of(tenant, held.ends_at).plan.slug == "enterprise"
    assert not StripeInstruction.objects.filter(kind="end_subscription").exists()


def test_an_agreement_that_cannot_be_leaves_the_plan_at_stripe_alone(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    later = timezone.now() + timedelta(days=5)
    subscriptions.assign(tenant, "enterprise", actor=SYSTEM, starts_at=later)
    before = running_at_stripe()

    with pytest.raises(PlanConflict):
        subscriptions.assign(tenant, "enterprise", actor=SYSTEM)

    assert running_at_stripe() == before


def test_what_is_charged_on_for_a_plan_that_is_over_ends_and_goes_back(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    held = Subscription.objects.get(organization=tenant)
    put_on_plan(tenant, "enterprise", actor=SYSTEM)  # and nobody told Stripe
    over = Subscription.objects.get(pk=held.pk).ends_at
    assert over is not None

    stripe.control("POST", f"/subscriptions/{held.stripe_id}/renew", outcome="paid")
    state = gate.subscription(str(held.stripe_id))
    late = replace(state.paid[0], paid_at=over + timedelta(seconds=1))
    subscriptions.apply(replace(state, paid=(late, *state.paid[1:])))
    reconcile.chase()

    assert running_at_stripe() == []
    assert terms_of(tenant).plan.slug == "enterprise"
    assert not PlanPayment.objects.filter(stripe_invoice_id=late.stripe_id).exists()


def test_reconciliation_finds_what_runs_at_stripe_for_a_plan_that_is_over(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    put_on_plan(tenant, "starter", actor=SYSTEM)
    assert running_at_stripe() != []

    reconcile.reconcile()
    reconcile.chase()

    assert running_at_stripe() == []


def test_what_stripe_refuses_to_send_back_waits_for_an_operator(stripe: Stripe) -> None:
    tenant = factories.organization(plan="starter")
    page = begin(tenant)
    subscriptions.assign(tenant, "enterprise", actor=SYSTEM)
    assert stripe.pay(page, Stripe.DISPUTED) == 303

    failed = everything_is_heard(stripe)

    assert failed == []
    assert running_at_stripe() == []
    order = StripeInstruction.objects.get(organization=tenant, kind="end_subscription")
    assert (order.status, "charged back" in order.error) == ("refused", True)
    assert any(order.subject in words for words in reconcile.reconcile().differences)


def test_an_order_is_given_once_and_carrying_it_out_again_changes_nothing(stripe: Stripe) -> None:
    tenant = on_pro(stripe)
    (name,) = running_at_stripe()

    orders = {outbox.end_subscription(tenant, name, reason="Twice.").pk for _ in range(2)}
    for _ in range(2):
        outbox.carry_out(StripeInstruction.objects.get(pk__in=orders))

    assert sent_back_nano() == charged_nano(stripe)
    assert Alert.objects.filter(organization=tenant, kind="plan_refund").count() == 1
    with pytest.raises(sdk.InvalidRequestError):
        gate.client().v1.subscriptions.cancel(name)


def test_one_order_that_cannot_be_carried_out_holds_up_nothing(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, other = factories.organization(plan="starter"), factories.organization(plan="starter")
    bad = outbox.end_subscription(tenant, "sub_odd", reason="Odd.")
    page = begin(other)
    outbox.expire_pages(other, only_plans=True, reason="Agreement.")
    original = gate.end_now

    def end_now(stripe_id: str) -> gate.SubscriptionState:
        if stripe_id == "sub_odd":
            raise AttributeError("payment_intent")
        return original(stripe_id)

    monkeypatch.setattr(gate, "end_now", end_now)

    reconcile.chase()

    bad.refresh_from_db()
    assert bad.status == "pending"
    assert stripe.pay(page) == 409


def test_pages_that_stripe_refused_to_close_are_closed_when_it_is_asked_anew(
    stripe: Stripe,
) -> None:
    tenant = factories.organization(plan="starter")
    page = begin(tenant)
    outbox.expire_pages(tenant, only_plans=True, reason="Agreement.")
    StripeInstruction.objects.filter(organization=tenant).update(status="refused", error="No.")

    outbox.expire_pages(tenant, only_plans=True, reason="Another.")
    reconcile.chase()

    order = StripeInstruction.objects.get(organization=tenant)
    assert (order.status, order.reason) == ("done", "Another.")
    assert stripe.pay(page) == 409


def test_where_stripe_does_not_answer_the_admin_says_so_and_assigns_nothing(
    stripe: Stripe, client: Client
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    tenant = on_pro(stripe)
    (running,) = running_at_stripe()
    soon = timezone.now() + timedelta(minutes=1)
    fields = {
        "organization": tenant.pk, "plan": "enterprise", "starts_at_0": f"{soon:%Y-%m-%d}",
        "starts_at_1": f"{soon:%H:%M:%S}", "ends_at_0": "", "ends_at_1": "", "note": "Agreed",
    }  # fmt: skip
    for method in ("GET", "POST", "DELETE"):
        path = f"/v1/subscriptions/{running}"
        stripe.control("PUT", "/faults", path=path, status=500, method=method)

    answer = client.post("/admin/billing/subscription/add/", fields, follow=True)

    assert answer.status_code == 200
    assert "Nothing was saved." in answer.content.decode()
    assert not Subscription.objects.for_organization(tenant).filter(plan_id="enterprise").exists()
