"""Billing at a glance, and the alerts that wait to be read."""

from datetime import timedelta

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing import alerts
from billing.models import Alert, AutomaticTopUp, Budget, Invoice, Transfer
from billing.payments.automatic import waits_for_withheld
from billing.payments.customers import cards_of
from billing.plans import terms_of
from billing.selectors import balance_of, days_left, usage_summaries
from tokenhub.web.console.billing.causes import with_causes

LATEST = 8


@organization_view(Permission.VIEW_BILLING)
def billing(request: OrganizationRequest) -> HttpResponse:
    """Balance, on hold, available, runway; what refills it; what moved it last."""
    tenant = request.organization
    today = timezone.now().date()
    tomorrow = today + timedelta(days=1)
    balance = balance_of(tenant)
    week, month = usage_summaries(
        tenant, [tomorrow - timedelta(days=7), today.replace(day=1)], tomorrow
    )
    context = {
        "balance": balance,
        "days_left": days_left(balance, week.total_nano),
        "month": month,
        "terms": terms_of(tenant),
        "automatic": AutomaticTopUp.objects.for_organization(tenant).first(),
        "automatic_waits": waits_for_withheld(tenant),
        "budget": Budget.objects.for_organization(tenant).first(),
        "cards": cards_of(tenant),
        "entries": with_causes(tenant, Transfer.objects.for_organization(tenant)[:LATEST]),
        "invoice": Invoice.objects.for_organization(tenant)
        .filter(kind=Invoice.Kind.INVOICE)
        .first(),
    }
    return render(request, "console/billing/overview.html", context)


@require_POST
@organization_view(Permission.MANAGE_BILLING)
def alert_dismiss(request: OrganizationRequest, alert_id: int) -> HttpResponse:
    """An alert was read."""
    alert = Alert.objects.for_organization(request.organization).by_id(str(alert_id))
    if alert is None:
        raise Http404("No such alert.")
    alerts.dismiss(alert)
    return redirect("billing", request.organization.slug)
