"""What people want to hear of, and how: in the console and by mail, by category.

A row stands only for a choice that differs from the default, so that a new category begins with its own.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Membership, NotificationChoice, Organization, User
from accounts.roles import Permission, roles_that_may

Category = NotificationChoice.Category
# Whoever has an account is told of these by mail: they concern its safety, or are documents.
ALWAYS_MAILED = frozenset({Category.SECURITY, Category.INVOICES})


class Channels(NamedTuple):
    """The ways in which somebody is told of a category."""

    in_app: bool
    email: bool


def default_of(category: str) -> Channels:
    """What holds until somebody chooses: everything, but news only in the console."""
    return Channels(in_app=True, email=category != Category.NEWS)


def choices_of(user: User) -> dict[str, Channels]:
    """Every category and how a person is told of it."""
    chosen = {
        row.category: Channels(row.in_app, row.email)
        for row in NotificationChoice.objects.filter(user=user)
    }
    return {
        category: _kept_to(category, chosen.get(category, default_of(category)))
        for category in Category.values
    }


@transaction.atomic
def choose(user: User, wanted: Mapping[str, Channels]) -> None:
    """Set how a person is told; what must be mailed is mailed whatever is asked."""
    for category, channels in wanted.items():
        channels = _kept_to(category, channels)
        if channels == default_of(category):
            NotificationChoice.objects.filter(user=user, category=category).delete()
        else:
            NotificationChoice.objects.update_or_create(
                user=user, category=category, defaults=channels._asdict()
            )


def addresses(organization: Organization, category: str, permission: Permission) -> list[str]:
    """Whom to mail about an organization: members who have the permission and want such mail."""
    members = (
        Membership.objects.for_organization(organization)
        .filter(role__in=roles_that_may(permission), user__is_active=True)
        .order_by("user__email")
    )
    if category not in ALWAYS_MAILED:
        members = members.exclude(user__in=users_without_mail(category))
    return list(members.values_list("user__email", flat=True))


def users_without_mail(category: str) -> "QuerySet[NotificationChoice, Any]":
    """The ids of people who chose not to be mailed about a category, to ask within another query."""
    return NotificationChoice.objects.filter(category=category, email=False).values("user_id")


def _kept_to(category: str, channels: Channels) -> Channels:
    return channels._replace(email=channels.email or category in ALWAYS_MAILED)
