"""Top-ups: from the wish to the money. Credited once, by the first of webhook, return page and reconciliation."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import SYSTEM, Actor, record
from accounts.models import Organization, User
from accounts.webhooks.events import emit
from billing import alerts, receipts
from billing.errors import InvalidAmount, PaymentRefused, PaymentsAway
from billing.models import Account, AutomaticTopUp, TopUp, Transfer
from billing.money import usd_from_nano
from billing.payments import customers, gate, reversals
from billing.services import post

log = structlog.get_logger(__name__)

USD = 1_000_000_000
MAX_UNPAID_AN_HOUR = 30
# How long Stripe remembers an idempotency key, less a margin.
REPEATABLE_FOR = timedelta(hours=23)
# How long an automatic top-up waits after one failure, after two, and from the third on.
COOL_OFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
MAX_LOOKED_AT = 250
Problem = AutomaticTopUp.Problem


class UnexpectedPayment(Exception):
    """A payment that is not what its top-up asked for: another amount, currency or customer."""


def check_amount(amount_nano: int) -> None:
    """Refuse what cannot be topped up, with ``InvalidAmount``."""
    low, high = settings.TOP_UP_MIN_USD, settings.TOP_UP_MAX_USD
    if not low * USD <= amount_nano <= high * USD:
        raise InvalidAmount(f"A top-up is between {low:,} and {high:,} USD.")
    if amount_nano % gate.NANO_PER_CENT:
        raise InvalidAmount("A top-up is in whole cents.")


def start_top_up(
    organization: Organization,
    amount_nano: int,
    *,
    user: User | None,
    actor: Actor,
    save_card: bool,
    return_url: str,
    cancel_url: str,
) -> TopUp:
    """A top-up with the address of the hosted page to pay it on.

    ``{top_up}`` in the URLs becomes its id. Raises ``InvalidAmount``, ``PaymentRefused`` or
    ``PaymentsAway``; nothing is charged before somebody pays on that page.
    """
    check_amount(amount_nano)
    hour_ago = timezone.now() - timedelta(hours=1)
    unpaid = TopUp.objects.for_organization(organization).filter(
        source=TopUp.Source.CHECKOUT, created_at__gt=hour_ago, settled_at=None
    )
    if unpaid.count() >= MAX_UNPAID_AN_HOUR:
        raise PaymentRefused(
            "Many payments were begun and not paid in the last hour. Try again later."
        )
    customer = customers.customer_of(organization, user)
    with transaction.atomic():
        top_up: TopUp = TopUp.objects.create(
            organization=organization,
            source=TopUp.Source.CHECKOUT,
            amount_nano=amount_nano,
            save_card=save_card,
            created_by=user,
        )
        record(
            organization, actor, "top_up.started", top_up.id,
            after={"amount_usd": usd_from_nano(amount_nano)},
        )  # fmt: skip
    try:
        session = gate.open_top_up(
            customer=customer,
            top_up=top_up.id,
            organization=organization.id,
            amount_nano=amount_nano,
            save_card=save_card,
            return_url=return_url.replace("{top_up}", top_up.id),
            cancel_url=cancel_url.replace("{top_up}", top_up.id),
        )
    except (PaymentRefused, PaymentsAway) as error:
        # A page nobody was sent to is a page nobody pays on.
        TopUp.objects.filter(pk=top_up.pk, status=TopUp.Status.PENDING).update(
            status=TopUp.Status.FAILED, failure=str(error)[:200]
        )
        raise
    TopUp.objects.filter(pk=top_up.pk).update(
        stripe_session_id=session.stripe_id, checkout_url=session.url
    )
    top_up.refresh_from_db()
    return top_up


def sync(top_up: TopUp) -> TopUp:
    """Ask Stripe how a top-up stands, and apply it. Safe at any time, any number of times.

    Raises ``PaymentsAway`` where Stripe does not answer.
    """
    # Whatever the answer is, those that were not asked about come first the next time.
    TopUp.objects.filter(pk=top_up.pk).update(asked_at=timezone.now())
    payment_id = top_up.stripe_payment_intent_id or ""
    if not payment_id and top_up.stripe_session_id:
        session = gate.session(top_up.stripe_session_id)
        payment_id = session.payment
        if session.status == "expired" and not payment_id:
            fail(top_up, "The payment page expired before anyone paid on it.")
    if not payment_id and top_up.source == TopUp.Source.AUTOMATIC:
        if top_up.status == TopUp.Status.PENDING:
            _charge_again(top_up)
    elif payment_id:
        apply(gate.payment(payment_id))
    top_up.refresh_from_db()
    return top_up


@transaction.atomic
def apply(payment: gate.Payment) -> TopUp | None:
    """Bring a top-up to where its payment stands; returns it, or ``None`` for a payment not of ours.

    Only ever forwards: what is credited stays credited, a refund or a lost dispute is taken once.
    So a message that is late, repeated or out of order changes nothing. Raises
    ``UnexpectedPayment`` where the payment is not what was asked for.
    """
    found = TopUp.objects.filter(pk=payment.top_up).first() if _is_ours(payment.top_up) else None
    if found is None:
        return None
    _lock_wallet(found)
    top_up: TopUp = (
        TopUp.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=found.pk)
    )
    if payment.status == "succeeded":
        _check(top_up, payment)
        if top_up.status in (TopUp.Status.PENDING, TopUp.Status.FAILED):
            _credit(top_up, payment)
        for refund in payment.refunds:
            reversals.apply_refund(top_up, refund)
        for dispute in payment.disputes:
            reversals.apply_dispute(top_up, dispute)
    elif top_up.status == TopUp.Status.PENDING:
        if payment.status in ("canceled", "failed"):
            fail(top_up, _why(payment), _problem(payment))
        elif top_up.source == TopUp.Source.AUTOMATIC:
            _apply_open(top_up, payment)
    return top_up


@transaction.atomic
def fail(top_up: TopUp, why: str, problem: str = Problem.DECLINED) -> None:
    """Nothing came of it; whoever hears of it first says so. A payment that succeeds after all is still credited.

    An automatic one is not tried again for a while, for ``problem``.
    """
    _lock_wallet(top_up)
    failed = TopUp.objects.filter(pk=top_up.pk, status=TopUp.Status.PENDING).update(
        status=TopUp.Status.FAILED, failure=why[:200], settled_at=timezone.now()
    )
    top_up.refresh_from_db()
    if failed:
        emit(top_up.organization, "topup.failed", _told(top_up))
        if top_up.source == TopUp.Source.AUTOMATIC:
            _cool_off(top_up, why, problem)


def pending_since(before: timedelta) -> list[TopUp]:
    """Top-ups that wait longer than that, for the job that asks Stripe about them.

    However many there are, each has its turn: automatic ones beside the pages nobody paid on, and of
    both those that were never asked about, then those asked about longest ago.
    """
    waiting = (
        TopUp.objects.select_related("organization")
        .filter(status=TopUp.Status.PENDING, created_at__lt=timezone.now() - before)
        .order_by(F("asked_at").asc(nulls_first=True), "created_at")
    )
    return [
        top_up
        for source in (TopUp.Source.AUTOMATIC, TopUp.Source.CHECKOUT)
        for top_up in waiting.filter(source=source)[:MAX_LOOKED_AT]
    ]


def _apply_open(top_up: TopUp, payment: gate.Payment) -> None:
    """An automatic top-up whose payment has not ended at Stripe: failed only where the card was tried.

    One without a failure is on its way (``processing``, or not tried yet): it stays open.
    """
    if payment.status == "requires_action" or payment.failure:
        fail(top_up, _why(payment), _problem(payment))
    elif top_up.stripe_payment_intent_id is None:
        # Asking for the charge again repeats what Stripe answered then; the payment says how it stands.
        top_up.stripe_payment_intent_id = payment.stripe_id
        top_up.save(update_fields=["stripe_payment_intent_id"])


def _problem(payment: gate.Payment) -> str:
    if payment.failure_code == "authentication_required" or payment.status == "requires_action":
        return Problem.AUTHENTICATION
    return Problem.DECLINED


def _why(payment: gate.Payment) -> str:
    if _problem(payment) == Problem.AUTHENTICATION:
        return "The bank wants the cardholder to confirm."
    return payment.failure or "The payment was canceled."


def _cool_off(top_up: TopUp, why: str, problem: str) -> None:
    """The next automatic top-up waits, the longer the more of them failed in a row, and people are told."""
    setting = AutomaticTopUp.objects.select_for_update().get(organization=top_up.organization)
    wait = COOL_OFF[min(setting.failures, len(COOL_OFF) - 1)]
    AutomaticTopUp.objects.filter(pk=setting.pk).update(
        problem=problem, failures=F("failures") + 1, paused_until=timezone.now() + wait
    )
    alerts.automatic_top_up_failed(top_up, why)
    log.warning("automatic_top_up_failed", top_up=top_up.id, problem=problem)


def _lock_wallet(top_up: TopUp) -> None:
    # The wallet first, as every writer does.
    Account.objects.select_for_update(no_key=True).get(
        organization_id=top_up.organization_id, kind=Account.Kind.WALLET
    )


def _credit(top_up: TopUp, payment: gate.Payment) -> None:
    organization = top_up.organization
    post(
        organization,
        Transfer.Kind.TOP_UP,
        debit=Account.Kind.FUNDING,
        credit=Account.Kind.WALLET,
        amount_nano=top_up.amount_nano,
        reference=f"top_up:{top_up.id}",
        description=f"{top_up.get_source_display()} by card",
    )
    top_up.status = TopUp.Status.SUCCEEDED
    top_up.failure = ""
    top_up.settled_at = timezone.now()
    top_up.stripe_payment_intent_id = payment.stripe_id
    top_up.save(update_fields=["status", "failure", "settled_at", "stripe_payment_intent_id"])
    receipts.for_top_up(top_up)
    if top_up.save_card and payment.card is not None:
        customers.keep_card(organization, payment.card)
    # Money came in: whatever stopped the automatic top-up before is worth another try.
    AutomaticTopUp.objects.for_organization(organization).update(
        problem="", failures=0, paused_until=None
    )
    reversals.collect(organization)
    record(
        organization, SYSTEM, "top_up.succeeded", top_up.id,
        after={"amount_usd": usd_from_nano(top_up.amount_nano)},
    )  # fmt: skip
    emit(organization, "topup.succeeded", _told(top_up))
    log.info("top_up_credited", top_up=top_up.id, amount_nano=top_up.amount_nano)
    if organization.status == Organization.Status.CLOSED:
        # Its owner gave up what was there at closing, and not this.
        reversals.send_back(top_up, reason="The organization was closed before it was paid")
        top_up.refresh_from_db()
        log.error("top_up_after_closing", top_up=top_up.id, amount_nano=top_up.amount_nano)


def _told(top_up: TopUp) -> dict[str, object]:
    return {
        "id": top_up.id,
        "status": top_up.status,
        "source": top_up.source,
        "amount": usd_from_nano(top_up.amount_nano),
        "fee": usd_from_nano(top_up.fee_nano),
        "failure": top_up.failure,
    }


def _check(top_up: TopUp, payment: gate.Payment) -> None:
    customer = customers.profile_of(top_up.organization).stripe_customer_id
    if (
        payment.currency != "usd"
        or payment.amount_nano != top_up.amount_nano + top_up.fee_nano
        or payment.customer != customer
        or top_up.stripe_payment_intent_id not in (None, payment.stripe_id)
    ):
        raise UnexpectedPayment(
            f"{payment.stripe_id} is not the payment of {top_up.id}:"
            f" {usd_from_nano(payment.amount_nano)} {payment.currency}"
        )


def _charge_again(top_up: TopUp) -> None:
    """An automatic top-up whose charge nobody heard the end of: the same charge, by its key."""
    from billing.payments import automatic

    if timezone.now() - top_up.created_at < REPEATABLE_FOR:
        automatic.charge(top_up)
        return
    for payment in gate.payments_since(top_up.created_at - timedelta(minutes=5)):
        if payment.top_up == top_up.id:
            apply(payment)
            return
    fail(top_up, "The payment service did not answer. The payment was never made.", Problem.NONE)


def _is_ours(top_up: str) -> bool:
    return top_up.startswith("top_") and len(top_up) == len("top_") + 32 and top_up[4:].isalnum()
