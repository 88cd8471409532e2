"""Payment intents, and what happens when a card is tried."""

from typing import Any

from tokenhub.stack.stripe import cards, charges, customers
from tokenhub.stack.stripe.errors import invalid
from tokenhub.stack.stripe.store import Obj, Store, new_id, now, snapshot

MIN_AMOUNT_CENTS = 50
MAX_AMOUNT_CENTS = 99_999_999
AUTHENTICATION_FAILED = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def new(
    store: Store,
    amount: int,
    *,
    customer: str | None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    setup_future_usage: str | None = None,
    private: Obj | None = None,
) -> Obj:
    """A payment intent over ``amount`` cents that waits for a payment method."""
    intent = store.add(
        "payment_intent",
        {
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic_async",
            "client_secret": None,
            "confirmation_method": "automatic",
            "currency": "usd",
            "customer": customer,
            "customer_account": None,
            "description": description,
            "last_payment_error": None,
            "latest_charge": None,
            "metadata": metadata or {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": setup_future_usage,
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
        },
        private or {},
    )
    intent["client_secret"] = f"{intent['id']}_secret_{new_id('', 25)}"
    store.emit("payment_intent.created", intent)
    return intent


def within_limits(amount: int) -> None:
    """Refuse what Stripe would not charge."""
    if amount < MIN_AMOUNT_CENTS:
        raise invalid(
            "The Checkout Session's or PaymentIntent's total amount must be at least $0.50 usd.",
            code="amount_too_small",
            param="amount",
        )
    if amount > MAX_AMOUNT_CENTS:
        raise invalid(
            "Amount must be no more than $999,999.99", code="amount_too_large", param="amount"
        )


def cancel_now(store: Store, intent: Obj, reason: str | None) -> Obj:
    """Cancel without asking."""
    intent |= {
        "canceled_at": now(),
        "cancellation_reason": reason,
        "next_action": None,
        "status": "canceled",
    }
    store.emit("payment_intent.canceled", intent)
    return intent


def attempt(
    store: Store, intent: Obj, method: Obj, *, place: cards.Place, authenticated: bool = False
) -> Obj | None:
    """Try to pay. None when it succeeded or waits for authentication; else the card's error."""
    card = cards.of(store, method)
    outcome = card.at(place)
    intent |= {"payment_method": method["id"], "next_action": None}
    if outcome == "authenticate" and place != "absent" and not authenticated:
        intent["status"] = "requires_action"
        store.emit("payment_intent.requires_action", intent)
        return None
    if outcome == "authenticate" and place == "absent":
        return decline(store, intent, method, "authentication_required", "authentication_required")
    if outcome == "declined":
        return decline(store, intent, method, "card_declined", card.decline_code)
    succeed(store, intent, method)
    return None


def succeed(store: Store, intent: Obj, method: Obj) -> Obj:
    """Charge the card; its charge."""
    charge = charges.new(store, intent, method)
    intent |= {
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": method["id"],
        "status": "succeeded",
    }
    store.emit("charge.succeeded", charge)
    if intent["customer"] is not None and intent["setup_future_usage"] is not None:
        customers.attach(store, method, intent["customer"])
    elif method["customer"] is None:
        store.private[method["id"]]["spent"] = True
    store.emit("payment_intent.succeeded", intent)
    return charge


def decline(store: Store, intent: Obj, method: Obj, code: str, decline_code: str) -> Obj:
    """Record that the card was refused; the error object."""
    charge = charges.new(store, intent, method, failure=(code, decline_code))
    error = cards.decline(code, decline_code, method, charge["id"])
    _back(intent, error, charge["id"])
    store.emit("charge.failed", charge)
    store.emit("payment_intent.payment_failed", intent)
    return error


def fail_authentication(store: Store, intent: Obj, method: Obj) -> Obj:
    """Record that the card's owner did not authenticate; the error object. Nothing was charged."""
    error: Obj = {
        "type": "invalid_request_error",
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": AUTHENTICATION_FAILED,
        "payment_method": snapshot(method),
    }
    _back(intent, error, intent["latest_charge"])
    store.emit("payment_intent.payment_failed", intent)
    return error


def _back(intent: Obj, error: Obj, charge: Any) -> None:
    intent |= {
        "last_payment_error": error,
        "latest_charge": charge,
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
