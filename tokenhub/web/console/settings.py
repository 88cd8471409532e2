"""An organization's own settings: its name, handing it over, closing it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts import members as member_service
from accounts.access import OrganizationRequest, actor, organization_view
from accounts.errors import AccountError
from accounts.forms import CloseForm, OrganizationForm
from accounts.models import Membership
from accounts.roles import Permission, Role
from accounts.services import close_organization, rename_organization
from billing.selectors import balance_of


@organization_view(Permission.VIEW)
def settings(request: OrganizationRequest) -> HttpResponse:
    """The name, and the ways out."""
    tenant = request.organization
    may_change = Permission.MANAGE_SETTINGS in request.permissions
    form = OrganizationForm(
        request.POST if request.method == "POST" and may_change else None,
        initial={"name": tenant.name},
    )
    if form.is_bound and form.is_valid():
        rename_organization(tenant, form.cleaned_data["name"], actor=actor(request))
        messages.success(request, "Saved.")
        return redirect("settings", tenant.slug)
    others = tenant.memberships.exclude(user=request.user).select_related("user")
    status = 422 if form.is_bound else 200
    if request.method == "POST" and not may_change:
        status = 403
    return render(request, "console/settings.html", {"form": form, "others": others}, status=status)


@require_POST
@organization_view(Permission.DELETE_ORGANIZATION, recently_signed_in=True)
def settings_transfer(request: OrganizationRequest) -> HttpResponse:
    """Hand the organization over to another member."""
    to: Membership | None = (
        Membership.objects.for_organization(request.organization)
        .select_related("user", "organization")
        .by_id(request.POST.get("to", "0") if request.POST.get("to", "").isdecimal() else "0")
    )
    if to is None:
        messages.error(request, "Choose the member who will own it.")
        return redirect("settings", request.organization.slug)
    try:
        member_service.transfer_ownership(
            request.organization, to, by=request.user, actor=actor(request)
        )
    except AccountError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request, f"{to.user.display_name} owns it now. You are {Role.ADMIN.label}."
        )
    return redirect("settings", request.organization.slug)


@organization_view(Permission.DELETE_ORGANIZATION, recently_signed_in=True)
def settings_close(request: OrganizationRequest) -> HttpResponse:
    """Close the organization; says what is lost before."""
    tenant = request.organization
    left_nano = balance_of(tenant).balance_nano
    form = CloseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["slug"] != tenant.slug:
            form.add_error("slug", f"The address is {tenant.slug}.")
        if left_nano and not form.cleaned_data["give_up"]:
            form.add_error("give_up", "Refund what can be refunded first, or give it up.")
        if form.is_valid():
            try:
                close_organization(tenant, actor=actor(request))
            except AccountError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{tenant.name} is closed.")
                return redirect("console")
    status = 422 if form.is_bound else 200
    context = {"form": form, "left_nano": left_nano}
    return render(request, "console/settings_close.html", context, status=status)
