"""Who the invoices are made out to, and when to be told about money."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from billing.alerts import recipients, set_budget
from billing.forms import BudgetForm, ProfileForm
from billing.models import Alert, BillingProfile, Budget
from billing.payments.customers import change_profile
from billing.selectors import usage_summaries
from keys.models import ApiKey
from tokenhub.web.console.keyspend import lines

SHOWN = 20


@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def billing_profile(request: OrganizationRequest) -> HttpResponse:
    """Legal name, address, tax ID, PO number; documents from now on carry them."""
    kept = BillingProfile.objects.for_organization(request.organization).first()
    form = ProfileForm(request.POST or None, instance=kept)
    if request.method == "POST" and form.is_valid():
        change_profile(request.organization, form.cleaned_data, actor=actor(request))
        messages.success(
            request, "Saved. Documents from now on carry it; earlier ones stay as they were."
        )
        return redirect("billing_profile", request.organization.slug)
    status = 422 if form.is_bound else 200
    return render(request, "console/billing/profile.html", {"form": form}, status=status)


@organization_view(Permission.VIEW_BILLING)
def budgets(request: OrganizationRequest) -> HttpResponse:
    """What the month and the keys' budgets have used, when to be told, and what was said."""
    tenant = request.organization
    kept = Budget.objects.for_organization(tenant).first() or Budget(organization=tenant)
    may_change = Permission.MANAGE_BILLING in request.permissions
    form = BudgetForm(
        request.POST if request.method == "POST" and may_change else None,
        initial={
            "low_balance": kept.low_balance_nano,
            "monthly": kept.monthly_nano,
            "monthly_is_hard": kept.monthly_is_hard,
        },
    )
    if form.is_bound and form.is_valid():
        set_budget(
            tenant,
            low_balance_nano=form.cleaned_data["low_balance"],
            monthly_nano=form.cleaned_data["monthly"],
            monthly_is_hard=form.cleaned_data["monthly_is_hard"],
            actor=actor(request),
        )
        messages.success(request, "Saved.")
        return redirect("budgets", tenant.slug)
    today = timezone.now().date()
    [month] = usage_summaries(tenant, [today.replace(day=1)], today + timedelta(days=1))
    limited = ApiKey.objects.for_organization(tenant).active().filter(budget_nano__isnull=False)
    context = {
        "form": form,
        "budget": kept,
        "today": today,
        "month": month,
        "percent": min(100, month.total_nano * 100 // (kept.monthly_nano or 1)),
        "lines": sorted(lines(tenant, limited), key=lambda line: -(line.percent or 0)),
        "recipients": recipients(tenant),
        "said": Alert.objects.for_organization(tenant)[:SHOWN],
    }
    status = 422 if form.is_bound else 200
    if request.method == "POST" and not may_change:
        status = 403
    return render(request, "console/billing/budgets.html", context, status=status)
