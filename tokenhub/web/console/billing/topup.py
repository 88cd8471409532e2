"""Top-ups: the amount, Stripe's page, the way back, and the way back of money."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from billing.errors import BillingError, PaymentsAway
from billing.forms import RefundForm, TopUpForm
from billing.models import TopUp
from billing.payments import reversals, topups
from billing.plans import terms_of

AMOUNTS_USD = (10, 25, 50, 100, 250)


@organization_view(Permission.MANAGE_BILLING)
def top_up(request: OrganizationRequest) -> HttpResponse:
    """How much; then on to Stripe's page to pay."""
    form = TopUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        slug = request.organization.slug
        try:
            made = topups.start_top_up(
                request.organization,
                form.cleaned_data["amount"],
                user=request.user,
                actor=actor(request),
                save_card=form.cleaned_data["save_card"],
                return_url=request.build_absolute_uri(reverse("billing", args=[slug]))
                + "top-up/{top_up}/",
                cancel_url=request.build_absolute_uri(reverse("top_up", args=[slug])),
            )
        except BillingError as error:
            form.add_error("amount" if error.code == "invalid_amount" else None, str(error))
        else:
            return redirect(made.checkout_url)
    amount_nano = form.cleaned_data.get("amount") if form.is_bound else form["amount"].initial
    context = {
        "form": form,
        "amounts": AMOUNTS_USD,
        "minimum_usd": settings.TOP_UP_MIN_USD,
        "maximum_usd": settings.TOP_UP_MAX_USD,
        **_preview(request, amount_nano),
    }
    return render(
        request, "console/billing/top_up.html", context, status=422 if form.is_bound else 200
    )


@organization_view(Permission.MANAGE_BILLING)
def top_up_preview(request: OrganizationRequest) -> HttpResponse:
    """What a top-up would cost and buy; a fragment."""
    form = TopUpForm(request.GET)
    form.is_valid()
    context = _preview(request, form.cleaned_data.get("amount"))
    return render(request, "console/billing/_top_up_preview.html", context)


@organization_view(Permission.VIEW_BILLING)
def top_up_detail(request: OrganizationRequest, top_up_id: str) -> HttpResponse:
    """How a payment stands; where it is open, Stripe is asked."""
    found = _top_up_or_404(request, top_up_id)
    if found.status == TopUp.Status.PENDING:
        try:
            found = topups.sync(found)
        except (PaymentsAway, topups.UnexpectedPayment):
            messages.warning(
                request,
                "Stripe does not answer just now. The payment is not lost; look again shortly.",
            )
    return render(request, "console/billing/top_up_detail.html", _detail(found))


@require_POST
@organization_view(Permission.MANAGE_BILLING, recently_signed_in=True)
def top_up_refund(request: OrganizationRequest, top_up_id: str) -> HttpResponse:
    """Send unused money back to its card."""
    found = _top_up_or_404(request, top_up_id)
    form = RefundForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            made = reversals.refund(
                found, given["amount"], reason=given["reason"], actor=actor(request)
            )
        except BillingError as error:
            form.add_error("amount", str(error))
        else:
            messages.success(request, f"Refund: {made.get_status_display().lower()}.")
            return redirect("top_up_detail", request.organization.slug, found.id)
    found.refresh_from_db()
    context = {**_detail(found), "form": form}
    return render(request, "console/billing/top_up_detail.html", context, status=422)


def _detail(found: TopUp) -> dict[str, Any]:
    refundable = reversals.refundable(found)
    return {
        "top_up": found,
        "receipt": getattr(found, "receipt", None),
        "refunds": found.refunds.all(),
        "disputes": found.disputes.all(),
        "refundable": refundable,
        "form": RefundForm(initial={"amount": refundable.amount_nano}),
    }


def _preview(request: OrganizationRequest, amount_nano: int | None) -> dict[str, Any]:
    terms = terms_of(request.organization)
    context: dict[str, Any] = {"terms": terms, "preview": None}
    if amount_nano is None:
        return context
    try:
        topups.check_amount(amount_nano)
    except BillingError as error:
        return {**context, "refusal": str(error)}
    return {
        **context,
        "preview": {
            "amount_nano": amount_nano,
            "fee_nano": 0,
            "buys_nano": amount_nano * 10_000 // (10_000 + terms.fee_bps),
        },
    }


def _top_up_or_404(request: OrganizationRequest, top_up_id: str) -> TopUp:
    found: TopUp | None = (
        TopUp.objects.for_organization(request.organization)
        .select_related("organization", "receipt")
        .prefetch_related("disputes")
        .by_id(top_up_id)
    )
    if found is None:
        raise Http404("No such top-up.")
    return found
