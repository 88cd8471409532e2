"""What Stripe is still to be told: written down with the decision, done by a job, again until it is done.

So nothing asks Stripe inside a transaction, and nothing is forgotten where Stripe does not answer.
"""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import Organization
from billing import alerts
from billing.errors import PaymentRefused, PaymentsAway
from billing.models import BillingProfile, StripeInstruction
from billing.payments import gate

log = structlog.get_logger(__name__)

AT_ONCE = 100
Kind = StripeInstruction.Kind
Status = StripeInstruction.Status


def expire_pages(organization: Organization, *, only_plans: bool, reason: str) -> None:
    """Close every page this organization could still pay on, or those for plans."""
    customer = (
        BillingProfile.objects.for_organization(organization)
        .exclude(stripe_customer_id=None)
        .values_list("stripe_customer_id", flat=True)
        .first()
    )
    if customer is not None:
        kind = Kind.EXPIRE_PLAN_PAGES if only_plans else Kind.EXPIRE_PAGES
        _instruct(organization, kind, customer, reason=reason, since=None)


def end_subscription(
    organization: Organization, stripe_id: str, *, reason: str, since: datetime | None = None
) -> StripeInstruction:
    """End a subscription that nobody wants, and send back what was paid for it, or only after ``since``."""
    made, is_new = _instruct(
        organization, Kind.END_SUBSCRIPTION, stripe_id, reason=reason, since=since
    )
    if is_new:
        # For operators: a customer was charged for what they cannot have.
        log.error("subscription_not_wanted", subscription=stripe_id, reason=reason)
    return made


def ending_of(stripe_id: str) -> StripeInstruction | None:
    """The order to end a subscription, carried out or not."""
    found: StripeInstruction | None = StripeInstruction.objects.filter(
        kind=Kind.END_SUBSCRIPTION, subject=stripe_id
    ).first()
    return found


def carry_out_pending() -> int:
    """Tell Stripe what waits to be told; returns how many were tried. One does not hold up the rest.

    However many there are, each has its turn: first those never tried, then those tried longest ago.
    """
    waiting = StripeInstruction.objects.select_related("organization").filter(status=Status.PENDING)
    tried = 0
    for instruction in waiting.order_by(F("asked_at").asc(nulls_first=True), "id")[:AT_ONCE]:
        tried += 1
        try:
            carry_out(instruction)
        except Exception:
            # Whatever is wrong with one: it waits, and the others and all that follows do not.
            log.exception("stripe_instruction_failed", instruction=instruction.pk)
    return tried


def carry_out(instruction: StripeInstruction) -> None:
    """Have Stripe do it; safe to repeat. It stays pending where Stripe does not answer."""
    StripeInstruction.objects.filter(pk=instruction.pk).update(asked_at=timezone.now())
    try:
        sent = _do(instruction)
    except PaymentsAway as error:
        log.warning("stripe_instruction_waits", instruction=instruction.pk, cause=str(error))
        return
    except PaymentRefused as error:
        log.exception("stripe_instruction_refused", instruction=instruction.pk)
        StripeInstruction.objects.filter(pk=instruction.pk).update(
            status=Status.REFUSED, error=f"{error} {error.__cause__ or ''}".strip()[:200]
        )
        return
    if sent.refused:
        log.error(
            "stripe_instruction_refused", instruction=instruction.pk, refunded_nano=sent.amount_nano
        )
    with transaction.atomic():
        before_nano = (
            StripeInstruction.objects.select_for_update().get(pk=instruction.pk).refunded_nano
        )
        StripeInstruction.objects.filter(pk=instruction.pk).update(
            status=Status.REFUSED if sent.refused else Status.DONE,
            refunded_nano=sent.amount_nano,
            error=sent.refused[:200],
            done_at=None if sent.refused else timezone.now(),
        )
        if sent.amount_nano > before_nano:
            alerts.plan_sent_back(
                instruction.organization,
                instruction.subject,
                sent.amount_nano,
                instruction.reason,
                before_nano=before_nano,
                is_all=not sent.refused,
            )


def _do(instruction: StripeInstruction) -> gate.SentBack:
    """What was refunded by it."""
    if instruction.kind == Kind.END_SUBSCRIPTION:
        gate.end_now(instruction.subject)
        return gate.refund_subscription(instruction.subject, since=instruction.since)
    for page in gate.recent_sessions(instruction.subject):
        if page.status == "open" and (
            instruction.kind == Kind.EXPIRE_PAGES or page.mode == "subscription"
        ):
            gate.expire(page.stripe_id)
    return gate.SentBack(0)


def _instruct(
    organization: Organization, kind: str, subject: str, *, reason: str, since: datetime | None
) -> tuple[StripeInstruction, bool]:
    """Once as long as it is not done. Pages that could not be closed are tried again where that is asked anew."""
    made: StripeInstruction
    made, is_new = StripeInstruction.objects.exclude(status=Status.DONE).get_or_create(
        kind=kind,
        subject=subject,
        defaults={"organization": organization, "reason": reason[:200], "since": since},
    )
    if made.status == Status.REFUSED and made.kind != Kind.END_SUBSCRIPTION:
        made.status, made.reason, made.error = Status.PENDING, reason[:200], ""
        made.save(update_fields=["status", "reason", "error"])
    return made, is_new
