"""Collecting: an open invoice is charged to its subscription's card."""

from tokenhub.stack.stripe import intents
from tokenhub.stack.stripe.errors import invalid
from tokenhub.stack.stripe.invoices import subscription_of
from tokenhub.stack.stripe.store import DAY_S, Obj, Store, now, snapshot

RETRY_AFTER_S = 3 * DAY_S


def _payment(store: Store, invoice: Obj, intent: Obj, *, paid: bool) -> None:
    """Tie a payment intent to its invoice, once; intents themselves do not name an invoice."""
    known = next(
        (
            payment
            for payment in store.tables["invoice_payment"].values()
            if payment["invoice"] == invoice["id"]
            and payment["payment"]["payment_intent"] == intent["id"]
        ),
        None,
    )
    payment = known or store.add(
        "invoice_payment",
        {
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "currency": "usd",
            "invoice": invoice["id"],
            "is_default": True,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        },
    )
    if paid:
        payment |= {"amount_paid": invoice["amount_due"], "status": "paid"}
        payment["status_transitions"]["paid_at"] = now()


def settle(store: Store, invoice: Obj, intent: Obj | None) -> None:
    """The invoice is paid, by ``intent`` unless there was nothing to pay."""
    before = snapshot(invoice)
    invoice |= {
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempt_count": invoice["attempt_count"] + (intent is not None),
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
    }
    invoice["status_transitions"]["paid_at"] = now()
    if intent is not None:
        _payment(store, invoice, intent, paid=True)
    store.emit("invoice.paid", invoice, before)


def bounce(store: Store, invoice: Obj, intent: Obj) -> None:
    """The invoice's payment was refused; it stays open."""
    before = snapshot(invoice)
    invoice |= {
        "attempt_count": invoice["attempt_count"] + 1,
        "attempted": True,
        "next_payment_attempt": now() + RETRY_AFTER_S,
    }
    _payment(store, invoice, intent, paid=False)
    store.emit("invoice.payment_failed", invoice, before)


def collect(store: Store, invoice: Obj, outcome: str | None = None) -> Obj | None:
    """Charge the subscription's card for an open invoice; the error of a refusal.

    ``outcome`` (``paid`` or ``failed``) overrules what the card would do by itself.
    """
    subscription = subscription_of(store, invoice)
    if invoice["amount_due"] == 0:
        settle(store, invoice, None)
        return None
    method = _method(store, subscription)
    intent = _intent(store, invoice)
    if outcome == "paid":
        intents.succeed(store, intent, method)
        error = None
    elif outcome == "failed":
        error = intents.decline(store, intent, method, "card_declined", "generic_decline")
    else:
        error = intents.attempt(store, intent, method, place="absent")
    if error is None:
        settle(store, invoice, intent)
    else:
        bounce(store, invoice, intent)
    return error


def _method(store: Store, subscription: Obj) -> Obj:
    customer = store.get("customer", subscription["customer"])
    chosen = (
        subscription["default_payment_method"],
        customer["invoice_settings"]["default_payment_method"],
    )
    for name in chosen:
        method = store.tables["payment_method"].get(name or "")
        if method is not None and method["customer"] == customer["id"]:
            return method
    raise invalid(
        "This customer has no attached payment source or default payment method.",
        code="resource_missing",
    )


def _intent(store: Store, invoice: Obj) -> Obj:
    for payment in store.tables["invoice_payment"].values():
        if payment["invoice"] == invoice["id"]:
            return store.get("payment_intent", payment["payment"]["payment_intent"])
    return intents.new(
        store,
        invoice["amount_due"],
        customer=invoice["customer"],
        description="Subscription update",
    )
