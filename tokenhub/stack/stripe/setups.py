"""Setup intents: a card is saved without a payment."""

from tokenhub.stack.stripe import cards, customers
from tokenhub.stack.stripe.store import Obj, Store, new_id, snapshot

_AUTHENTICATION_FAILED = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this SetupIntent again."
)


def new(
    store: Store, customer: str | None, metadata: dict[str, str], description: str | None
) -> Obj:
    """A setup intent that waits for a payment method."""
    intent = store.add(
        "setup_intent",
        {
            "application": None,
            "automatic_payment_methods": None,
            "cancellation_reason": None,
            "client_secret": None,
            "customer": customer,
            "customer_account": None,
            "description": description,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "mandate": None,
            "metadata": metadata,
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": "off_session",
        },
    )
    intent["client_secret"] = f"{intent['id']}_secret_{new_id('', 25)}"
    return intent


def attempt(store: Store, intent: Obj, method: Obj, *, authenticated: bool = False) -> Obj | None:
    """Try to save a card. None when it is saved or waits for authentication; else the error."""
    card = cards.of(store, method)
    intent |= {"payment_method": method["id"], "latest_attempt": new_id("setatt_")}
    if card.on_page == "authenticate" and not authenticated:
        intent["status"] = "requires_action"
        store.emit("setup_intent.requires_action", intent)
        return None
    if card.on_page == "declined":
        return _back(store, intent, cards.decline("card_declined", card.decline_code, method))
    intent |= {"last_setup_error": None, "status": "succeeded"}
    if intent["customer"] is not None:
        customers.attach(store, method, intent["customer"])
    store.emit("setup_intent.succeeded", intent)
    return None


def fail_authentication(store: Store, intent: Obj, method: Obj) -> Obj:
    """Record that the card's owner did not authenticate; the error object."""
    return _back(
        store,
        intent,
        {
            "type": "invalid_request_error",
            "code": "setup_intent_authentication_failure",
            "doc_url": "https://stripe.com/docs/error-codes/setup-intent-authentication-failure",
            "message": _AUTHENTICATION_FAILED,
            "payment_method": snapshot(method),
        },
    )


def _back(store: Store, intent: Obj, error: Obj) -> Obj:
    intent |= {
        "last_setup_error": error,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    store.emit("setup_intent.setup_failed", intent)
    return error


def cancel(store: Store, intent: Obj) -> None:
    """Give it up, as when its session expires."""
    intent |= {"cancellation_reason": "abandoned", "status": "canceled"}
    store.emit("setup_intent.canceled", intent)


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One setup intent."""
    return store.get("setup_intent", name)


def listing(store: Store, params: Obj) -> Obj:
    """Setup intents, of one customer if one is given."""
    return store.listing(
        "setup_intent", params, "/v1/setup_intents", ("customer", "payment_method")
    )


ROUTES = [
    ("GET", "/v1/setup_intents", listing),
    ("GET", "/v1/setup_intents/{id}", retrieve),
]
