"""Automatic top-ups: the balance refills itself, one payment at a time, within a monthly limit."""

from datetime import datetime

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization
from billing import alerts
from billing.errors import InvalidAmount, PaymentRefused, PaymentsAway
from billing.models import Account, AutomaticTopUp, PaymentMethod, TopUp
from billing.money import usd_from_nano
from billing.payments import customers, gate, topups

log = structlog.get_logger(__name__)

Problem = AutomaticTopUp.Problem


@transaction.atomic
def configure(
    organization: Organization,
    *,
    enabled: bool,
    threshold_nano: int,
    amount_nano: int,
    monthly_cap_nano: int,
    payment_method: PaymentMethod | None,
    actor: Actor,
) -> AutomaticTopUp:
    """Set when and how the balance refills itself. Raises ``InvalidAmount`` for what makes no sense."""
    topups.check_amount(amount_nano)
    if threshold_nano <= 0:
        raise InvalidAmount("The threshold is more than zero.")
    if monthly_cap_nano < amount_nano:
        raise InvalidAmount("The monthly limit must allow at least one top-up.")
    if enabled and payment_method is None:
        raise InvalidAmount("An automatic top-up needs a saved card.")
    assert payment_method is None or payment_method.organization_id == organization.id
    setting: AutomaticTopUp
    setting, _ = AutomaticTopUp.objects.update_or_create(
        organization=organization,
        defaults={
            "enabled": enabled,
            "threshold_nano": threshold_nano,
            "amount_nano": amount_nano,
            "monthly_cap_nano": monthly_cap_nano,
            "payment_method": payment_method,
            "problem": "",
            "failures": 0,
            "paused_until": None,
        },
    )
    record(
        organization, actor, "automatic_top_up.changed", str(organization.id),
        after={
            "enabled": enabled, "threshold_usd": usd_from_nano(threshold_nano),
            "amount_usd": usd_from_nano(amount_nano), "cap_usd": usd_from_nano(monthly_cap_nano),
        },
    )  # fmt: skip
    return setting


def due() -> list[Organization]:
    """Organizations whose balance has fallen below their threshold, and whom nothing holds back."""
    low = Account.objects.filter(
        kind=Account.Kind.WALLET,
        organization_id__in=AutomaticTopUp.objects.filter(enabled=True).values("organization_id"),
    ).select_related("organization")
    settings = {
        setting.organization_id: setting
        for setting in AutomaticTopUp.objects.filter(_may_run(timezone.now()))
    }
    return [
        wallet.organization
        for wallet in low
        if (setting := settings.get(wallet.organization_id)) is not None
        and _is_low(wallet, setting)
    ]


def run(organization: Organization) -> TopUp | None:
    """Top up an organization that is due, once however many ask at once; ``None`` where it is not due."""
    top_up = _claim(organization)
    if top_up is not None:
        charge(top_up)
        top_up.refresh_from_db()
    return top_up


def charge(top_up: TopUp) -> None:
    """Charge the saved card for an open automatic top-up; repeated, it is the same charge.

    Where Stripe does not answer, the top-up stays open and is asked about again.
    """
    organization = top_up.organization
    setting = AutomaticTopUp.objects.get(organization=organization)
    if setting.payment_method is None:
        topups.fail(top_up, "No card is saved.", Problem.NO_CARD)
        return
    try:
        payment = gate.charge_saved_card(
            customer=customers.customer_of(organization, None),
            payment_method=setting.payment_method.stripe_id,
            top_up=top_up.id,
            organization=organization.id,
            amount_nano=top_up.amount_nano,
        )
    except PaymentsAway:
        log.warning("automatic_top_up_unknown", top_up=top_up.id)
        return
    except PaymentRefused as error:
        topups.fail(top_up, str(error), Problem.DECLINED)
        return
    topups.apply(payment)


def waits_for_withheld(organization: Organization) -> bool:
    """Whether automatic top-ups wait because money is withheld, for a dispute or for a refund made at Stripe."""
    wallet = Account.objects.for_organization(organization).filter(kind=Account.Kind.WALLET)
    return bool(wallet.filter(frozen_nano__gt=0).exists())


@transaction.atomic
def _claim(organization: Organization) -> TopUp | None:
    # The wallet first, as every writer does: a payment that is just being credited is waited for.
    wallet = _lock(organization)
    setting = (
        AutomaticTopUp.objects.select_for_update()
        .filter(_may_run(timezone.now()), organization=organization)
        .first()
    )
    if setting is None:
        return None
    if not _is_low(wallet, setting):
        return None
    spent_nano = spent_this_month(organization)
    if spent_nano + setting.amount_nano > setting.monthly_cap_nano:
        AutomaticTopUp.objects.filter(pk=setting.pk).update(problem=Problem.CAP)
        alerts.automatic_top_up_capped(organization, spent_nano, setting.monthly_cap_nano)
        return None
    try:
        with transaction.atomic():
            made: TopUp = TopUp.objects.create(
                organization=organization,
                source=TopUp.Source.AUTOMATIC,
                amount_nano=setting.amount_nano,
            )
    except IntegrityError:  # one is open already: the partial unique index says so
        return None
    return made


def spent_this_month(organization: Organization) -> int:
    """What automatic top-ups came to this month in UTC, open ones included; nano-USD."""
    now = timezone.now()
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spent: int | None = (
        TopUp.objects.for_organization(organization)
        .filter(source=TopUp.Source.AUTOMATIC, created_at__gte=first)
        .exclude(status=TopUp.Status.FAILED)
        .aggregate(sum=Sum("amount_nano"))["sum"]
    )
    return spent or 0


def _lock(organization: Organization) -> Account:
    wallet: Account = Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )
    return wallet


def _may_run(now: datetime) -> Q:
    """What the bank wants confirmed, and what has no card, waits for a person; the rest cools off."""
    return (
        Q(enabled=True)
        & (Q(paused_until=None) | Q(paused_until__lte=now))
        & ~Q(problem__in=[Problem.AUTHENTICATION, Problem.NO_CARD])
    )


def _is_low(wallet: Account, setting: AutomaticTopUp) -> bool:
    # What is withheld would take one top-up after another, at once, from a card that is disputed perhaps.
    return not wallet.frozen_nano and wallet.balance_nano < setting.threshold_nano
