"""Plans: compare them, see what a change means, make it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from billing.errors import BillingError
from billing.models import PlanPayment, Subscription
from billing.payments import gate, outbox, subscriptions
from billing.plans import current_versions, next_subscription, subscription_of, terms_of
from routing.listing import listing

SHOWN = 12


@organization_view(Permission.VIEW_BILLING)
def plan(request: OrganizationRequest) -> HttpResponse:
    """What each plan offers, which one is in force and since when; Stripe's page leads back here."""
    tenant = request.organization
    if session_id := request.GET.get("session"):
        _finish(request, session_id)
        return redirect("plan", tenant.slug)
    held = subscription_of(tenant)
    plan_models = listing().catalogue.plan_models
    context = {
        "terms": terms_of(tenant),
        # Each with the plan models that it is the lowest plan to have.
        "versions": [
            {
                "version": version,
                "models": [
                    f"tokenhub/{name}"
                    for name, entry in plan_models.items()
                    if entry.plan == version.plan_id
                ],
            }
            for version in current_versions()
        ],
        "held": held,
        "later": next_subscription(tenant),
        "by_card": held is not None and held.source == Subscription.Source.STRIPE,
        "payments": PlanPayment.objects.for_organization(tenant).select_related(
            "receipt", "subscription__plan"
        )[:SHOWN],
    }
    return render(request, "console/billing/plan.html", context)


@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def plan_change(request: OrganizationRequest, to: str) -> HttpResponse:
    """What a change would cost, when it applies, and what it takes away; then make it."""
    tenant = request.organization
    try:
        change = subscriptions.preview(tenant, to)
        if request.method == "POST":
            if change.is_upgrade:
                back = request.build_absolute_uri(reverse("plan", args=[tenant.slug]))
                return redirect(
                    subscriptions.start(
                        tenant, to, user=request.user,
                        return_url=f"{back}?session={{CHECKOUT_SESSION_ID}}", cancel_url=back,
                    )
                )  # fmt: skip
            ended = subscriptions.end(tenant, actor=actor(request))
            messages.success(request, f"{ended.plan.name} ends on {ended.ends_at:%d %b %Y}.")
            return redirect("plan", tenant.slug)
    except BillingError as error:
        messages.error(request, str(error))
        return redirect("plan", tenant.slug)
    return render(request, "console/billing/plan_change.html", {"change": change})


@organization_view(Permission.MANAGE_BILLING)
def plan_keep(request: OrganizationRequest) -> HttpResponse:
    """Take back an end that has not come yet."""
    if request.method == "POST":
        try:
            subscriptions.keep(request.organization, actor=actor(request))
            messages.success(request, "The plan goes on.")
        except BillingError as error:
            messages.error(request, str(error))
    return redirect("plan", request.organization.slug)


def _finish(request: OrganizationRequest, session_id: str) -> None:
    try:
        session = gate.session(session_id)
        if session.organization == request.organization.id and session.subscription:
            held = subscriptions.apply(gate.subscription(session.subscription))
            if held is not None:
                messages.success(request, f"You are on {held.plan.name} from now on.")
            elif ending := outbox.ending_of(session.subscription):
                messages.warning(
                    request, f"What you paid is on its way back to your card. {ending.reason}"
                )
    except BillingError:
        messages.warning(
            request, "Stripe does not answer just now; the plan changes as soon as it does."
        )
