"""What a member may have copied of an organization's keys: it stops working when they leave."""

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Membership
from keys.models import ApiKey, RetiredSecret
from keys.services import perhaps_shown_to


def keys_of(membership: Membership) -> QuerySet[ApiKey]:
    """The keys whose present secret a member was shown, or that are theirs: they made or last rotated them."""
    theirs = Q(created_by=membership.user_id) | Q(rotated_by=membership.user_id)
    found: QuerySet[ApiKey] = ApiKey.objects.for_organization(membership.organization)
    return found.filter(theirs, revoked_at=None)


def keys_with_an_old_secret_of(membership: Membership) -> QuerySet[ApiKey]:
    """Other keys that still answer to a secret from before which a member was shown."""
    old = RetiredSecret.objects.for_organization(membership.organization).filter(
        perhaps_shown_to(membership.user_id), expires_at__gt=timezone.now()
    )
    found: QuerySet[ApiKey] = ApiKey.objects.for_organization(membership.organization)
    return found.filter(revoked_at=None, pk__in=old.values("key")).exclude(
        pk__in=keys_of(membership).values("pk")
    )
