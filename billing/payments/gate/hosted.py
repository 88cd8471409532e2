"""Stripe's hosted pages: to pay, to save a card, to subscribe."""

from datetime import datetime, timedelta
from typing import Any

import stripe
from django.utils import timezone

from billing.payments.gate.sdk import NANO_PER_CENT, PAGE, client, pages, said_plainly
from billing.payments.gate.shapes import session_of
from billing.payments.gate.states import Session

# Stripe closes a page after a day.
OPEN_FOR_AT_MOST = timedelta(days=2)


def open_top_up(
    *, customer: str, top_up: str, organization: str, amount_nano: int, save_card: bool,
    return_url: str, cancel_url: str,
) -> Session:  # fmt: skip
    """A hosted page to pay a top-up on."""
    intent: dict[str, Any] = {
        "metadata": {"top_up": top_up, "organization": organization},
        "description": f"TokenHub top-up {top_up}",
    }
    if save_card:
        intent["setup_future_usage"] = "off_session"
    return _open(
        f"top-up:{top_up}",
        {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": top_up,
            "metadata": {"top_up": top_up, "organization": organization},
            "payment_intent_data": intent,
            "line_items": [_item("TokenHub balance", amount_nano)],
            "success_url": return_url,
            "cancel_url": cancel_url,
        },
    )


def open_setup(
    *, customer: str, organization: str, attempt: str, return_url: str, cancel_url: str
) -> Session:
    """A hosted page to save a card on."""
    return _open(
        f"card:{attempt}",
        {
            "mode": "setup",
            "customer": customer,
            "currency": "usd",
            "metadata": {"organization": organization},
            "success_url": return_url,
            "cancel_url": cancel_url,
        },
    )


def open_subscription(
    *, customer: str, organization: str, plan: str, name: str, price_nano: int, anchor: datetime,
    attempt: str, after: str, return_url: str, cancel_url: str,
) -> Session:  # fmt: skip
    """A hosted page to subscribe on: what is left of the month now, then each month from ``anchor``.

    ``after`` is the page before it; asked twice with the same, it is the same page.
    """
    metadata = {"organization": organization, "plan": plan}
    return _open(
        f"plan:{organization}:{attempt}:{after}",
        {
            "mode": "subscription",
            "customer": customer,
            "metadata": {**metadata, "attempt": attempt},
            "subscription_data": {
                "metadata": metadata,
                "billing_cycle_anchor": int(anchor.timestamp()),
                "proration_behavior": "create_prorations",
            },
            "line_items": [_item(f"TokenHub {name}", price_nano, recurring={"interval": "month"})],
            "success_url": return_url,
            "cancel_url": cancel_url,
        },
    )


def session(stripe_id: str) -> Session:
    """A visit to the hosted page as it stands now."""
    with said_plainly():
        return session_of(client().v1.checkout.sessions.retrieve(stripe_id))


def recent_sessions(customer: str) -> list[Session]:
    """A customer's visits of the last two days, the newest first: every open one is among them."""
    sessions: Any = client().v1.checkout.sessions
    since = int((timezone.now() - OPEN_FOR_AT_MOST).timestamp())
    listed = pages(
        lambda more: sessions.list(
            {"customer": customer, "created": {"gte": since}, "limit": PAGE, **more}
        )
    )
    return [session_of(found) for found in listed]


def expire(stripe_id: str) -> Session:
    """Close a page, so that nobody can pay on it any more; how it stands then, paid perhaps."""
    with said_plainly():
        sessions = client().v1.checkout.sessions
        try:
            return session_of(sessions.expire(stripe_id))
        except stripe.InvalidRequestError:
            return session_of(sessions.retrieve(stripe_id))


def _open(key: str, params: dict[str, Any]) -> Session:
    with said_plainly():
        made = client().v1.checkout.sessions.create(
            params,  # type: ignore[arg-type]  # built in two steps
            {"idempotency_key": key},
        )
    return session_of(made)


def _item(name: str, amount_nano: int, **more: Any) -> dict[str, Any]:
    return {
        "quantity": 1,
        "price_data": {
            "currency": "usd",
            "unit_amount": amount_nano // NANO_PER_CENT,
            "product_data": {"name": name},
            **more,
        },
    }
