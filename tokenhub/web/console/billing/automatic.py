"""Automatic top-ups and the cards they use."""

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from billing.errors import BillingError
from billing.forms import AutomaticTopUpForm
from billing.models import AutomaticTopUp, PaymentMethod
from billing.payments import automatic, customers, gate


@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def automatic_top_up(request: OrganizationRequest) -> HttpResponse:
    """When the balance refills itself, by how much, and at most how often."""
    tenant = request.organization
    cards = customers.cards_of(tenant)
    setting = AutomaticTopUp.objects.for_organization(tenant).first()
    initial = {} if setting is None else _initial(setting)
    form = AutomaticTopUpForm(request.POST or None, cards, initial=initial)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            automatic.configure(
                tenant,
                enabled=given["enabled"],
                threshold_nano=given["threshold"],
                amount_nano=given["amount"],
                monthly_cap_nano=given["monthly_cap"],
                payment_method=next((c for c in cards if str(c.pk) == given["card"]), None),
                actor=actor(request),
            )
        except BillingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, "Automatic top-up is " + ("on." if given["enabled"] else "off.")
            )
            return redirect("billing", tenant.slug)
    context = {
        "form": form,
        "setting": setting,
        "cards": cards,
        "spent_nano": automatic.spent_this_month(tenant),
        "waits": automatic.waits_for_withheld(tenant),
    }
    return render(
        request, "console/billing/automatic.html", context, status=422 if form.is_bound else 200
    )


@organization_view(Permission.VIEW_BILLING)
def payment_methods(request: OrganizationRequest) -> HttpResponse:
    """The saved cards; a visit to Stripe's page to save one ends here too."""
    if session_id := request.GET.get("session"):
        _finish(request, session_id)
        return redirect("payment_methods", request.organization.slug)
    context = {"cards": customers.cards_of(request.organization)}
    return render(request, "console/billing/payment_methods.html", context)


@require_POST
@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def payment_method_add(request: OrganizationRequest) -> HttpResponse:
    """On to Stripe's page to save a card."""
    back = request.build_absolute_uri(reverse("payment_methods", args=[request.organization.slug]))
    try:
        url = customers.open_setup(
            request.organization,
            request.user,
            attempt=uuid.uuid4().hex,
            return_url=f"{back}?session={{CHECKOUT_SESSION_ID}}",
            cancel_url=back,
        )
    except BillingError as error:
        messages.error(request, str(error))
        return redirect("payment_methods", request.organization.slug)
    return redirect(url)


@require_POST
@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def payment_method_remove(request: OrganizationRequest, method_id: int) -> HttpResponse:
    """Forget a card."""
    method: PaymentMethod | None = (
        PaymentMethod.objects.for_organization(request.organization)
        .filter(removed_at=None)
        .by_id(str(method_id))
    )
    if method is None:
        raise Http404("No such card.")
    try:
        customers.remove_card(request.organization, method, actor=actor(request))
    except BillingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{method} is removed.")
    return redirect("payment_methods", request.organization.slug)


def _finish(request: OrganizationRequest, session_id: str) -> None:
    try:
        session = gate.session(session_id)
        # Somebody else's visit is nobody's here.
        if session.organization == request.organization.id and customers.finish_setup(session):
            messages.success(request, "The card is saved.")
    except BillingError:
        messages.warning(
            request, "Stripe does not answer just now; the card shows up here shortly."
        )


def _initial(setting: AutomaticTopUp) -> dict[str, object]:
    return {
        "enabled": setting.enabled,
        "threshold": setting.threshold_nano,
        "amount": setting.amount_nano,
        "monthly_cap": setting.monthly_cap_nano,
        "card": str(setting.payment_method_id or ""),
    }
