"""Members: who they are, what they may do, who is invited; coming in and leaving."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import members as service
from accounts.access import OrganizationRequest, actor, organization_view
from accounts.errors import AccountError
from accounts.forms import InvitationForm, RoleForm
from accounts.models import Invitation, Membership, User
from accounts.roles import PERMISSIONS, Permission, Role
from keys.leaving import keys_of, keys_with_an_old_secret_of
from tokenhub.web.doors import limited, may_knock

INVITATIONS_PER_HOUR = 60


@organization_view(Permission.VIEW)
def members(request: OrganizationRequest) -> HttpResponse:
    """Everybody with their roles, the open invitations, and what each role may do."""
    return render(request, "console/members.html", _context(request, InvitationForm()))


@organization_view(Permission.MANAGE_MEMBERS, recently_signed_in=True)
def member_invite(request: OrganizationRequest) -> HttpResponse:
    """Mail somebody an invitation."""
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and not _may_invite(request):
        form.add_error(
            "email", "That is more mail than we send for one organization. Try in an hour."
        )
    elif request.method == "POST" and form.is_valid():
        try:
            made = service.invite(
                request.organization,
                form.cleaned_data["email"],
                form.cleaned_data["role"],
                by=request.user,
                actor=actor(request),
            )
        except AccountError as error:
            form.add_error("email", str(error))
        else:
            messages.success(
                request, f"{made.email} is invited; the link in the mail works for seven days."
            )
            return redirect("members", request.organization.slug)
    status = 422 if form.is_bound else 200
    return render(request, "console/members.html", _context(request, form), status=status)


@require_POST
@organization_view(Permission.MANAGE_MEMBERS, recently_signed_in=True)
def invitation_revoke(request: OrganizationRequest, invitation_id: str) -> HttpResponse:
    """Take an invitation back."""
    found: Invitation | None = Invitation.objects.for_organization(request.organization).by_id(
        invitation_id
    )
    if found is None:
        raise Http404("No such invitation.")
    service.revoke_invitation(found, actor=actor(request))
    messages.success(request, f"The invitation of {found.email} is taken back.")
    return redirect("members", request.organization.slug)


@organization_view(Permission.MANAGE_MEMBERS, recently_signed_in=True)
def member(request: OrganizationRequest, member_id: int) -> HttpResponse:
    """Change a member's role."""
    found = _member_or_404(request, member_id)
    form = RoleForm(request.POST or None, initial={"role": found.role})
    if request.method == "POST" and form.is_valid():
        role = form.cleaned_data["role"]
        try:
            service.change_role(found, role, by=request.user, actor=actor(request))
        except AccountError as error:
            form.add_error("role", str(error))
        else:
            messages.success(request, f"{found.user.display_name} is {Role(role).label} now.")
            return redirect("members", request.organization.slug)
    context = {"member": found, "form": form, **_lost_with(found)}
    status = 422 if form.is_bound else 200
    return render(request, "console/member.html", context, status=status)


@require_POST
@organization_view(Permission.MANAGE_MEMBERS, recently_signed_in=True)
def member_remove(request: OrganizationRequest, member_id: int) -> HttpResponse:
    """End somebody's membership; the secrets they were shown stop working."""
    found = _member_or_404(request, member_id)
    return _end(request, found, f"{found.user.display_name} is no longer a member.")


@organization_view(Permission.VIEW)
def member_leave(request: OrganizationRequest) -> HttpResponse:
    """Leave; asks before."""
    if request.method == "POST":
        return _end(request, request.membership, f"You left {request.organization.name}.")
    return render(request, "console/member_leave.html", _lost_with(request.membership))


@never_cache
@limited("invitation", most=30)
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What a mailed invitation leads to: who invites to what, and joining."""
    found = service.invitation_of(token)
    if found is None:
        raise Http404("No such invitation.")
    user = request.user if isinstance(request.user, User) else None
    reason = service.why_not(found, user)
    if request.method == "POST":
        if user is None:
            raise PermissionDenied("sign in first")
        try:
            made = service.accept(found, user, ip_address=request.META.get("REMOTE_ADDR"))
        except AccountError as error:
            reason = str(error)
        else:
            messages.success(request, f"You are {made.get_role_display()} of {found.organization}.")
            return redirect("overview", found.organization.slug)
    context = {"invitation": found, "reason": reason}
    response = render(request, "accounts/invitation.html", context, status=410 if reason else 200)
    # The token in the address is told to no other site. With “no-referrer” a browser would send the
    # form with the origin “null”, which is refused.
    response["Referrer-Policy"] = "same-origin"
    return response


def _may_invite(request: OrganizationRequest) -> bool:
    who = str(request.organization.pk)
    return may_knock("invite", who, most=INVITATIONS_PER_HOUR, within_s=3_600)


def _end(request: OrganizationRequest, found: Membership, done: str) -> HttpResponse:
    try:
        service.remove(found, by=request.user, actor=actor(request))
    except AccountError as error:
        messages.error(request, str(error))
        return redirect("members", request.organization.slug)
    messages.success(request, done)
    if found.user_id == request.user.pk:
        return redirect("console")
    return redirect("members", request.organization.slug)


def _context(request: OrganizationRequest, form: InvitationForm) -> dict[str, object]:
    tenant = request.organization
    return {
        "form": form,
        "members": tenant.memberships.select_related("user").order_by("created_at"),
        "with_mfa": _with_second_factor(tenant.memberships.values_list("user_id", flat=True)),
        "invitations": Invitation.objects.for_organization(tenant)
        .filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
        .select_related("invited_by"),
        "roles": Role,
        "matrix": [
            (permission.label, [permission in PERMISSIONS[role] for role in Role])
            for permission in Permission
        ],
    }


def _with_second_factor(user_ids: object) -> set[int]:
    from allauth.mfa.models import Authenticator

    found = Authenticator.objects.filter(user_id__in=user_ids).exclude(
        type=Authenticator.Type.RECOVERY_CODES
    )
    return set(found.values_list("user_id", flat=True))


def _lost_with(found: Membership) -> dict[str, int]:
    """How many keys stop working when a member leaves, and how many others lose an old secret."""
    return {
        "keys": keys_of(found).count(),
        "old_secrets": keys_with_an_old_secret_of(found).count(),
    }


def _member_or_404(request: OrganizationRequest, member_id: int) -> Membership:
    found: Membership | None = (
        Membership.objects.for_organization(request.organization)
        .select_related("user", "organization")
        .by_id(str(member_id))
    )
    if found is None:
        raise Http404("No such member.")
    return found
