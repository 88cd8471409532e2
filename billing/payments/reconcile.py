"""Compare Stripe's books with the ledger: credit what no message told us of, and report what differs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from accounts.models import Organization
from billing.errors import PaymentRefused, PaymentsAway, PlanConflict
from billing.models import (
    BillingProfile,
    Reconciliation,
    Refund,
    StripeInstruction,
    Subscription,
    TopUp,
)
from billing.money import usd_from_nano
from billing.payments import (
    automatic,
    contested,
    gate,
    outbox,
    reversals,
    subscriptions,
    topups,
)

log = structlog.get_logger(__name__)

# A message may be days late; Stripe gives up on one after three.
LOOK_BACK = timedelta(days=4)
PAID = (TopUp.Status.SUCCEEDED, TopUp.Status.REFUNDED)


@dataclass(slots=True)
class _Tally:
    payments: int = 0
    credited: int = 0
    differences: list[str] = field(default_factory=list)


def reconcile(since: datetime | None = None) -> Reconciliation:
    """Go through every payment since an instant. Raises ``PaymentsAway`` where Stripe does not answer."""
    since = since or timezone.now() - LOOK_BACK
    report = Reconciliation.objects.create(since=since)
    tally = _Tally()
    try:
        _compare_payments(since, tally)
        _compare_subscriptions(tally)
        tally.differences += contested.differences(since)
        report.finished_at = timezone.now()
    except PaymentsAway:
        tally.differences.append("Stripe stopped answering: the rest was not compared.")
        raise
    finally:
        # What was found is kept, whatever stopped the search.
        report.payments, report.credited = tally.payments, tally.credited
        report.differences = tally.differences
        report.save()
        if tally.differences:
            log.error("stripe_differs", differences=len(tally.differences))
    return report


def _compare_payments(since: datetime, tally: _Tally) -> None:
    seen: set[str] = set()
    for payment in gate.payments_since(since):
        seen.add(payment.stripe_id)
        _compare(payment, tally)
    ours = TopUp.objects.filter(status__in=PAID, created_at__gte=since + timedelta(minutes=5))
    for top_up in ours.exclude(stripe_payment_intent_id__in=seen):
        tally.differences.append(
            f"{top_up.id} was credited by {top_up.stripe_payment_intent_id}, which Stripe does not list."
        )


def _compare_subscriptions(tally: _Tally) -> None:
    """What runs at Stripe is what is paid for: it is looked at whether we think it is over or not."""
    seen: set[str] = set()
    for state in gate.running_subscriptions():
        seen.add(state.stripe_id)
        applied = _applied(state, tally)
        live = state.status in subscriptions.LIVE
        if live and applied is None and outbox.ending_of(state.stripe_id) is None:
            tally.differences.append(f"{state.stripe_id} runs at Stripe and gives nobody a plan.")
    held = Subscription.objects.filter(stripe_id__isnull=False).exclude(ends_at__lte=timezone.now())
    for name in held.exclude(stripe_id__in=seen).values_list("stripe_id", flat=True):
        try:
            _applied(gate.subscription(name), tally)
        except PaymentRefused:
            tally.differences.append(f"{name} gives a plan, and Stripe does not know it.")
    for order in StripeInstruction.objects.exclude(status=StripeInstruction.Status.DONE):
        if order.kind == StripeInstruction.Kind.END_SUBSCRIPTION:
            tally.differences.append(
                f"{order.subject} is to be ended and refunded, and is not yet. {order.error}".strip()
            )


def _applied(state: gate.SubscriptionState, tally: _Tally) -> Subscription | None:
    try:
        return subscriptions.apply(state)
    except PlanConflict as error:
        tally.differences.append(f"{state.stripe_id}: {error}")
        return None


def chase(older_than: timedelta = timedelta(seconds=30)) -> int:
    """Ask again about what waits: open top-ups, refunds without an answer, what is still owed.

    And tell Stripe what it is still to be told. Returns how many were looked at. One that cannot be
    settled does not hold up the rest.
    """
    looked = outbox.carry_out_pending()
    for top_up in topups.pending_since(older_than):
        looked += 1
        try:
            topups.sync(top_up)
        except (PaymentsAway, PaymentRefused, topups.UnexpectedPayment) as error:
            log.warning("top_up_not_settled", top_up=top_up.id, cause=str(error))
    for refund in reversals.pending_since(older_than):
        looked += 1
        try:
            reversals.send(refund)
        except PaymentsAway as error:
            log.warning("refund_not_settled", refund=refund.id, cause=str(error))
    for organization in reversals.owing():
        looked += 1
        reversals.collect_now(organization)
    return looked


def run_automatic() -> int:
    """Top up every organization that is due; returns for how many a payment was tried."""
    tried = 0
    for organization in automatic.due():
        tried += _tried(organization)
    return tried


def _tried(organization: Organization) -> bool:
    try:
        return automatic.run(organization) is not None
    except (PaymentsAway, topups.UnexpectedPayment) as error:
        log.warning("automatic_top_up_not_settled", cause=str(error))
        return True


def _compare(payment: gate.Payment, tally: _Tally) -> None:
    if payment.status != "succeeded":
        return
    tally.payments += 1
    before = TopUp.objects.filter(stripe_payment_intent_id=payment.stripe_id, status__in=PAID)
    was_known = before.exists()
    try:
        top_up = topups.apply(payment)
    except topups.UnexpectedPayment as error:
        tally.differences.append(str(error))
        return
    if top_up is None:
        if not payment.top_up and _is_for_a_plan(payment):
            return
        tally.differences.append(
            f"{payment.stripe_id} of {usd_from_nano(payment.amount_nano)} USD is for no top-up of ours."
        )
        return
    tally.credited += not was_known
    refunded_nano = sum(
        refund.amount_nano for refund in payment.refunds if refund.status != "failed"
    )
    top_up.refresh_from_db()
    if refunded_nano != top_up.refunded_nano:
        tally.differences.append(
            f"{top_up.id}: Stripe refunded {usd_from_nano(refunded_nano)} USD,"
            f" the ledger {usd_from_nano(top_up.refunded_nano)} USD."
        )
    for refund in top_up.refunds.exclude(status=Refund.Status.FAILED):
        if refund.collected_nano < refund.amount_nano:
            owed_nano = refund.amount_nano - refund.collected_nano
            tally.differences.append(
                f"{refund.id} was made at Stripe; {usd_from_nano(owed_nano)} USD of it is still to be collected."
            )


def _is_for_a_plan(payment: gate.Payment) -> bool:
    """Stripe charges a subscription by a payment of its own, to a customer who has one."""
    tenants = BillingProfile.objects.filter(stripe_customer_id=payment.customer)
    about = {"organization_id__in": tenants.values("organization_id")}
    return bool(
        Subscription.objects.filter(stripe_id__isnull=False, **about).exists()
        or StripeInstruction.objects.filter(
            kind=StripeInstruction.Kind.END_SUBSCRIPTION, **about
        ).exists()
    )
