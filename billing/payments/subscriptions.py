"""Plans by card: what a change means before it is made, and what Stripe's subscription makes of it."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from accounts.audit import SYSTEM, Actor, record
from accounts.models import Organization, User
from billing import alerts, receipts
from billing.errors import PlanConflict
from billing.models import (
    ENTERPRISE,
    STARTER,
    Account,
    PlanPayment,
    PlanVersion,
    Subscription,
)
from billing.payments import customers, gate, outbox
from billing.plans import (
    current_versions,
    next_subscription,
    put_on_plan,
    subscription_of,
    terms_of,
)

LIVE = ("active", "trialing", "past_due")
OVER = ("canceled", "unpaid", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class Change:
    """What moving to another plan would mean, before it is made. Amounts are nano-USD."""

    before: PlanVersion
    after: PlanVersion
    is_upgrade: bool
    starts_at: datetime
    due_now_nano: int
    next_charge_at: datetime | None
    next_charge_nano: int
    gains: list[str]
    losses: list[str]


def preview(organization: Organization, plan: str, at: datetime | None = None) -> Change:
    """What a change to ``plan`` would cost, when it would apply and what it would take away.

    Raises ``PlanConflict`` for a change a customer cannot make alone.
    """
    at = at or timezone.now()
    before = terms_of(organization, at).version
    after = _version(plan, at)
    held = subscription_of(organization, at)
    later = next_subscription(organization, at)
    if after.plan_id == before.plan_id:
        raise PlanConflict(f"You are on {before.plan.name} already.")
    if ENTERPRISE in (before.plan_id, after.plan_id):
        raise PlanConflict("Enterprise is by agreement. Write to us to change to it or from it.")
    if held is not None and held.source == Subscription.Source.OPERATOR:
        raise PlanConflict("Your plan was set by agreement. Write to us to change it.")
    if later is not None:
        raise PlanConflict(_set_for(later))
    is_upgrade = after.plan.rank > before.plan.rank
    gains, losses = _differences(before, after)
    if is_upgrade:
        price_nano = after.monthly_price_nano or 0
        return Change(
            before, after, True, at, prorated_nano(price_nano, at), month_after(at), price_nano,
            gains, losses,
        )  # fmt: skip
    assert held is not None
    # What is paid for is kept until its end.
    return Change(
        before, after, False, held.ends_at or month_after(at), 0, None, 0, gains, losses
    )  # fmt: skip


def prorated_nano(monthly_nano: int, at: datetime) -> int:
    """What is left of a calendar month, by the second, half-up to a cent; nano-USD.

    Source: https://docs.stripe.com/billing/subscriptions/prorations
    """
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = month_after(at)
    whole_s, left_s = int((end - first).total_seconds()), int((end - at).total_seconds())
    cents = monthly_nano // gate.NANO_PER_CENT
    return (2 * cents * left_s + whole_s) // (2 * whole_s) * gate.NANO_PER_CENT


def month_after(at: datetime) -> datetime:
    """The first instant of the next calendar month in UTC."""
    at = at.astimezone(UTC)
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def start(
    organization: Organization, plan: str, *, user: User | None, return_url: str, cancel_url: str
) -> str:
    """The address of the hosted page to subscribe on. Nothing changes before it is paid there.

    Asked twice, it is the same page; a page for another price or month is closed: nobody subscribes twice.
    """
    change = preview(organization, plan)
    if not change.is_upgrade:
        raise PlanConflict("A lower plan needs no payment.")
    assert change.next_charge_at is not None
    customer = customers.customer_of(organization, user)
    attempt = f"{change.after.pk}:{change.next_charge_at:%Y%m}"
    visits = [one for one in gate.recent_sessions(customer) if one.mode == "subscription"]
    for visit in visits:
        if visit.status == "open" and visit.attempt == attempt:
            return visit.url
    for visit in visits:
        if visit.status == "open" and gate.expire(visit.stripe_id).status == "complete":
            raise PlanConflict("A plan was just paid for. Look at your plan again in a moment.")
    return gate.open_subscription(
        customer=customer,
        organization=organization.id,
        plan=plan,
        name=change.after.plan.name,
        price_nano=change.next_charge_nano,
        anchor=change.next_charge_at,
        attempt=attempt,
        after=visits[0].stripe_id if visits else "",
        return_url=return_url,
        cancel_url=cancel_url,
    ).url


def end(organization: Organization, *, actor: Actor) -> Subscription:
    """Let a plan by card run out with the month that is paid for."""
    return _set_end(organization, ends=True, actor=actor)


def keep(organization: Organization, *, actor: Actor) -> Subscription:
    """Take back an end that has not come yet."""
    return _set_end(organization, ends=False, actor=actor)


def assign(
    organization: Organization,
    plan: str,
    *,
    actor: Actor,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    note: str = "",
) -> Subscription | None:
    """Put an organization on a plan by agreement; one it pays by card ends at Stripe first, at that instant.

    Raises ``PaymentsAway`` or ``PaymentRefused`` where that cannot be done now: nobody pays for two plans.
    Raises ``PlanConflict`` where another plan is set for that time, or was at this moment.
    """
    now = timezone.now()
    # Stripe's clock has whole seconds; no gap is left between the two plans.
    at = starts_at.replace(microsecond=0) if starts_at is not None and starts_at > now else now
    if (later := next_subscription(organization, at)) and (
        ends_at is None or later.starts_at < ends_at
    ):
        raise PlanConflict("Another plan is already set for that time. End that one first.")
    held = subscription_of(organization)
    if held is not None and held.stripe_id is not None:
        if at <= now:
            gate.end_now(held.stripe_id)
        elif held.ends_at is None or held.ends_at > at:
            gate.end_at(held.stripe_id, at, attempt=uuid.uuid4().hex)
    with transaction.atomic():
        _lock(organization)
        if subscription_of(organization) not in (held, None):
            raise PlanConflict("The plan changed at this moment. Look at it and try again.")
        made = put_on_plan(
            organization, plan, actor=actor, starts_at=starts_at and at, ends_at=ends_at, note=note
        )
        outbox.expire_pages(organization, only_plans=True, reason="A plan was set by agreement.")
    return made


def _set_end(organization: Organization, *, ends: bool, actor: Actor) -> Subscription:
    held = subscription_of(organization)
    if held is None or held.stripe_id is None:
        raise PlanConflict("There is no plan by card to change.")
    if (later := next_subscription(organization)) is not None:
        raise PlanConflict(_set_for(later))
    # A key of its own for each wish: the same one would be answered from Stripe's memory.
    state = gate.end_at_period_end(held.stripe_id, ends=ends, attempt=uuid.uuid4().hex)
    with transaction.atomic():
        changed = apply(state)
        record(
            organization, actor, "plan.ending" if ends else "plan.kept", held.plan_id,
            after={"until": changed.ends_at.isoformat() if changed and changed.ends_at else None},
        )  # fmt: skip
    assert changed is not None
    return changed


@transaction.atomic
def apply(state: gate.SubscriptionState) -> Subscription | None:
    """Bring an organization's plan to where its subscription stands at Stripe; safe to repeat.

    Returns our side of it; ``None`` for a subscription that is not of ours, or that cannot be: one that was
    paid for where another plan is set, or where nobody is left, is ended at Stripe and paid back.
    """
    organization = Organization.objects.by_slug_or_id(state.organization)
    if organization is None:
        return None
    _lock(organization)
    organization.refresh_from_db(fields=["status"])
    is_closed = organization.status == Organization.Status.CLOSED
    now = timezone.now()
    held: Subscription | None = (
        Subscription.objects.for_organization(organization)
        .filter(stripe_id=state.stripe_id)
        .first()
    )
    if held is None:
        if state.status not in LIVE:
            return None
        if customers.profile_of(organization).stripe_customer_id != state.customer:
            return None
        if outbox.ending_of(state.stripe_id) is not None:
            return None
        if against := _what_stands_against(organization, is_closed=is_closed):
            outbox.end_subscription(organization, state.stripe_id, reason=against)
            return None
        held = put_on_plan(
            organization, state.plan, actor=SYSTEM, source=Subscription.Source.STRIPE,
            starts_at=now, stripe_id=state.stripe_id,
        )  # fmt: skip
        assert held is not None
    is_over = held.ends_at is not None and held.ends_at <= now
    ends_at = state.ends_at
    if state.status in OVER or (is_closed and ends_at is None):
        # Never into the past: what was charged keeps the rate it had.
        ends_at = now
    later = next_subscription(organization, max(now, held.starts_at))
    if later is not None and (ends_at is None or ends_at > later.starts_at):
        ends_at = later.starts_at
    if not is_over and held.ends_at != ends_at:
        Subscription.objects.filter(pk=held.pk).update(ends_at=ends_at)
        held.refresh_from_db()
        if ends_at == now:
            record(organization, SYSTEM, "plan.changed", STARTER, before={"plan": held.plan_id})
    if held.ends_at is not None and held.ends_at <= now and _goes_on(state, now):
        outbox.end_subscription(
            organization, state.stripe_id, since=held.ends_at, reason="The plan was over."
        )
    ending = outbox.ending_of(state.stripe_id)
    if state.status == "past_due" and ending is None:
        alerts.plan_payment_failed(organization, state.latest_invoice or state.stripe_id)
    else:
        alerts.plan_paid(organization)
    for invoice in state.paid:
        if ending is not None and ending.since and invoice.paid_at > ending.since:
            continue  # it goes back
        payment, is_new = PlanPayment.objects.get_or_create(
            stripe_invoice_id=invoice.stripe_id,
            defaults={
                "organization": organization,
                "subscription": held,
                "amount_nano": invoice.amount_nano,
                "period_start": invoice.period_start,
                "period_end": invoice.period_end,
                "paid_at": invoice.paid_at,
            },
        )
        if is_new:
            receipts.for_plan(payment)
    return held


def _what_stands_against(organization: Organization, *, is_closed: bool) -> str:
    """Why a subscription that was just paid for cannot be: nobody may have two plans."""
    if is_closed:
        return "The organization is closed."
    if (held := subscription_of(organization)) is not None:
        if held.source == Subscription.Source.OPERATOR:
            return f"{held.plan.name} was set by agreement in the meantime."
        return f"{held.plan.name} is paid for already."
    later = next_subscription(organization)
    return "" if later is None else _set_for(later)


def _set_for(later: Subscription) -> str:
    return (
        f"{later.plan.name} is set from {later.starts_at:%d %b %Y} on. Write to us to change that."
    )


def _goes_on(state: gate.SubscriptionState, now: datetime) -> bool:
    """Whether Stripe would charge on; one whose end has come is about to end there by itself."""
    return state.status in LIVE and (state.ends_at is None or state.ends_at > now)


def _lock(organization: Organization) -> None:
    """The wallet, as every writer of money and plans does first."""
    Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )


def _version(plan: str, at: datetime) -> PlanVersion:
    for version in current_versions(at):
        if version.plan_id == plan:
            return version
    raise PlanConflict("There is no such plan.")


def _differences(before: PlanVersion, after: PlanVersion) -> tuple[list[str], list[str]]:
    gains: list[str] = []
    losses: list[str] = []

    def compare(more: bool, words: str) -> None:
        (gains if more else losses).append(words)

    if after.rpm != before.rpm:
        compare(
            after.rpm > before.rpm, f"{after.rpm:,} requests per minute instead of {before.rpm:,}"
        )
    if after.concurrency != before.concurrency:
        compare(
            after.concurrency > before.concurrency,
            f"{after.concurrency:,} requests at the same time instead of {before.concurrency:,}",
        )
    if after.fee_bps != before.fee_bps:
        compare(
            after.fee_bps < before.fee_bps,
            f"a service fee of {after.fee_bps / 100:g} % instead of {before.fee_bps / 100:g} %",
        )
    is_higher = after.plan.rank > before.plan.rank
    if after.sla != before.sla:
        compare(is_higher, f"SLA: {after.sla or 'none'} instead of {before.sla or 'none'}")
    if after.support_response != before.support_response:
        compare(
            is_higher,
            f"support answers within: {after.support_response} instead of {before.support_response}",
        )
    if after.compliance_extension != before.compliance_extension:
        compare(after.compliance_extension, "the compliance extension")
    compare(
        is_higher, f"the plan models that come with {(after if is_higher else before).plan.name}"
    )
    return gains, losses
