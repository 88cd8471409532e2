"""A person's own account: what is known of them, and how it ends."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.errors import NotAllowed
from accounts.members import remove, shut_out
from accounts.models import AuditEvent, Membership, Organization, User
from accounts.notifications import choices_of
from accounts.roles import Role

MOST_EVENTS = 10_000


def left_without_owner(user: User) -> list[Organization]:
    """Organizations that would lose their last owner with this person."""
    mine = Membership.objects.filter(user=user, role=Role.OWNER).exclude(
        organization__status=Organization.Status.CLOSED
    )
    return [
        each.organization
        for each in mine.select_related("organization").order_by("organization__name")
        if not Membership.objects.for_organization(each.organization)
        .filter(role=Role.OWNER)
        .exclude(user=user)
        .exists()
    ]


@transaction.atomic
def delete_account(user: User, *, ip_address: str | None) -> None:
    """End an account for good: memberships, keys made by it, sessions, second factors, addresses.

    What organizations have on record stays theirs: usage, ledger and audit trail, in which the address
    stands as text. Raises ``NotAllowed`` where an organization would be left without an owner, and for who
    operates the platform or did: what operators did stays on record.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.is_staff or LogEntry.objects.filter(user=user).exists():
        raise NotAllowed(
            "What operators of the platform did stays on record with their account. Ask another operator to"
            " close yours."
        )
    alone = left_without_owner(user)
    if alone:
        names = ", ".join(each.name for each in alone)
        raise NotAllowed(f"You are the only owner of {names}. Make somebody else one, or close it.")
    actor = Actor.user(user, ip_address)
    for membership in Membership.objects.filter(user=user).select_related("organization", "user"):
        if membership.organization.status != Organization.Status.CLOSED:
            remove(membership, by=user, actor=actor)
    address = user.email
    for session in UserSession.objects.filter(user=user):
        session.end()
    user.delete()
    transaction.on_commit(lambda: _say_goodbye(address))


@transaction.atomic
def switch_off(user: User, *, actor: Actor) -> None:
    """Let nobody in with an account until an operator switches it on again.

    Its sessions end; in every organization its keys and invitations do, as when leaving. Its memberships stay.
    """
    User.objects.filter(pk=user.pk).update(is_active=False)
    for membership in Membership.objects.filter(user=user).select_related("organization", "user"):
        if membership.organization.status != Organization.Status.CLOSED:
            shut_out(membership, actor=actor)
            record(membership.organization, actor, "member.switched_off", user.email)
    for session in UserSession.objects.filter(user=user):
        session.end()


def export(user: User) -> dict[str, Any]:
    """Everything that is known of a person, as JSON; secrets are none of it."""
    return {
        "exported_at": _iso(timezone.now()),
        "account": {
            "email": user.email,
            "name": user.name,
            "joined_at": _iso(user.date_joined),
            "last_sign_in_at": _iso(user.last_login),
            "theme": user.theme,
            "keyboard_shortcuts": user.keyboard_shortcuts,
        },
        "email_addresses": list(
            EmailAddress.objects.filter(user=user).values("email", "verified", "primary")
        ),
        "connected_accounts": [
            {"provider": each.provider, "uid": each.uid, "connected_at": _iso(each.date_joined)}
            for each in SocialAccount.objects.filter(user=user)
        ],
        "second_factors": [
            {"type": each.type, "added_at": _iso(each.created_at), "last_used_at": _iso(each.last_used_at)}
            for each in Authenticator.objects.filter(user=user)
        ],
        "sessions": [
            {"ip": each.ip, "browser": each.user_agent, "signed_in_at": _iso(each.created_at)}
            for each in UserSession.objects.filter(user=user)
        ],
        "organizations": [
            {"name": each.organization.name, "slug": each.organization.slug, "role": each.role,
             "joined_at": _iso(each.created_at)}
            for each in Membership.objects.filter(user=user).select_related("organization")
        ],
        "notifications": {
            category: channels._asdict() for category, channels in choices_of(user).items()
        },
        "actions": [
            {"at": _iso(each.created_at), "organization": each.organization.slug, "action": each.action,
             "target": each.target, "ip": each.ip_address}
            for each in AuditEvent.objects.filter(
                actor_kind=AuditEvent.Actor.USER, actor=user.email
            ).select_related("organization")[:MOST_EVENTS]
        ],
    }  # fmt: skip


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _say_goodbye(address: str) -> None:
    EmailMessage(
        "TokenHub: your account was deleted",
        "Your account on TokenHub was deleted, with its sessions, second factors and the API keys you"
        " made. What your organizations have on record stays theirs.\n\nIf that was not you, write to"
        " us at once.\n",
        to=[address],
    ).send()
