"""Webhooks: where an organization is told, with the log of every delivery."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from accounts.webhooks import services
from accounts.webhooks.errors import InvalidEndpoint
from accounts.webhooks.events import KINDS, payload
from accounts.webhooks.forms import EndpointChangeForm, EndpointForm
from accounts.webhooks.models import Delivery, Endpoint

PAGE = 50


@organization_view(Permission.MANAGE_SETTINGS)
def webhooks(request: OrganizationRequest) -> HttpResponse:
    """Every endpoint of the organization."""
    found = Endpoint.objects.for_organization(request.organization)
    return render(request, "console/webhooks/list.html", {"endpoints": found})


@never_cache
@organization_view(Permission.MANAGE_SETTINGS, recently_signed_in=True)
def webhook_new(request: OrganizationRequest) -> HttpResponse:
    """The form, and in the answer to it the secret: the only time it is shown."""
    form = EndpointForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.add(
                request.organization, actor=actor(request), created_by=request.user,
                **form.cleaned_data,
            )  # fmt: skip
        except InvalidEndpoint as error:
            form.add_error(error.field or None, str(error))
        else:
            return _reveal(request, made, rotated=False)
    context = {"form": form, "kinds": KINDS}
    status = 422 if form.is_bound else 200
    return render(request, "console/webhooks/new.html", context, status=status)


@organization_view(Permission.MANAGE_SETTINGS)
def webhook(request: OrganizationRequest, webhook_id: str) -> HttpResponse:
    """One endpoint and what was sent to it, the newest first, fifty at a time."""
    endpoint = _endpoint(request, webhook_id)
    found = Delivery.objects.for_organization(request.organization).filter(endpoint=endpoint)
    before = request.GET.get("before", "")
    older = found.filter(pk__lt=_cursor(before)) if before else found
    page = list(older.select_related("event").prefetch_related("log")[: PAGE + 1])
    context = {
        "endpoint": endpoint,
        "page": page[:PAGE],
        "older": page[PAGE - 1].id if len(page) > PAGE else "",
        "before": before,
    }
    return render(request, "console/webhooks/detail.html", context)


@organization_view(Permission.MANAGE_SETTINGS)
def webhook_change(request: OrganizationRequest, webhook_id: str) -> HttpResponse:
    """Another address, other events, on or off."""
    endpoint = _endpoint(request, webhook_id)
    form = EndpointChangeForm(request.POST if request.method == "POST" else None, endpoint=endpoint)
    if form.is_bound and form.is_valid():
        try:
            services.change(endpoint, actor=actor(request), **form.cleaned_data)
        except InvalidEndpoint as error:
            form.add_error(error.field or None, str(error))
        else:
            messages.success(request, "Saved.")
            return _back(request, endpoint)
    context = {"form": form, "endpoint": endpoint}
    status = 422 if form.is_bound else 200
    return render(request, "console/webhooks/change.html", context, status=status)


@never_cache
@organization_view(Permission.MANAGE_SETTINGS, recently_signed_in=True)
def webhook_rotate(request: OrganizationRequest, webhook_id: str) -> HttpResponse:
    """Ask, then show the new secret: the only time it is shown."""
    endpoint = _endpoint(request, webhook_id)
    if request.method == "POST":
        return _reveal(request, services.rotate(endpoint, actor=actor(request)), rotated=True)
    return render(request, "console/webhooks/rotate.html", {"endpoint": endpoint})


@organization_view(Permission.MANAGE_SETTINGS)
def webhook_delete(request: OrganizationRequest, webhook_id: str) -> HttpResponse:
    """Ask, then delete."""
    endpoint = _endpoint(request, webhook_id)
    if request.method == "POST":
        services.remove(endpoint, actor=actor(request))
        messages.success(request, "The webhook is deleted: nothing more is sent to it.")
        return redirect("webhooks", request.organization.slug)
    return render(request, "console/webhooks/delete.html", {"endpoint": endpoint})


@require_POST
@organization_view(Permission.MANAGE_SETTINGS)
def webhook_test(request: OrganizationRequest, webhook_id: str) -> HttpResponse:
    """Send an event that means nothing."""
    endpoint = _endpoint(request, webhook_id)
    try:
        services.send_test(endpoint)
    except InvalidEndpoint as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "A test event is on its way. Reload in a few seconds.")
    return _back(request, endpoint)


@organization_view(Permission.MANAGE_SETTINGS)
def webhook_delivery(
    request: OrganizationRequest, webhook_id: str, delivery_id: str
) -> HttpResponse:
    """One delivery: what was sent, and each attempt."""
    delivery = _delivery(request, webhook_id, delivery_id)
    context = {"delivery": delivery, "endpoint": delivery.endpoint, "body": payload(delivery.event)}
    return render(request, "console/webhooks/delivery.html", context)


@require_POST
@organization_view(Permission.MANAGE_SETTINGS)
def webhook_redeliver(
    request: OrganizationRequest, webhook_id: str, delivery_id: str
) -> HttpResponse:
    """Try once more, from now."""
    delivery = _delivery(request, webhook_id, delivery_id)
    try:
        services.redeliver(delivery)
    except InvalidEndpoint as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "It is sent again. Reload in a few seconds.")
    return redirect(
        "webhook_delivery", request.organization.slug, delivery.endpoint_id, delivery.id
    )


def _reveal(
    request: OrganizationRequest, made: services.Revealed, *, rotated: bool
) -> HttpResponse:
    context = {"endpoint": made.endpoint, "secret": made.secret, "rotated": rotated}
    return render(request, "console/webhooks/reveal.html", context)


def _back(request: OrganizationRequest, endpoint: Endpoint) -> HttpResponse:
    return redirect("webhook", request.organization.slug, endpoint.id)


def _endpoint(request: OrganizationRequest, webhook_id: str) -> Endpoint:
    found: Endpoint | None = Endpoint.objects.for_organization(request.organization).by_id(
        webhook_id
    )
    if found is None:
        raise Http404("No such webhook.")
    return found


def _delivery(request: OrganizationRequest, webhook_id: str, delivery_id: str) -> Delivery:
    endpoint = _endpoint(request, webhook_id)
    found: Delivery | None = (
        Delivery.objects.for_organization(request.organization)
        .filter(endpoint=endpoint)
        .select_related("event", "endpoint")
        .by_id(delivery_id)
    )
    if found is None:
        raise Http404("No such delivery.")
    return found


def _cursor(text: str) -> Any:
    try:
        return Delivery._meta.pk.to_python(text)
    except ValidationError:
        raise Http404("No such delivery.") from None
