"""Background jobs on money. Thin, bounded, safe to run twice."""

from celery import shared_task

from billing import alerts, invoices, services
from billing.errors import PaymentsAway
from billing.payments import reconcile


@shared_task
def reap_leases() -> int:
    """Return the money of leases that expired."""
    return services.reap_leases()


@shared_task
def keep_usage_partitions() -> int:
    """Have next months' partitions ready."""
    return services.keep_usage_partitions()


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
