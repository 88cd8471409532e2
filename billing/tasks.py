"""Background jobs on money. Thin, bounded, safe to run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from billing import alerts, invoices, services
from billing.errors import PaymentsAway, UsageMonthMissing
from billing.payments import reconcile


@shared_task
def reap_leases() -> int:
    """Return the money of leases that expired."""
    return services.reap_leases()


@shared_task
def keep_usage_partitions() -> str:
    """Have next months' partitions ready. Fails, so that operators see it, where one will not come by itself."""
    months = services.keep_usage_partitions()
    said = ", ".join(f"{month} {outcome}" for month, outcome in sorted(months.items()))
    # A reader is gone some hours later, and months are made long before they begin.
    soon = f"{timezone.now() + timedelta(days=31):%Y-%m}"
    if any(
        outcome == "crowded" or (outcome == "busy" and month <= soon)
        for month, outcome in months.items()
    ):
        raise UsageMonthMissing(f"{said}. See “A month of usage is missing” in docs/operations.md.")
    return said


@shared_task
def forget_settlements() -> int:
    """Drop notes of groups nobody can repeat."""
    return services.forget_settlements()


@shared_task
def run_automatic_top_ups() -> int:
    """Refill balances that fell below their threshold."""
    return reconcile.run_automatic()


@shared_task
def chase_payments() -> int:
    """Ask Stripe about what waits for an answer."""
    return reconcile.chase()


@shared_task
def reconcile_with_stripe() -> int:
    """Compare Stripe's books with the ledger; returns the number of differences."""
    try:
        return len(reconcile.reconcile().differences)
    except PaymentsAway:
        return -1


@shared_task
def check_alerts() -> int:
    """Find what organizations want to be told, and mail it."""
    alerts.check()
    return alerts.send_mails()


@shared_task
def close_months() -> int:
    """Invoice every month that is over."""
    return invoices.close_due()
