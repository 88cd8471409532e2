"""Who is calling: a management key, or somebody signed in, as a ``Caller`` in one organization."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from accounts.audit import Actor
from accounts.models import Membership, Organization, User
from accounts.roles import PERMISSIONS, Permission, Role
from keys import secrets
from keys.models import ApiKey, RetiredSecret
from keys.networks import inside, networks_of
from tokenhub.api import limits
from tokenhub.api.problems import Problem

ORGANIZATION_HEADER = "X-Organization"
ORGANIZATION_PARAMETER = "organization"
USED_AGAIN_AFTER = timedelta(minutes=1)
# What a key never does, whoever made it: an organization changes hands between people.
_NEVER_BY_KEY = frozenset({Permission.DELETE_ORGANIZATION})


@dataclass(frozen=True)
class Caller:
    """Who calls, in which organization. Exactly one of ``key`` and ``user`` is set.

    ``shown_to`` is who was shown the very secret that came with the call: a key that is being rotated has several,
    and each can do what its own reader may.
    """

    organization: Organization
    roles: tuple[Role | None, ...]
    ip_address: str | None
    key: ApiKey | None = None
    shown_to: User | None = None
    user: User | None = None

    @property
    def name(self) -> str:
        """What limits and remembered answers are kept under."""
        return self.key.id if self.key else f"user:{self.user.pk}" if self.user else ""

    @property
    def scopes(self) -> frozenset[str]:
        """The key's; somebody signed in is limited by the role alone."""
        return frozenset(self.key.scopes) if self.key else frozenset(ApiKey.Scope.values)

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        """What the role allows; a key has that of who made it and of who was shown its secret, as they are today."""
        allowed = frozenset(Permission)
        for role in self.roles:
            allowed &= PERMISSIONS[role] if role else frozenset()
        return allowed - _NEVER_BY_KEY if self.key else allowed

    @property
    def role(self) -> Role | None:
        """The one that allows least, if there is any."""
        return min(self.roles, key=lambda role: len(PERMISSIONS[role]) if role else 0)

    @property
    def actor(self) -> Actor:
        """For the audit trail."""
        if self.key is not None:
            return Actor.key(self.key.id, self.ip_address)
        assert self.user is not None
        return Actor.user(self.user, self.ip_address)

    @property
    def acting(self) -> User | None:
        """Who acts in person: nobody, where a key does."""
        return self.user

    @property
    def person(self) -> User | None:
        """Who answers for what is done: the one signed in, or who was shown the secret."""
        return self.shown_to if self.key else self.user


class ManagementKey(BaseAuthentication):
    """``Authorization: Bearer thm_…``."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Caller] | None:
        """The caller of a key; ``None`` where no credential of any kind was sent."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        address = request.META.get("REMOTE_ADDR")
        scheme, _, secret = header.partition(" ")
        key, shown_to = _find(secret.strip()) if scheme.lower() == "bearer" else (None, None)
        if key is None or not key.is_active or _is_closed(key.organization):
            limits.guesses(address or "", more=1)
            raise AuthenticationFailed(
                "The key is missing, malformed, unknown, expired or revoked. Send a management key"
                " as “Authorization: Bearer thm_…”."
            )
        if key.kind != ApiKey.Kind.MANAGEMENT:
            message = (
                "This is an inference key, for /v1. The REST API needs a management key (thm_…);"
                " create one on the keys page."
            )
            raise Problem(
                403, "insufficient_scope", message,
                errors=[{"field": "Authorization", "code": "wrong_key_kind", "message": message}],
            )  # fmt: skip
        if key.ip_allowlist and not inside(address, networks_of(key.ip_allowlist)):
            raise Problem(
                403, "address_not_allowed", "This key may not be used from your network address."
            )
        _refuse_suspended(key.organization)
        _note_use(key)
        return AnonymousUser(), Caller(
            key.organization, _roles_of(key, shown_to), address, key=key, shown_to=shown_to
        )  # fmt: skip

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class Session(SessionAuthentication):
    """Somebody signed in to the console. The organization is named by header or query."""

    def authenticate(self, request: Request) -> tuple[User, Caller] | None:
        """The caller of a session; ``None`` where nobody is signed in."""
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        assert isinstance(user, User)
        membership = _membership(user, request)
        _refuse_suspended(membership.organization)
        address = request.META.get("REMOTE_ADDR")
        role = Role(membership.role)
        return user, Caller(membership.organization, (role,), address, user=user)

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied:
            raise Problem(
                403, "csrf_failed",
                "A signed-in browser must send the X-CSRFToken header. Programs use a management key.",
            ) from None  # fmt: skip


def _find(secret: str) -> tuple[ApiKey | None, User | None]:
    """The key that a secret is of, and who was shown that secret."""
    if secrets.kind_of(secret) is None:
        return None, None
    peppers = secrets.peppers(settings.FIELD_ENCRYPTION_KEYS)
    digests = [secrets.digest(secret, pepper) for pepper in peppers]
    keys = ApiKey.objects.select_related("organization", "created_by", "rotated_by")
    found: ApiKey | None = keys.filter(digest__in=digests).first()
    if found is not None:
        return found, found.rotated_by or found.created_by
    # A secret that was rotated out is good until its grace ends.
    retired: RetiredSecret | None = (
        RetiredSecret.objects.select_related("shown_to")
        .filter(digest__in=digests, expires_at__gt=timezone.now())
        .first()
    )
    found = keys.filter(pk=retired.key_id).first() if retired else None
    return (found, retired.shown_to or found.created_by) if retired and found else (None, None)


def _is_closed(organization: Organization) -> bool:
    return organization.status == Organization.Status.CLOSED


def _refuse_suspended(organization: Organization) -> None:
    if organization.status != Organization.Status.ACTIVE:
        raise Problem(
            403, "organization_suspended",
            "This organization is suspended. Write to us through the contact page.",
        )  # fmt: skip


def _roles_of(key: ApiKey, shown_to: User | None) -> tuple[Role | None, ...]:
    """The roles of who made a key and of who was shown the secret. An operator's, made by no member, is an admin's."""
    people = {key.created_by_id, shown_to and shown_to.pk} - {None}
    if not people:
        return (Role.ADMIN,)
    rows = Membership.objects.for_organization(key.organization).filter(
        user__in=people, user__is_active=True
    )
    roles = {membership.user_id: Role(membership.role) for membership in rows}
    return tuple(roles.get(person) for person in people)


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_AGAIN_AFTER)
    if key.last_used_at is None or key.last_used_at < now - USED_AGAIN_AFTER:
        ApiKey.objects.filter(long_ago, pk=key.pk).update(last_used_at=now)


def _membership(user: User, request: Request) -> Membership:
    """The membership meant: the one named, or the only one there is."""
    mine = (
        Membership.objects.select_related("organization")
        .filter(user=user)
        .exclude(organization__status=Organization.Status.CLOSED)
    )
    name = request.headers.get(ORGANIZATION_HEADER) or request.GET.get(ORGANIZATION_PARAMETER)
    if name is None:
        found = list(mine[:2])
        if len(found) == 1:
            only: Membership = found[0]
            return only
        raise Problem(
            400, "organization_required",
            f"Name the organization by its slug or id in the {ORGANIZATION_HEADER} header, or as"
            f" ?{ORGANIZATION_PARAMETER}=.",
        )  # fmt: skip
    by_id = name.startswith("org_")
    try:
        membership: Membership | None = mine.filter(
            **{"organization" if by_id else "organization__slug": name}
        ).first()
    except ValidationError:
        membership = None
    if membership is None:
        raise Problem(404, "not_found", "There is no such organization.")
    return membership
