"""Who pays: an organization's billing profile, its customer at Stripe, and its saved cards."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization, User
from billing.models import AutomaticTopUp, BillingProfile, PaymentMethod
from billing.payments import gate


def profile_of(organization: Organization) -> BillingProfile:
    """The billing profile; an empty one where none was filled in."""
    found: BillingProfile
    found, _ = BillingProfile.objects.get_or_create(organization=organization)
    return found


@transaction.atomic
def change_profile(
    organization: Organization, fields: dict[str, Any], *, actor: Actor
) -> BillingProfile:
    """Fill in the billing profile; documents from now on carry it."""
    profile = profile_of(organization)
    before = profile.snapshot()
    for name, value in fields.items():
        setattr(profile, name, value)
    profile.save(update_fields=list(fields))
    record(
        organization, actor, "billing_profile.changed", str(organization.id),
        before=before, after=profile.snapshot(),
    )  # fmt: skip
    return profile


def customer_of(organization: Organization, user: User | None) -> str:
    """The organization's id at Stripe, made there with the first payment."""
    profile = profile_of(organization)
    if profile.stripe_customer_id is None:
        made = gate.create_customer(
            organization.id,
            profile.legal_name or organization.name,
            profile.email or (user.email if user else ""),
        )
        BillingProfile.objects.filter(pk=profile.pk, stripe_customer_id=None).update(
            stripe_customer_id=made
        )
        profile.refresh_from_db()
    assert profile.stripe_customer_id is not None
    return profile.stripe_customer_id


def cards_of(organization: Organization) -> list[PaymentMethod]:
    """The saved cards, the oldest first."""
    return list(PaymentMethod.objects.for_organization(organization).filter(removed_at=None))


def keep_card(organization: Organization, card: gate.Card) -> PaymentMethod | None:
    """Remember a card that Stripe keeps for this organization; nobody else's."""
    if profile_of(organization).stripe_customer_id != card.customer:
        return None
    kept: PaymentMethod
    kept, _ = PaymentMethod.objects.get_or_create(
        stripe_id=card.stripe_id,
        defaults={
            "organization": organization,
            "brand": card.brand[:20],
            "last4": card.last4[:4],
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
        },
    )
    AutomaticTopUp.objects.for_organization(organization).filter(payment_method=None).update(
        payment_method=kept
    )
    return kept


def open_setup(
    organization: Organization, user: User, *, attempt: str, return_url: str, cancel_url: str
) -> str:
    """The address of a hosted page to save a card on, without paying anything."""
    customer = customer_of(organization, user)
    return gate.open_setup(
        customer=customer, organization=organization.id, attempt=attempt,
        return_url=return_url, cancel_url=cancel_url,
    ).url  # fmt: skip


def finish_setup(session: gate.Session) -> PaymentMethod | None:
    """Remember the card of a finished visit; safe to repeat."""
    organization = Organization.objects.by_slug_or_id(session.organization)
    if organization is None or not session.setup:
        return None
    card = gate.card_of_setup(session.setup)
    return keep_card(organization, card) if card else None


def remove_card(organization: Organization, method: PaymentMethod, *, actor: Actor) -> None:
    """Have Stripe and us forget a card; an automatic top-up that used it stops."""
    assert method.organization_id == organization.id
    gate.detach_card(method.stripe_id)
    with transaction.atomic():
        forget_card(method.stripe_id)
        record(organization, actor, "payment_method.removed", str(method))


def forget_card(stripe_id: str) -> PaymentMethod | None:
    """A card that Stripe no longer keeps; ``None`` for one we never had."""
    known: PaymentMethod | None = PaymentMethod.objects.filter(stripe_id=stripe_id).first()
    PaymentMethod.objects.filter(stripe_id=stripe_id, removed_at=None).update(
        removed_at=timezone.now()
    )
    AutomaticTopUp.objects.filter(payment_method__stripe_id=stripe_id).update(
        payment_method=None, enabled=False, problem=AutomaticTopUp.Problem.NO_CARD
    )
    return known
