"""The one door to Stripe: the genuine SDK behind a few typed functions.

Amounts are nano-USD on our side and cents on theirs. Every write carries an idempotency key.
Raises ``PaymentRefused`` for what Stripe or a bank declines, ``PaymentsAway`` where Stripe does not
answer: nothing is known to have happened, and the same call may be repeated.
"""

from billing.payments.gate.cards import card, card_of_setup, create_customer, detach_card
from billing.payments.gate.events import verified
from billing.payments.gate.hosted import (
    expire,
    open_setup,
    open_subscription,
    open_top_up,
    recent_sessions,
    session,
)
from billing.payments.gate.payments import (
    charge_saved_card,
    create_refund,
    disputes_since,
    payment,
    payments_since,
    refunds_since,
)
from billing.payments.gate.sdk import NANO_PER_CENT, client
from billing.payments.gate.states import (
    Card,
    DisputeState,
    PaidInvoice,
    Payment,
    RefundState,
    SentBack,
    Session,
    SubscriptionState,
)
from billing.payments.gate.subscriptions import (
    end_at,
    end_at_period_end,
    end_now,
    refund_subscription,
    running_subscriptions,
    subscription,
)

__all__ = [
    "NANO_PER_CENT",
    "Card",
    "DisputeState",
    "PaidInvoice",
    "Payment",
    "RefundState",
    "SentBack",
    "Session",
    "SubscriptionState",
    "card",
    "card_of_setup",
    "charge_saved_card",
    "client",
    "create_customer",
    "create_refund",
    "detach_card",
    "disputes_since",
    "end_at",
    "end_at_period_end",
    "end_now",
    "expire",
    "open_setup",
    "open_subscription",
    "open_top_up",
    "payment",
    "payments_since",
    "recent_sessions",
    "refund_subscription",
    "refunds_since",
    "running_subscriptions",
    "session",
    "subscription",
    "verified",
]
