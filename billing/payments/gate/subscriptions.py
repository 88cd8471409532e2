"""Subscriptions."""

from billing.payments.gate.sdk import client, said_plainly
from billing.payments.gate.shapes import subscription_of
from billing.payments.gate.states import SubscriptionState


def subscription(stripe_id: str) -> SubscriptionState:
    """A subscription with its paid invoices as it stands now."""
    with said_plainly():
        return subscription_of(client().v1.subscriptions.retrieve(stripe_id))


def end_at_period_end(stripe_id: str, *, ends: bool, attempt: str) -> SubscriptionState:
    """Let a subscription run out with its month, or not after all."""
    with said_plainly():
        changed = client().v1.subscriptions.update(
            stripe_id, {"cancel_at_period_end": ends}, {"idempotency_key": f"end:{attempt}"}
        )
        return subscription_of(changed)


def end_now(stripe_id: str) -> SubscriptionState:
    """End a subscription at once."""
    with said_plainly():
        changed = client().v1.subscriptions.cancel(
            stripe_id, options={"idempotency_key": f"end-now:{stripe_id}"}
        )
        return subscription_of(changed)
