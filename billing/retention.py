"""How long what is not bookkeeping is kept; the ledger, usage, invoices and receipts are kept for good.

Rows of usage leave only by ``billing.archive``, which an operator calls for.
"""

from accounts.retention import keep
from billing.models import Alert, Claim, StripeEvent

keep("Alerts", days=400, rows=lambda at: Alert.objects.filter(created_at__lt=at))
keep(
    "The inbox of Stripe's webhooks",
    days=400,
    rows=lambda at: StripeEvent.objects.filter(received_at__lt=at).exclude(
        status=StripeEvent.Status.FAILED
    ),
)
keep(
    "Idempotency keys of calls, as digests",
    days=1,
    rows=lambda at: Claim.objects.filter(created_at__lt=at),
)
