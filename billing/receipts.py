"""Document numbers without gaps, and receipts of card payments."""

from django.db import connection

from billing.models import BillingProfile, PlanPayment, Receipt, Series, TopUp


def next_number(prefix: str) -> str:
    """The next number of a series. Inside the transaction that uses it, or a gap would remain."""
    assert connection.in_atomic_block
    Series.objects.get_or_create(prefix=prefix)
    series = Series.objects.select_for_update().get(prefix=prefix)
    series.last_number += 1
    series.save(update_fields=["last_number"])
    return f"{prefix}-{series.last_number:06d}"


def for_top_up(top_up: TopUp) -> Receipt:
    """The receipt of a top-up that was just credited."""
    made: Receipt = Receipt.objects.create(
        organization=top_up.organization,
        number=next_number("REC"),
        top_up=top_up,
        amount_nano=top_up.amount_nano + top_up.fee_nano,
        description=f"{top_up.get_source_display()} of the TokenHub balance",
        profile=_profile(top_up),
    )
    return made


def for_plan(payment: PlanPayment) -> Receipt:
    """The receipt of a month of a plan."""
    made: Receipt = Receipt.objects.create(
        organization=payment.organization,
        number=next_number("REC"),
        plan_payment=payment,
        amount_nano=payment.amount_nano,
        description=f"TokenHub {payment.subscription.plan.name},"
        f" {payment.period_start:%d %b %Y} to {payment.period_end:%d %b %Y}",
        profile=_profile(payment),
    )
    return made


def _profile(payment: TopUp | PlanPayment) -> dict[str, str]:
    profile = BillingProfile.objects.filter(organization=payment.organization).first()
    return {
        **(profile.snapshot() if profile else {}),
        "organization": payment.organization.name,
    }
