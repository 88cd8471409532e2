"""Who belongs to an organization: invitations, roles, leaving, ownership.

An owner is only made, changed or removed by an owner or an operator, and an organization always has one: the
database refuses to lose the last. ``by`` is nobody where a management key acts: no program is an owner.
"""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.errors import InvitationUnusable, NotAllowed
from accounts.models import AuditEvent, Invitation, Membership, Organization, User
from accounts.roles import Permission, Role, allows
from accounts.signals import member_leaves

VALID_FOR = timedelta(days=7)
MAX_OPEN = 100
LAST_OWNER = "An organization needs an owner. Make somebody else one first."


@transaction.atomic
def invite(
    organization: Organization,
    email: str,
    role: str,
    *,
    by: User | None,
    actor: Actor,
    answers: User | None = None,
) -> Invitation:
    """Mail somebody a link that makes them a member for seven days; a second one replaces the first.

    It holds as long as ``by`` may give that role, or who ``answers`` for the key that acts. Raises
    ``NotAllowed`` for who is a member already, and for an owner invited by anybody else.
    """
    _lock(organization)
    email = email.strip().lower()
    if role == Role.OWNER and not _is_owner(organization, by):
        raise NotAllowed("Only an owner can invite another one.")
    if organization.memberships.filter(user__email__iexact=email).exists():
        raise NotAllowed(f"{email} is a member already.")
    now = timezone.now()
    waiting = Invitation.objects.for_organization(organization).filter(
        accepted_at=None, revoked_at=None
    )
    waiting.filter(email__iexact=email).update(revoked_at=now)
    if waiting.filter(expires_at__gt=now).count() >= MAX_OPEN:
        raise NotAllowed(f"{MAX_OPEN} invitations are open. Revoke some first.")
    token = secrets.token_urlsafe(32)
    made: Invitation = Invitation.objects.create(
        organization=organization, email=email, role=role, digest=_digest(token),
        invited_by=by or answers,
        expires_at=now + VALID_FOR,
    )  # fmt: skip
    record(organization, actor, "member.invited", email, after={"role": role})
    transaction.on_commit(lambda: _mail(made, token))
    return made


@transaction.atomic
def revoke_invitation(invitation: Invitation, *, actor: Actor) -> None:
    """Take an open invitation back; one that is over stays as it is."""
    changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if changed:
        record(invitation.organization, actor, "invitation.revoked", invitation.email)


@transaction.atomic
def change_invitation(
    invitation: Invitation,
    role: str,
    *,
    by: User | None,
    actor: Actor,
    answers: User | None = None,
) -> Invitation:
    """Have an open invitation make its reader something else; the mailed link stays.

    It is theirs from now on who changed it, as in ``invite``. Raises ``NotAllowed`` where one of the
    roles is owner and nobody who is one asks, and ``InvitationUnusable`` for an invitation that is over.
    """
    _lock(invitation.organization)
    found: Invitation = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("organization", "invited_by")
        .get(pk=invitation.pk)
    )
    if reason := why_not(found, None):
        raise InvitationUnusable(reason)
    if Role.OWNER in (role, found.role) and not _is_owner(found.organization, by):
        raise NotAllowed("Only an owner can invite another one.")
    before = found.role
    if role != before:
        found.role, found.invited_by = role, by or answers
        found.save(update_fields=["role", "invited_by"])
        record(
            found.organization, actor, "invitation.changed", found.email,
            before={"role": before}, after={"role": role},
        )  # fmt: skip
    return found


def invitation_of(token: str) -> Invitation | None:
    """The invitation that a mailed link stands for, whatever has become of it."""
    found: Invitation | None = (
        Invitation.objects.select_related("organization", "invited_by")
        .filter(digest=_digest(token))
        .first()
    )
    return found


@transaction.atomic
def accept(invitation: Invitation, user: User, *, ip_address: str | None) -> Membership:
    """Make who reads the invited address a member. Raises ``InvitationUnusable`` with the reason."""
    _lock(invitation.organization)
    invitation = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=invitation.pk)
    )
    if reason := why_not(invitation, user):
        raise InvitationUnusable(reason)
    made, is_new = Membership.objects.get_or_create(
        organization=invitation.organization, user=user, defaults={"role": invitation.role}
    )
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    if is_new:
        record(
            invitation.organization, Actor.user(user, ip_address), "member.joined", user.email,
            after={"role": invitation.role},
        )  # fmt: skip
    return made


def why_not(invitation: Invitation, user: User | None) -> str:
    """Why an invitation cannot be accepted, in a sentence; empty where it can."""
    if invitation.accepted_at is not None:
        return "This invitation was used already."
    if invitation.revoked_at is not None:
        return "This invitation was taken back. Ask for another one."
    if invitation.expires_at <= timezone.now():
        return "This invitation has expired. Ask for another one."
    if invitation.organization.status == Organization.Status.CLOSED:
        return "This organization was closed."
    if user is not None and not _reads(user, invitation.email):
        return (
            f"This invitation is for {invitation.email}, and you are signed in as {user.email}."
            " Sign in with that address, or add it to your account."
        )
    return ""


