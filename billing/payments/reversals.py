"""Money on its way back: refunds of what is unused, and disputes that withhold what is contested."""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.audit import SYSTEM, Actor, record
from accounts.models import Organization, TenantQuerySet
from billing import alerts
from billing.errors import NotRefundable, PaymentRefused, PaymentsAway
from billing.models import Account, Dispute, Refund, TopUp, Transfer
from billing.money import usd_from_nano
from billing.payments import gate
from billing.services import post

log = structlog.get_logger(__name__)

MAX_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Refundable:
    """How much of a top-up may go back now, in nano-USD, and why not more."""

    amount_nano: int
    reason: str


def refundable(top_up: TopUp) -> Refundable:
    """The policy: by card, within its days, and only what is unused. Operators' credits are used first.

    What is unused is what is available, less the credits that use has not consumed yet.
    """
    left_nano = top_up.amount_nano - top_up.refunded_nano
    if top_up.status != TopUp.Status.SUCCEEDED or not left_nano:
        return Refundable(0, "Only a payment that was received can be refunded.")
    days = settings.REFUND_WITHIN_DAYS
    if timezone.now() - (top_up.settled_at or top_up.created_at) > timedelta(days=days):
        return Refundable(0, f"Refunds are possible within {days} days of the payment.")
    if any(dispute.status != Dispute.Status.WON for dispute in top_up.disputes.all()):
        return Refundable(0, "This payment is disputed at the bank; the money goes back that way.")
    accounts = {
        account.kind: account for account in Account.objects.for_organization(top_up.organization)
    }
    wallet = accounts[Account.Kind.WALLET]
    available_nano = wallet.balance_nano - wallet.leased_nano - wallet.frozen_nano
    credited_nano = -accounts[Account.Kind.CREDIT].balance_nano
    used_nano = accounts[Account.Kind.REVENUE].balance_nano
    unused_nano = available_nano - max(credited_nano - used_nano, 0)
    amount_nano = max(min(left_nano, unused_nano), 0)
    # Stripe refunds in cents.
    amount_nano -= amount_nano % gate.NANO_PER_CENT
    if amount_nano == left_nano:
        return Refundable(amount_nano, "")
    return Refundable(amount_nano, "The rest is used, on hold, or was a credit.")


def refund(top_up: TopUp, amount_nano: int, *, reason: str, actor: Actor) -> Refund:
    """Take unused money off the balance and send it back to its card.

    Raises ``NotRefundable`` where it is more than the policy allows. Where Stripe does not answer,
    the refund stays pending and is sent again under the same key.
    """
    made = _take(top_up, amount_nano, reason=reason, actor=actor)
    try:
        send(made)
    except PaymentsAway:
        log.warning("refund_unknown", refund=made.id)
    made.refresh_from_db()
    return made


def send_back(top_up: TopUp, *, reason: str) -> Refund | None:
    """Take a payment that nobody can use any more off the balance, as far as may be; a job sends it to its card.

    Inside a transaction. ``None`` where nothing of it may go back.
    """
    allowed = refundable(top_up)
    if not allowed.amount_nano:
        return None
    return _take(top_up, allowed.amount_nano, reason=reason, actor=SYSTEM)


def send(made: Refund) -> None:
    """Ask Stripe for a refund that is pending; repeated, it is the same refund."""
    assert made.top_up.stripe_payment_intent_id is not None
    with transaction.atomic():
        # The trigger on refunds takes the wallet's lock as well.
        _lock(made.organization)
        # Whatever the answer is, those that were not asked about come first the next time.
        Refund.objects.filter(pk=made.pk).update(asked_at=timezone.now())
    try:
        state = gate.create_refund(
            payment_id=made.top_up.stripe_payment_intent_id,
            refund=made.id,
            amount_nano=made.amount_nano,
        )
    except PaymentRefused:
        with transaction.atomic():
            _lock(made.organization)
            top_up = TopUp.objects.select_for_update().get(pk=made.top_up_id)
            _give_back(top_up, Refund.objects.select_for_update().get(pk=made.pk))
        return
    with transaction.atomic():
        _lock(made.organization)
        apply_refund(TopUp.objects.select_for_update().get(pk=made.top_up_id), state)


def pending_since(before: timedelta) -> list[Refund]:
    """Refunds without an answer for longer than that, at most so many: first those asked about longest ago."""
    waiting = Refund.objects.select_related("top_up", "organization").filter(
        status=Refund.Status.PENDING, created_at__lt=timezone.now() - before
    )
    return list(waiting.order_by(F("asked_at").asc(nulls_first=True), "id")[:MAX_LOOKED_AT])


@transaction.atomic
def _take(top_up: TopUp, amount_nano: int, *, reason: str, actor: Actor) -> Refund:
    organization = top_up.organization
    _lock(organization)
    top_up = (
        TopUp.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=top_up.pk)
    )
    allowed = refundable(top_up)
    if not 0 < amount_nano <= allowed.amount_nano or amount_nano % gate.NANO_PER_CENT:
        raise NotRefundable(
            f"{usd_from_nano(allowed.amount_nano)} USD of this payment can be refunded now."
            f" {allowed.reason}".strip()
        )
    made: Refund = Refund.objects.create(
        organization=organization,
        top_up=top_up,
        amount_nano=amount_nano,
        collected_nano=amount_nano,
        reason=reason[:200],
    )
    _debit(organization, made, amount_nano)
    _mark(top_up, amount_nano)
    record(
        organization, actor, "top_up.refunded", top_up.id,
        after={"refund": made.id, "amount_usd": usd_from_nano(amount_nano), "reason": reason},
    )  # fmt: skip
    return made


