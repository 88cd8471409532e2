"""Keys do not outlive who made them, nor their organization."""

from typing import Any

from django.db.models import Q
from django.dispatch import receiver
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Membership, Organization
from accounts.signals import member_leaves, organization_closes
from keys.models import ApiKey, RetiredSecret
from keys.services import end_grace, perhaps_shown_to, revoke


@receiver(member_leaves)
def revoke_keys_of_a_leaving_member(membership: Membership, actor: Actor, **_: Any) -> None:
    """What somebody may have copied stops working when they leave, or their account is switched off."""
    for key in ApiKey.objects.for_organization(membership.organization).filter(
        Q(created_by=membership.user_id) | Q(rotated_by=membership.user_id), revoked_at=None
    ):
        revoke(key, actor=actor)
    # What somebody else rotated since is theirs; only the secret before, in its grace, is the leaver's.
    theirs = RetiredSecret.objects.for_organization(membership.organization).filter(
        perhaps_shown_to(membership.user_id), expires_at__gt=timezone.now()
    )
    for key in ApiKey.objects.for_organization(membership.organization).filter(
        revoked_at=None, pk__in=theirs.values("key")
    ):
        end_grace(key, actor=actor, shown_to=membership.user_id)


@receiver(organization_closes)
def revoke_every_key(organization: Organization, actor: Actor, **_: Any) -> None:
    """A closed organization makes no calls."""
    for key in ApiKey.with_hidden.for_organization(organization).filter(revoked_at=None):
        revoke(key, actor=actor)
