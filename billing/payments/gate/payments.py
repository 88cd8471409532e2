"""Payments and refunds."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import stripe

from billing.payments.gate.sdk import NANO_PER_CENT, PAGE, client, pages, said_plainly
from billing.payments.gate.shapes import dispute_of, is_inquiry, payment_of, refund_of
from billing.payments.gate.states import DisputeState, Payment, RefundState


def payment(stripe_id: str) -> Payment:
    """A payment with its refunds and disputes as they stand now."""
    with said_plainly():
        found = client().v1.payment_intents.retrieve(
            stripe_id, {"expand": ["latest_charge", "payment_method"]}
        )
        return payment_of(found)


def charge_saved_card(
    *, customer: str, payment_method: str, top_up: str, organization: str, amount_nano: int
) -> Payment:
    """Charge a saved card while nobody is there; once for each top-up, however often it is asked.

    A refusal comes back as a payment with a ``failure``, not as an error: it is an outcome.
    """
    with said_plainly():
        try:
            made = client().v1.payment_intents.create(
                {
                    "amount": amount_nano // NANO_PER_CENT,
                    "currency": "usd",
                    "customer": customer,
                    "payment_method": payment_method,
                    "off_session": True,
                    "confirm": True,
                    "description": f"TokenHub automatic top-up {top_up}",
                    "metadata": {"top_up": top_up, "organization": organization},
                    "expand": ["latest_charge", "payment_method"],
                },
                {"idempotency_key": f"top-up:{top_up}"},
            )
        except stripe.CardError as error:
            body: Any = error.json_body or {}
            intent = body.get("error", {}).get("payment_intent") or {}
            return Payment(
                stripe_id=intent.get("id", ""),
                status="failed",
                amount_nano=0,
                currency="usd",
                top_up=top_up,
                customer=customer,
                failure=error.user_message or "The card was declined.",
                failure_code=error.code or "card_declined",
            )
        return payment_of(made)


def payments_since(since: datetime) -> Iterator[Payment]:
    """Every payment made since an instant, the newest first."""
    payment_intents: Any = client().v1.payment_intents
    for found in pages(
        lambda more: payment_intents.list(
            {
                "limit": PAGE,
                "created": {"gte": int(since.timestamp())},
                "expand": ["data.latest_charge"],
                **more,
            }
        )
    ):
        with said_plainly():
            yield payment_of(found)


def disputes_since(since: datetime) -> Iterator[DisputeState]:
    """Every dispute opened since an instant, whatever payment it is about."""
    api: Any = client().v1
    about = {"limit": PAGE, "created": {"gte": int(since.timestamp())}}
    for found in pages(lambda more: api.disputes.list({**about, **more})):
        if not is_inquiry(found):
            yield dispute_of(found)


def refunds_since(since: datetime) -> Iterator[RefundState]:
    """Every refund made since an instant, of whatever payment."""
    api: Any = client().v1
    about = {"limit": PAGE, "created": {"gte": int(since.timestamp())}}
    for found in pages(lambda more: api.refunds.list({**about, **more})):
        yield refund_of(found)


def create_refund(*, payment_id: str, refund: str, amount_nano: int) -> RefundState:
    """Send money back to the card it came from, once for each refund of ours."""
    with said_plainly():
        made = client().v1.refunds.create(
            {
                "payment_intent": payment_id,
                "amount": amount_nano // NANO_PER_CENT,
                "metadata": {"refund": refund},
            },
            {"idempotency_key": f"refund:{refund}"},
        )
    return refund_of(made)
