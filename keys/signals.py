"""Keys do not outlive who made them, nor their organization."""

from typing import Any

from django.dispatch import receiver

from accounts.audit import Actor
from accounts.models import Membership, Organization
from accounts.signals import member_leaves, organization_closes
from keys.leaving import keys_of, keys_with_an_old_secret_of
from keys.models import ApiKey
from keys.services import end_grace, revoke


@receiver(member_leaves)
def revoke_keys_of_a_leaving_member(membership: Membership, actor: Actor, **_: Any) -> None:
    """What somebody may have copied stops working when they leave, or their account is switched off."""
    for key in keys_of(membership):
        revoke(key, actor=actor)
    # What somebody else rotated since is theirs; only the secret before, in its grace, is the leaver's.
    for key in keys_with_an_old_secret_of(membership):
        end_grace(key, actor=actor, shown_to=membership.user_id)


@receiver(organization_closes)
def revoke_every_key(organization: Organization, actor: Actor, **_: Any) -> None:
    """A closed organization makes no calls."""
    for key in ApiKey.with_hidden.for_organization(organization).filter(revoked_at=None):
        revoke(key, actor=actor)
