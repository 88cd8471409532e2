"""Preferences: the organization's hard boundaries, and what remains inside them."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.access import OrganizationRequest, actor, organization_view, roles_with
from accounts.roles import Permission
from billing.plans import terms_of
from routing.engine import decide
from routing.errors import InvalidPreferences
from routing.forms import PreferencesForm
from routing.listing import listing
from routing.models import Preferences
from routing.selectors import boundaries_of, preferences_of
from routing.services import LISTS, set_preferences
from routing.types import Ask, Health


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many of a model's offerings are left inside the boundaries."""

    model: str
    name: str
    left: int
    total: int


@organization_view(Permission.VIEW)
def preferences(request: OrganizationRequest) -> HttpResponse:
    """Show the boundaries; change them where the role allows."""
    current = preferences_of(request.organization)
    may_change = Permission.MANAGE_PREFERENCES in request.permissions
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied(roles_with(Permission.MANAGE_PREFERENCES))
        form = PreferencesForm(request.POST)
        if form.is_valid() and _save(request, form):
            messages.success(request, "Saved. Every gateway keeps to these boundaries from now on.")
            return redirect("preferences", request.organization.slug)
        status = 422
        current = _draft(request, form)
    else:
        form, status = PreferencesForm(initial=_initial(current)), 200
    context = {
        "form": form,
        "preferences": current,
        "may_change": may_change,
        "changers": roles_with(Permission.MANAGE_PREFERENCES),
        "plan": terms_of(request.organization).version,
        **_remaining(request.organization.id, current),
    }
    return render(request, "console/preferences.html", context, status=status)


@organization_view(Permission.VIEW)
def preferences_preview(request: OrganizationRequest) -> HttpResponse:
    """What would remain with the boundaries in the form, without saving them."""
    form = PreferencesForm(request.POST or request.GET)
    form.is_valid()
    draft = _draft(request, form)
    context = {**_remaining(request.organization.id, draft), "draft": True}
    return render(request, "console/_remaining.html", context)


def _save(request: OrganizationRequest, form: PreferencesForm) -> bool:
    try:
        set_preferences(
            request.organization,
            form.cleaned_data,
            actor=actor(request),
            compliance_extension=terms_of(request.organization).version.compliance_extension,
        )
    except InvalidPreferences as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return False
    return True


def _initial(current: Preferences) -> dict[str, Any]:
    return {field: getattr(current, field) for field in (*LISTS, "strategy")}


def _draft(request: OrganizationRequest, form: PreferencesForm) -> Preferences:
    given = {field: form.cleaned_data.get(field, []) for field in LISTS}
    return Preferences(organization=request.organization, **given)


def _remaining(organization_id: str, draft: Preferences) -> dict[str, Any]:
    catalogue = listing().catalogue
    boundaries = (boundaries_of(draft),)
    remaining = []
    for info in catalogue.models.values():
        total = len(catalogue.by_model[info.slug])
        if info.status == "retired" or not total:
            continue
        ask = Ask(model=info.slug, organization=organization_id, modality=info.modality)
        left = len(decide(ask, boundaries, catalogue, Health()).candidates)
        remaining.append(Remaining(info.slug, info.name, left, total))
    return {"remaining": remaining, "closed": sum(not row.left for row in remaining)}
