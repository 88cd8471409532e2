"""The one way into an organization's pages: who is asking, are they a member, may they do this."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import structlog
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control

from accounts.audit import Actor
from accounts.models import Membership, Organization, User
from accounts.roles import PERMISSIONS, Permission, Role

P = ParamSpec("P")
LAST_ORGANIZATION = "last_organization"
SIGNED_IN_AT = "signed_in_at"


class OrganizationRequest(HttpRequest):
    """A request of a member, inside an organization."""

    user: User
    organization: Organization
    my_organizations: list[Organization]
    membership: Membership
    permissions: frozenset[Permission]


def organization_view(
    permission: Permission, *, recently_signed_in: bool = False
) -> Callable[
    [Callable[Concatenate[OrganizationRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, str, P], HttpResponseBase],
]:
    """Guard a view below ``/o/<slug>/``.

    Nobody signed in: to the sign-in page. Not a member, or no such organization: 404, the same. A
    member whose role lacks ``permission``: 403. With ``recently_signed_in``, who signed in a while
    ago does so again before. The view gets ``request.organization``, ``request.membership``.
    """

    def guard(
        view: Callable[Concatenate[OrganizationRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, str, P], HttpResponseBase]:
        @wraps(view)
        @login_required
        def guarded(
            request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponseBase:
            assert isinstance(request.user, User)
            mine = _memberships(request.user)
            membership = next((each for each in mine if each.organization.slug == slug), None)
            if membership is None:
                raise Http404("No such organization.")
            inside: Any = request
            inside.organization = membership.organization
            inside.my_organizations = [each.organization for each in mine]
            inside.membership = membership
            inside.permissions = PERMISSIONS[Role(membership.role)]
            structlog.contextvars.bind_contextvars(organization=membership.organization.id)
            if request.session.get(LAST_ORGANIZATION) != slug:
                request.session[LAST_ORGANIZATION] = slug
            if permission not in inside.permissions:
                raise PermissionDenied(roles_with(permission))
            if recently_signed_in and not signed_in_recently(request, request.user):
                # allauth asks, and then does what was asked for: a form that was sent is kept.
                raise ReauthenticationRequired
            response = view(inside, *args, **kwargs)
            # What is behind the sign-in must not be read from a cache after signing out.
            patch_cache_control(response, private=True, no_store=True)
            return response

        return guarded  # type: ignore[return-value]  # mypy keeps the parameter names

    return guard


def _memberships(user: User) -> list[Membership]:
    """Somebody's places in organizations that are open: the one asked for, and those to switch to."""
    found = Membership.objects.filter(user=user).select_related("organization")
    found = found.exclude(organization__status=Organization.Status.CLOSED)
    return list(found.order_by("organization__name", "organization_id"))


@receiver(user_logged_in)
def note_when(request: HttpRequest, **_: Any) -> None:
    """However somebody came in: by password, code, passkey, or having just signed up."""
    request.session[SIGNED_IN_AT] = time.time()


def signed_in_recently(request: HttpRequest, user: User) -> bool:
    """Whether somebody proved who they are a short while ago."""
    records = get_authentication_records(request, user)
    at = max(request.session.get(SIGNED_IN_AT, 0), *(record["at"] for record in records), 0)
    return float(at) > time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def roles_with(permission: Permission) -> str:
    """The roles that may do something, for people: “Owner or Admin”."""
    names = [role.label for role in Role if permission in PERMISSIONS[role]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def actor(request: HttpRequest) -> Actor:
    """Who acts in a request, for the audit trail."""
    assert isinstance(request.user, User)
    return Actor.user(request.user, request.META.get("REMOTE_ADDR"))
