"""The API of payment intents: made, confirmed with a card, canceled."""

from tokenhub.stack.stripe import cards, customers, disputes, forms, intents
from tokenhub.stack.stripe.errors import Refused, invalid
from tokenhub.stack.stripe.store import Obj, Store, snapshot

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(store: Store, params: Obj) -> Obj:
    """A payment intent, and with ``confirm`` the payment at once."""
    amount = forms.integer(params, "amount")
    if amount is None:
        forms.required(params, "amount")
    forms.usd(params)
    intents.within_limits(amount or 0)
    confirmed = bool(forms.flag(params, "confirm"))
    customer = forms.text(params, "customer")
    if customer is not None:
        store.reference("customer", customer, "customer")
    if not confirmed and forms.text(params, "off_session") not in (None, "false"):
        raise invalid("off_session can only be used with confirm=true.", param="off_session")
    method = _method(store, params, customer)
    if confirmed and method is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    intent = intents.new(
        store,
        amount or 0,
        customer=customer,
        description=forms.text(params, "description"),
        metadata=forms.metadata(params),
        setup_future_usage=forms.text(params, "setup_future_usage"),
    )
    intent["receipt_email"] = forms.text(params, "receipt_email")
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return _pay(store, intent, method, params) if confirmed and method is not None else intent


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One payment intent."""
    return store.get("payment_intent", name)


def update(store: Store, params: Obj, name: str) -> Obj:
    """Change metadata and description."""
    intent = store.get("payment_intent", name)
    intent["metadata"] = forms.metadata(params, intent["metadata"])
    if "description" in params:
        intent["description"] = forms.text(params, "description")
    return intent


def listing(store: Store, params: Obj) -> Obj:
    """Payment intents, of one customer if one is given."""
    return store.listing("payment_intent", params, "/v1/payment_intents", ("customer",))


def confirm(store: Store, params: Obj, name: str) -> Obj:
    """Pay with the given or the earlier payment method."""
    intent = store.get("payment_intent", name)
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "confirm", "Only a PaymentIntent that is still open can be.")
    _not_of_open_session(store, intent)
    method = _method(store, params, intent["customer"])
    if method is None and intent["payment_method"] is not None:
        method = store.get("payment_method", intent["payment_method"])
        customers.usable(store, method)
    if method is None:
        raise _unexpected(intent, "confirm", "It's missing a payment method.")
    return _pay(store, intent, method, params)


def cancel(store: Store, params: Obj, name: str) -> Obj:
    """Give up a payment that has not succeeded."""
    intent = store.get("payment_intent", name)
    if intent["status"] not in _OPEN:
        raise _unexpected(
            intent,
            "cancel",
            f"Only a PaymentIntent with one of the following statuses may be canceled: {', '.join(_OPEN)}.",
        )
    _not_of_open_session(store, intent)
    return intents.cancel_now(store, intent, forms.text(params, "cancellation_reason"))


def _unexpected(intent: Obj, verb: str, why: str) -> Refused:
    return Refused(
        400,
        "invalid_request_error",
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. {why}",
        code="payment_intent_unexpected_state",
        payment_intent=snapshot(intent),
    )


def _not_of_open_session(store: Store, intent: Obj) -> None:
    session = store.tables["checkout.session"].get(store.private[intent["id"]].get("session") or "")
    if session is not None and session["status"] == "open":
        raise invalid(
            f"This PaymentIntent belongs to the open Checkout Session {session['id']}; expire the"
            " session instead.",
            code="payment_intent_unexpected_state",
        )


def _method(store: Store, params: Obj, customer: str | None) -> Obj | None:
    name = forms.text(params, "payment_method")
    if name is None:
        return None
    method = cards.from_token(store, name) or store.reference(
        "payment_method", name, "payment_method"
    )
    customers.usable(store, method)
    if customer is not None and method["customer"] not in (None, customer):
        customers.owned(store, customer, method["id"], "payment_method")
    if customer is None and method["customer"] is not None:
        raise invalid(
            "The PaymentMethod belongs to a Customer; name that Customer to use it.",
            param="payment_method",
        )
    return method


def _pay(store: Store, intent: Obj, method: Obj, params: Obj) -> Obj:
    absent = forms.text(params, "off_session") not in (None, "false")
    if absent and intent["customer"] is not None:
        customers.owned(store, intent["customer"], method["id"], "payment_method")
    error = intents.attempt(store, intent, method, place="absent" if absent else "present")
    if error is not None:
        raise cards.refusal(error, payment_intent=snapshot(intent))
    if intent["status"] == "requires_action":
        _ask(store, intent, forms.text(params, "return_url"))
    else:
        disputes.of_card(store, intent)
    return intent


def _ask(store: Store, intent: Obj, return_url: str | None) -> None:
    url = f"{store.url}/authenticate/{intent['id']}"
    action: Obj = {"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": url}}
    if return_url is not None:
        action = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": url},
        }
    intent["next_action"] = action
    store.private[intent["id"]]["return_url"] = return_url


ROUTES = [
    ("POST", "/v1/payment_intents", create),
    ("GET", "/v1/payment_intents", listing),
    ("GET", "/v1/payment_intents/{id}", retrieve),
    ("POST", "/v1/payment_intents/{id}", update),
    ("POST", "/v1/payment_intents/{id}/confirm", confirm),
    ("POST", "/v1/payment_intents/{id}/cancel", cancel),
]