def apply_refund(top_up: TopUp, state: gate.RefundState) -> None:
    """Bring a refund to where it stands at Stripe; inside a transaction that holds the wallet.

    One that was made at Stripe itself is collected from the balance, as far as it goes now.
    """
    organization = top_up.organization
    made = Refund.objects.select_for_update().filter(stripe_id=state.stripe_id).first()
    if made is None and state.ours:
        made = (
            Refund.objects.select_for_update()
            .for_organization(organization)
            .filter(pk=state.ours, stripe_id=None)
            .first()
        )
        if made is not None:
            made.stripe_id = state.stripe_id
            made.save(update_fields=["stripe_id"])
    if made is None:
        if state.status == "failed":
            return
        made = Refund.objects.create(
            organization=organization,
            top_up=top_up,
            amount_nano=state.amount_nano,
            collected_nano=0,
            reason="Made at Stripe",
            stripe_id=state.stripe_id,
        )
        _mark(top_up, state.amount_nano)
        collect(organization)
    if state.status == "failed":
        _give_back(top_up, made)
    elif state.status == "succeeded" and made.status == Refund.Status.PENDING:
        made.status = Refund.Status.SUCCEEDED
        made.save(update_fields=["status"])


def apply_dispute(top_up: TopUp, state: gate.DisputeState) -> None:
    """Bring a dispute to where it stands at Stripe; inside a transaction that holds the wallet."""
    organization = top_up.organization
    dispute, is_new = Dispute.objects.select_for_update().get_or_create(
        stripe_id=state.stripe_id,
        defaults={
            "organization": organization,
            "top_up": top_up,
            "amount_nano": state.amount_nano,
        },
    )
    if is_new:
        alerts.disputed(dispute)
    if state.status != Dispute.Status.OPEN and dispute.status == Dispute.Status.OPEN:
        dispute.status = state.status
        dispute.closed_at = timezone.now()
        dispute.save(update_fields=["status", "closed_at"])
        collect(organization)
        dispute.refresh_from_db()
        alerts.dispute_closed(dispute)


def collect(organization: Organization) -> None:
    """Take from the balance what lost disputes and refunds made at Stripe are still owed, as far as it goes.

    Inside a transaction; a lease under way keeps its money.
    """
    _lock(organization)
    for dispute in _lost().for_organization(organization).select_for_update().order_by("id"):
        _collect(
            organization, dispute, Transfer.Kind.DISPUTE, "Taken back by the cardholder's bank"
        )
    for made in _uncollected().for_organization(organization).select_for_update().order_by("id"):
        _collect(organization, made, Transfer.Kind.REFUND, f"Refund of {made.top_up_id}")


@transaction.atomic
def collect_now(organization: Organization) -> None:
    """``collect`` in a transaction of its own."""
    collect(organization)


def owing() -> list[Organization]:
    """Organizations whose lost disputes, or whose refunds made at Stripe, are not wholly collected."""
    return list(
        Organization.objects.filter(
            Q(pk__in=_lost().values("organization_id"))
            | Q(pk__in=_uncollected().values("organization_id"))
        )
    )


def _lost() -> TenantQuerySet:
    return Dispute.objects.filter(status=Dispute.Status.LOST, collected_nano__lt=F("amount_nano"))


def _uncollected() -> TenantQuerySet:
    return Refund.objects.exclude(status=Refund.Status.FAILED).filter(
        collected_nano__lt=F("amount_nano")
    )


def _collect(
    organization: Organization, owed: Dispute | Refund, kind: str, description: str
) -> None:
    wallet = _lock(organization)
    amount_nano = min(
        owed.amount_nano - owed.collected_nano, wallet.balance_nano - wallet.leased_nano
    )
    if amount_nano <= 0:
        return
    post(
        organization,
        kind,
        debit=Account.Kind.WALLET,
        credit=Account.Kind.FUNDING,
        amount_nano=amount_nano,
        reference=f"{kind}:{owed.id}:{owed.collected_nano}",
        description=description,
        # It is what this money was withheld for, and has left at Stripe already.
        from_frozen=True,
    )
    owed.collected_nano += amount_nano
    owed.save(update_fields=["collected_nano"])


def _lock(organization: Organization) -> Account:
    wallet: Account = Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )
    return wallet


def _debit(organization: Organization, made: Refund, amount_nano: int) -> None:
    post(
        organization,
        Transfer.Kind.REFUND,
        debit=Account.Kind.WALLET,
        credit=Account.Kind.FUNDING,
        amount_nano=amount_nano,
        reference=f"refund:{made.id}",
        description=f"Refund of {made.top_up_id}",
    )


def _give_back(top_up: TopUp, made: Refund) -> None:
    if made.status == Refund.Status.FAILED:
        return
    if made.collected_nano:
        post(
            made.organization,
            Transfer.Kind.REFUND,
            debit=Account.Kind.FUNDING,
            credit=Account.Kind.WALLET,
            amount_nano=made.collected_nano,
            reference=f"refund-failed:{made.id}",
            description="The refund failed; the money is back",
        )
    made.status = Refund.Status.FAILED
    made.save(update_fields=["status"])
    _mark(top_up, -made.amount_nano)


def _mark(top_up: TopUp, amount_nano: int) -> None:
    top_up.refunded_nano += amount_nano
    whole = top_up.refunded_nano == top_up.amount_nano
    top_up.status = TopUp.Status.REFUNDED if whole else TopUp.Status.SUCCEEDED
    top_up.save(update_fields=["refunded_nano", "status"])
