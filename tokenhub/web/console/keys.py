"""API keys: list, create and reveal once, change, rotate, revoke."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.models import Organization
from accounts.roles import Permission
from keys.errors import InvalidKeyLimits, KeyNotActive
from keys.forms import FindForm, KeyForm, RotateForm
from keys.models import ApiKey
from keys.services import end_grace, mint, revoke, rotate, update
from routing.models import Model, Provider, Region
from tokenhub.web.console.keyspend import Line, lines

SORTS: dict[str, Any] = {
    "": None,
    "spend": lambda line: -line.spend.recent_nano,
    "used": lambda line: -(line.key.last_used_at.timestamp() if line.key.last_used_at else 0),
    "expires": lambda line: (
        line.key.expires_at.timestamp() if line.key.expires_at else float("inf")
    ),
    "name": lambda line: line.key.name.casefold(),
}


@organization_view(Permission.VIEW)
def keys(request: OrganizationRequest) -> HttpResponse:
    """The organization's keys, searched and sorted by the URL; what each spent, and where it stands."""
    form = FindForm(request.GET)
    asked = form.cleaned_data if form.is_valid() else {}
    found = _found(request.organization, asked)
    context = {
        "lines": found,
        "form": form,
        "filtered": any(asked.get(name) for name in ("q", "status", "kind")),
    }
    return render(request, "console/keys.html", context)


@organization_view(Permission.VIEW)
def key(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """One key: its limits, its budget and what is used of it, its secrets, who made it."""
    found = _key_or_404(request, key_id)
    context = {
        "line": lines(request.organization, [found])[0],
        "key": found,
        "accepted": [secret for secret in found.retired_secrets.all() if secret.is_accepted],
    }
    return render(request, "console/key.html", context)


@never_cache
@organization_view(Permission.MANAGE_KEYS, recently_signed_in=True)
def key_new(request: OrganizationRequest) -> HttpResponse:
    """The form, and in the answer to it the secret: the only time it is shown."""
    form = _form(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        limits: dict[str, Any] = {**form.limits()}
        try:
            minted = mint(
                request.organization,
                limits.pop("name"),
                kind=form.cleaned_data["kind"],
                actor=actor(request),
                created_by=request.user,
                **limits,
            )
        except InvalidKeyLimits as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            context = {"key": minted.key, "secret": minted.secret}
            return render(request, "console/key_reveal.html", context)
    status = 422 if form.is_bound else 200
    return render(request, "console/key_new.html", {"form": form}, status=status)


@organization_view(Permission.MANAGE_KEYS, recently_signed_in=True)
def key_edit(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """Change what a key is called and how far it reaches."""
    found = _key_or_404(request, key_id)
    form = _form(request.POST if request.method == "POST" else None, found)
    if form.is_bound and form.is_valid():
        try:
            update(found, form.limits(), actor=actor(request))
        except InvalidKeyLimits as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        except KeyNotActive as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Saved: it holds from the next request on.")
            return redirect("key", request.organization.slug, found.id)
    status = 422 if form.is_bound else 200
    return render(request, "console/key_edit.html", {"form": form, "key": found}, status=status)


@never_cache
@organization_view(Permission.MANAGE_KEYS, recently_signed_in=True)
def key_rotate(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """How long the old secret is to work, and in the answer the new one: the only time it is shown."""
    found = _key_or_404(request, key_id)
    form = RotateForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            minted = rotate(
                found, grace=form.period(), actor=actor(request), rotated_by=request.user
            )
        except KeyNotActive as error:
            form.add_error(None, str(error))
        else:
            context = {
                "key": minted.key,
                "secret": minted.secret,
                "retired": minted.key.retired_secrets.first(),
            }
            return render(request, "console/key_reveal.html", context)
    status = 422 if form.is_bound else 200
    return render(request, "console/key_rotate.html", {"form": form, "key": found}, status=status)


@require_POST
@organization_view(Permission.MANAGE_KEYS)
def key_grace_end(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """Refuse secrets that were rotated out from now on."""
    found = _key_or_404(request, key_id)
    end_grace(found, actor=actor(request))
    messages.success(request, "Only the newest secret is accepted from now on.")
    return redirect("key", request.organization.slug, found.id)


@require_POST
@organization_view(Permission.MANAGE_KEYS)
def key_revoke(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """Stop a key for good."""
    found = _key_or_404(request, key_id)
    revoke(found, actor=actor(request))
    messages.success(request, f"“{found.name}” is revoked: calls with it are refused from now on.")
    return redirect("keys", request.organization.slug)


@organization_view(Permission.MANAGE_KEYS)
def key_revoke_confirm(request: OrganizationRequest, key_id: str) -> HttpResponse:
    """Ask before a key is stopped; works without JavaScript."""
    context = {"key": _key_or_404(request, key_id)}
    return render(request, "console/key_revoke.html", context)


def _found(organization: Organization, asked: dict[str, Any]) -> list[Line]:
    found = ApiKey.objects.for_organization(organization).select_related("created_by")
    if asked.get("kind"):
        found = found.filter(kind=asked["kind"])
    text, status = (asked.get("q") or "").casefold(), asked.get("status")
    kept = [
        one
        for one in lines(organization, found)
        if (not text or text in one.key.name.casefold() or text == one.key.last4.casefold())
        and (not status or one.key.status == status)
    ]
    sort = SORTS.get(asked.get("sort") or "")
    return sorted(kept, key=sort) if sort else kept


def _key_or_404(request: OrganizationRequest, key_id: str) -> ApiKey:
    found: ApiKey | None = (
        ApiKey.objects.for_organization(request.organization)
        .select_related("created_by", "rotated_by")
        .by_id(key_id)
    )
    if found is None:
        raise Http404("No such key.")
    return found


def _form(data: Any, found: ApiKey | None = None) -> KeyForm:
    return KeyForm(
        data,
        models=list(Model.objects.values_list("slug", "name")),
        providers=list(Provider.objects.values_list("slug", "name")),
        regions=list(Region.objects.values_list("slug", "name")),
        key=found,
    )
