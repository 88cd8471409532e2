"""Payments for plans that went back, or may: by a bank's dispute, or by a refund that was made at Stripe.

No balance answers for them, so nothing is taken or withheld by itself: operators are told, and decide.
"""

from collections.abc import Iterator
from datetime import datetime

import structlog

from accounts.models import Organization
from billing import alerts
from billing.models import BillingProfile, TopUp
from billing.money import usd_from_nano
from billing.payments import gate

log = structlog.get_logger(__name__)


def notice(payment: gate.Payment) -> Organization | None:
    """Tell of what became of a payment for a plan; whose it is, or ``None`` where there is nothing to tell."""
    if payment.top_up or not payment.customer:
        return None
    profile = (
        BillingProfile.objects.select_related("organization")
        .filter(stripe_customer_id=payment.customer)
        .first()
    )
    if profile is None:
        return None
    told: Organization | None = None
    for dispute in payment.disputes:
        told = profile.organization
        alerts.plan_disputed(told, dispute.stripe_id, dispute.amount_nano, dispute.status)
        log.error("plan_payment_disputed", dispute=dispute.stripe_id, status=dispute.status)
    for refund in payment.refunds:
        told = profile.organization
        if _is_strange(refund):
            log.error("plan_payment_refunded", refund=refund.stripe_id, status=refund.status)
    return told


def differences(since: datetime) -> Iterator[str]:
    """What became since an instant of payments that are for no top-up, and that no rule of ours did."""
    refunds = [refund for refund in gate.refunds_since(since) if _is_strange(refund)]
    disputes = list(gate.disputes_since(since))
    about = {one.payment for one in refunds} | {one.payment for one in disputes}
    known = set(
        TopUp.objects.filter(stripe_payment_intent_id__in=about).values_list(
            "stripe_payment_intent_id", flat=True
        )
    )
    for dispute in disputes:
        if dispute.payment not in known:
            yield (
                f"{dispute.stripe_id} contests {usd_from_nano(dispute.amount_nano)} USD of"
                f" {dispute.payment}, which is for a plan or none of ours: {dispute.status}."
            )
    for refund in refunds:
        if refund.payment not in known:
            yield (
                f"{refund.stripe_id} sent back {usd_from_nano(refund.amount_nano)} USD of"
                f" {refund.payment}, which is for a plan or none of ours: {refund.status}."
            )


def _is_strange(refund: gate.RefundState) -> bool:
    """Made by hand at Stripe, or made by us and sent back by the bank."""
    return not refund.ours.startswith("plan:") or refund.status == "failed"
