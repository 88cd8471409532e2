"""An organization has its accounts and terms from its first moment."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.errors import CannotClose
from accounts.models import Organization
from accounts.signals import organization_closes
from billing.models import Account, AutomaticTopUp, Dispute, Refund, Subscription, TopUp
from billing.payments import outbox
from billing.plans import subscription_of
from billing.services import open_accounts


@receiver(post_save, sender=Organization)
def open_accounts_of_new_organization(instance: Organization, created: bool, **_: Any) -> None:
    """Runs in the transaction that creates the organization."""
    if created:
        open_accounts(instance)


@receiver(organization_closes)
def settle_before_closing(organization: Organization, **_: Any) -> None:
    """Nothing that is paid for goes on, and no payment is left open."""
    # What is being paid at this moment is either seen below, or sees the organization closed.
    Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )
    held = subscription_of(organization)
    if held is not None and held.source == Subscription.Source.STRIPE and held.ends_at is None:
        raise CannotClose(f"End the {held.plan.name} plan first: it would go on being charged.")
    for model, words in (
        (
            TopUp.objects.filter(status=TopUp.Status.PENDING, source=TopUp.Source.AUTOMATIC),
            "payment",
        ),
        (Refund.objects.filter(status=Refund.Status.PENDING), "refund"),
        (Dispute.objects.filter(status=Dispute.Status.OPEN), "disputed payment"),
    ):
        if model.filter(organization=organization).exists():
            raise CannotClose(f"A {words} is still open. Try again when it is settled.")
    AutomaticTopUp.objects.filter(organization=organization).update(enabled=False)
    outbox.expire_pages(organization, only_plans=False, reason="The organization was closed.")
