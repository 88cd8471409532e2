"""Writes on people and organizations."""

import secrets

from django.db import transaction
from django.utils.text import slugify

from accounts.audit import Actor, record
from accounts.errors import InvalidName, NotAllowed
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from accounts.signals import organization_closes

MAX_SLUG = 48
MIN_REASON = 10
# Paths below /o/ that must never be an organization.
RESERVED = frozenset({"new", "api", "admin", "static", "v1"})


@transaction.atomic
def create_organization(*, name: str, owner: User, ip_address: str | None = None) -> Organization:
    """A new organization with its owner. Its slug follows its name and is never another's."""
    name = _proper(name)
    organization = Organization.objects.create(name=name, slug=_free_slug(name))
    Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
    record(
        organization,
        Actor.user(owner, ip_address),
        "organization.created",
        organization.id,
        after={"name": name, "slug": organization.slug},
    )
    return organization


@transaction.atomic
def rename_organization(organization: Organization, name: str, *, actor: Actor) -> None:
    """Another name; addresses stay as they are."""
    name = _proper(name)
    before = organization.name
    if name != before:
        organization.name = name
        organization.save(update_fields=["name"])
        record(
            organization, actor, "organization.renamed", organization.id,
            before={"name": before}, after={"name": name},
        )  # fmt: skip


@transaction.atomic
def close_organization(organization: Organization, *, actor: Actor) -> None:
    """Close it for good: nobody sees it, its keys are revoked, its books are kept.

    Raises ``CannotClose`` where something has to end before.
    """
    locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if locked.status == Organization.Status.CLOSED:
        return
    organization_closes.send(Organization, organization=locked, actor=actor)
    before = locked.status
    locked.status = Organization.Status.CLOSED
    locked.save(update_fields=["status"])
    record(
        locked, actor, "organization.closed", locked.id,
        before={"status": before}, after={"status": locked.status},
    )  # fmt: skip


@transaction.atomic
def suspend_organization(organization: Organization, *, reason: str, actor: Actor) -> bool:
    """Refuse every call of an organization, in every gateway within a second; ``False`` where it is so already.

    Its members still sign in and see why. Raises ``NotAllowed`` without a reason, or for a closed one.
    """
    return _set_status(organization, Organization.Status.SUSPENDED, reason, actor)


@transaction.atomic
def reinstate_organization(organization: Organization, *, reason: str, actor: Actor) -> bool:
    """Let a suspended organization call again; ``False`` where it may already. Raises ``NotAllowed``."""
    return _set_status(organization, Organization.Status.ACTIVE, reason, actor)


def _set_status(organization: Organization, status: str, reason: str, actor: Actor) -> bool:
    reason = " ".join(reason.split())
    if len(reason) < MIN_REASON:
        raise NotAllowed(f"Say why, in at least {MIN_REASON} characters.")
    locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if locked.status == Organization.Status.CLOSED:
        raise NotAllowed(f"{locked.name} was closed by its owner.")
    if locked.status == status:
        return False
    before = locked.status
    locked.status = status
    locked.save(update_fields=["status"])
    record(
        locked, actor, "organization.status_changed", locked.id,
        before={"status": before}, after={"status": status, "reason": reason[:200]},
    )  # fmt: skip
    return True


def _proper(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 120:
        raise InvalidName("Give the organization a name of at most 120 characters.")
    return name


def _free_slug(name: str) -> str:
    base = slugify(name)[:MAX_SLUG].strip("-") or "organization"
    slug = base
    while slug in RESERVED or Organization.objects.filter(slug=slug).exists():
        slug = f"{base}-{secrets.token_hex(3)}"
    return slug
