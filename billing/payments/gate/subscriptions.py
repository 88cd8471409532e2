"""Subscriptions."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import stripe

from billing.errors import PaymentRefused
from billing.payments.gate.sdk import NANO_PER_CENT, PAGE, client, id_of, pages, said_plainly
from billing.payments.gate.shapes import paid_at, refund_of, subscription_of
from billing.payments.gate.states import SentBack, SubscriptionState


def subscription(stripe_id: str) -> SubscriptionState:
    """A subscription with its paid invoices as it stands now."""
    with said_plainly():
        return subscription_of(client().v1.subscriptions.retrieve(stripe_id))


def running_subscriptions() -> Iterator[SubscriptionState]:
    """Every subscription that is not canceled, whoever knows of it."""
    api: Any = client().v1
    for found in pages(lambda more: api.subscriptions.list({"limit": PAGE, **more})):
        with said_plainly():
            yield subscription_of(found)


def end_at_period_end(stripe_id: str, *, ends: bool, attempt: str) -> SubscriptionState:
    """Let a subscription run out with its month, or not after all."""
    with said_plainly():
        changed = client().v1.subscriptions.update(
            stripe_id, {"cancel_at_period_end": ends}, {"idempotency_key": f"end:{attempt}"}
        )
        return subscription_of(changed)


def end_at(stripe_id: str, at: datetime, *, attempt: str) -> SubscriptionState:
    """Let a subscription run until an instant. What is paid for until then is kept, and no more is charged after.

    Source: https://docs.stripe.com/billing/subscriptions/cancel
    """
    with said_plainly():
        changed = client().v1.subscriptions.update(
            stripe_id,
            {"cancel_at": int(at.timestamp()), "proration_behavior": "none"},
            {"idempotency_key": f"end:{attempt}"},
        )
        return subscription_of(changed)


def end_now(stripe_id: str) -> SubscriptionState:
    """End a subscription at once; one that has ended is content with it."""
    with said_plainly():
        subscriptions = client().v1.subscriptions
        try:
            changed = subscriptions.cancel(
                stripe_id, options={"idempotency_key": f"end-now:{stripe_id}"}
            )
        except stripe.InvalidRequestError:
            changed = subscriptions.retrieve(stripe_id)
            if changed.status != "canceled":
                raise
        return subscription_of(changed)


def refund_subscription(stripe_id: str, *, since: datetime | None) -> SentBack:
    """Send back what was paid for a subscription, or only what was after ``since``. Safe to repeat.

    A part that Stripe refuses, or that cannot be sent back from here, does not keep the others.
    """
    api: Any = client().v1
    invoices = pages(
        lambda more: api.invoices.list(
            {"subscription": stripe_id, "status": "paid", "limit": PAGE, **more}
        )
    )
    sent_nano = 0
    refused: list[str] = []
    by_hand: list[str] = []
    for invoice in invoices:
        if invoice.amount_paid and (since is None or paid_at(invoice) > since):
            intents = _payments_of(invoice.id)
            for intent in intents:
                if intent:
                    try:
                        sent_nano += _send_back(intent, f"plan:{stripe_id}")
                    except PaymentRefused as error:
                        refused.append(f"{error} {error.__cause__ or ''}".strip())
            if not all(intents) or not intents:
                by_hand.append(invoice.id)
    if by_hand:
        refused.append(
            f"{', '.join(by_hand)} was not paid by a payment that can be refunded here: refund it at Stripe."
        )
    return SentBack(sent_nano, "; ".join(refused))


def _payments_of(invoice: str) -> list[str]:
    """The payments of an invoice, which does not name them itself; empty for one without an intent."""
    api: Any = client().v1
    listed = pages(
        lambda more: api.invoice_payments.list(
            {"invoice": invoice, "status": "paid", "limit": PAGE, **more}
        )
    )
    # The field is there only where the type of the payment is that.
    return [id_of(getattr(found.payment, "payment_intent", None)) for found in listed]


def _send_back(intent: str, ours: str) -> int:
    api: Any = client().v1
    with said_plainly():
        try:
            # Without a key of ours: it is all that is left, so a second one is refused; and under a key Stripe would
            # repeat a refusal for a day, also where its cause is settled.
            api.refunds.create({"payment_intent": intent, "metadata": {"refund": ours}})
        except stripe.InvalidRequestError as error:
            if error.code != "charge_already_refunded":
                raise
    refunds = pages(
        lambda more: api.refunds.list({"payment_intent": intent, "limit": PAGE, **more})
    )
    return sum(
        found.amount * NANO_PER_CENT
        for found in refunds
        if (state := refund_of(found)).ours == ours and state.status != "failed"
    )