@transaction.atomic
def change_role(membership: Membership, role: str, *, by: User | None, actor: Actor) -> None:
    """Give a member another role; invitations they could not send now are revoked. Raises ``NotAllowed``."""
    organization = membership.organization
    _lock(organization)
    membership = Membership.objects.select_for_update().get(pk=membership.pk)
    before = membership.role
    if role == before:
        return
    if Role.OWNER in (role, before) and not _rules_owners(organization, by, actor):
        raise NotAllowed("Only an owner can make or change an owner.")
    if before == Role.OWNER and _needs_its_only_owner(organization):
        raise NotAllowed(LAST_OWNER)
    membership.role = role
    membership.save(update_fields=["role"])
    record(
        organization, actor, "member.role_changed", membership.user.email,
        before={"role": before}, after={"role": role},
    )  # fmt: skip
    _take_back(membership, role, actor)


@transaction.atomic
def remove(membership: Membership, *, by: User | None, actor: Actor) -> None:
    """End a membership, one's own too, with their API keys and invitations. Raises ``NotAllowed``."""
    organization = membership.organization
    _lock(organization)
    found = Membership.objects.select_for_update().filter(pk=membership.pk).first()
    if found is None:
        return
    if found.role == Role.OWNER and not _rules_owners(organization, by, actor):
        raise NotAllowed("Only an owner can remove an owner.")
    if found.role == Role.OWNER and _needs_its_only_owner(organization):
        raise NotAllowed(LAST_OWNER)
    shut_out(found, actor=actor)
    left = by is not None and found.user_id == by.pk
    record(
        organization, actor, "member.left" if left else "member.removed", found.user.email,
        before={"role": found.role},
    )  # fmt: skip
    found.delete()


@transaction.atomic
def shut_out(membership: Membership, *, actor: Actor) -> None:
    """End what a member could still come in by: the API keys they were shown, and whom they invited."""
    member_leaves.send(Membership, membership=membership, actor=actor)
    _take_back(membership, None, actor)


@transaction.atomic
def transfer_ownership(
    organization: Organization, to: Membership, *, by: User, actor: Actor
) -> None:
    """Make a member the owner and oneself an admin. Raises ``NotAllowed``."""
    _lock(organization)
    assert to.organization_id == organization.id
    if not _is_owner(organization, by):
        raise NotAllowed("Only an owner can hand over the organization.")
    if to.user_id == by.pk:
        raise NotAllowed("You own it already.")
    change_role(to, Role.OWNER, by=by, actor=actor)
    change_role(
        Membership.objects.get(organization=organization, user=by), Role.ADMIN, by=by, actor=actor
    )


def _lock(organization: Organization) -> None:
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def _needs_its_only_owner(organization: Organization) -> bool:
    """Whether it has a single owner; one that is closed needs none, as in the database."""
    owners = organization.memberships.filter(role=Role.OWNER)
    closed = Organization.Status.CLOSED
    return owners.exclude(organization__status=closed).count() == 1


def _is_owner(organization: Organization, user: User | None) -> bool:
    return user is not None and organization.memberships.filter(user=user, role=Role.OWNER).exists()


def _rules_owners(organization: Organization, by: User | None, actor: Actor) -> bool:
    return actor.kind == AuditEvent.Actor.STAFF or _is_owner(organization, by)


def _take_back(membership: Membership, role: str | None, actor: Actor) -> None:
    """Revoke the open invitations of a member that one with this role could not send; without a role, all."""
    theirs = Invitation.objects.for_organization(membership.organization).filter(
        invited_by=membership.user_id, accepted_at=None, revoked_at=None
    )
    for invitation in theirs.select_related("organization"):
        may = role is not None and allows(role, Permission.MANAGE_MEMBERS)
        if not may or (invitation.role == Role.OWNER and role != Role.OWNER):
            revoke_invitation(invitation, actor=actor)


def _reads(user: User, email: str) -> bool:
    # Imported late: allauth's model refers to ours.
    from allauth.account.models import EmailAddress

    return bool(EmailAddress.objects.filter(user=user, email__iexact=email, verified=True).exists())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _mail(invitation: Invitation, token: str) -> None:
    organization = invitation.organization
    inviter = invitation.invited_by.email if invitation.invited_by else "An administrator"
    link = settings.PUBLIC_URL + reverse("invitation", args=[token])
    EmailMessage(
        f"TokenHub: {inviter} invites you to {_one_line(organization.name)}",
        f"{inviter} invites you to the organization {_one_line(organization.name)} on TokenHub, as"
        f" {Role(invitation.role).label}.\n\nTo join, open\n{link}\n\n"
        f"The link is for {invitation.email} and works until"
        f" {invitation.expires_at:%d %B %Y, %H:%M} UTC. If you did not expect it, do nothing.\n",
        to=[invitation.email],
    ).send()


def _one_line(text: str) -> str:
    return " ".join(text.split())
