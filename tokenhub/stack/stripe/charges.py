"""Charges and refunds of them."""

from tokenhub.stack.stripe import cards, forms
from tokenhub.stack.stripe.errors import invalid, missing
from tokenhub.stack.stripe.store import Obj, Store, new_id, page, snapshot

_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def new(store: Store, intent: Obj, method: Obj, failure: tuple[str, str] | None = None) -> Obj:
    """The charge of a payment intent; ``failure`` is the code and the decline code of a refusal."""
    amount, paid = intent["amount"], failure is None
    card = method["card"]
    charge = store.add(
        "charge",
        {
            "amount": amount,
            "amount_captured": amount if paid else 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": new_id("txn_") if paid else None,
            "billing_details": snapshot(method["billing_details"]),
            "calculated_statement_descriptor": "TOKENHUB",
            "captured": paid,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "fraud_details": {},
            "metadata": dict(intent["metadata"]),
            "on_behalf_of": None,
            "outcome": {
                "advice_code": None,
                "network_advice_code": None,
                "network_decline_code": None,
                "network_status": "approved_by_network",
                "reason": None,
                "risk_level": "normal",
                "risk_score": 20,
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {
                "card": {
                    "amount_authorized": amount if paid else None,
                    "authorization_code": new_id("", 6).upper() if paid else None,
                    "brand": card["brand"],
                    "checks": dict(card["checks"]),
                    "country": card["country"],
                    "exp_month": card["exp_month"],
                    "exp_year": card["exp_year"],
                    "fingerprint": card["fingerprint"],
                    "funding": card["funding"],
                    "installments": None,
                    "last4": card["last4"],
                    "mandate": None,
                    "network": card["brand"],
                    "network_token": {"used": False},
                    "three_d_secure": None,
                    "wallet": None,
                },
                "type": "card",
            },
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": None,
            "source": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "succeeded" if paid else "failed",
            "transfer_data": None,
            "transfer_group": None,
        },
    )
    if failure is not None:
        code, decline_code = failure
        charge |= {"failure_code": code, "failure_message": cards.MESSAGES[decline_code]}
        charge["outcome"] |= {
            "network_status": "declined_by_network",
            "reason": decline_code,
            "seller_message": "The bank did not allow the payment.",
            "type": "issuer_declined",
        }
    return charge


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One charge."""
    return store.get("charge", name)


def listing(store: Store, params: Obj) -> Obj:
    """Charges, of one customer or payment intent if one is given."""
    return store.listing("charge", params, "/v1/charges", ("customer", "payment_intent"))


def named(store: Store, params: Obj) -> Obj:
    """The successful charge that ``charge`` or ``payment_intent`` names."""
    name = forms.text(params, "charge")
    if name is not None:
        charge = store.reference("charge", name, "charge")
    else:
        intent_name = forms.text(params, "payment_intent")
        if intent_name is None:
            raise missing("payment_intent")
        intent = store.reference("payment_intent", intent_name, "payment_intent")
        if intent["latest_charge"] is None:
            raise invalid(
                f"This PaymentIntent ({intent_name}) does not have a successful charge.",
                param="payment_intent",
            )
        charge = store.get("charge", intent["latest_charge"])
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} was not paid.", param="charge")
    return charge


def refund(store: Store, params: Obj) -> Obj:
    """Give back ``amount`` cents of a charge, or all that is left of it."""
    charge = named(store, params)
    amount = forms.integer(params, "amount")
    reason = forms.text(params, "reason")
    if reason is not None and reason not in _REASONS:
        raise invalid(
            f"Invalid reason: must be one of {', '.join(_REASONS)}",
            code="parameter_invalid",
            param="reason",
        )
    if amount is not None and amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
        )
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"] and not _won(store, charge):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    amount = left if amount is None else amount
    if amount > left:
        raise invalid(
            f"Refund amount (${amount / 100:,.2f}) is greater than unrefunded amount on charge"
            f" (${left / 100:,.2f})",
            param="amount",
        )
    made = store.add(
        "refund",
        {
            "amount": amount,
            "balance_transaction": new_id("txn_"),
            "charge": charge["id"],
            "currency": charge["currency"],
            "customer": charge["customer"],
            "customer_account": None,
            "destination_details": {
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
                "type": "card",
            },
            "metadata": forms.metadata(params),
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "pending_reason": None,
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "succeeded",
            "transfer_reversal": None,
        },
    )
    before = snapshot(charge)
    _set_refunded(charge, charge["amount_refunded"] + amount)
    store.emit("refund.created", made)
    store.emit("charge.refunded", charge, before)
    return made


def _won(store: Store, charge: Obj) -> bool:
    return all(
        dispute["status"] == "won"
        for dispute in store.tables["dispute"].values()
        if dispute["charge"] == charge["id"]
    )


def _set_refunded(charge: Obj, amount: int) -> None:
    charge |= {"amount_refunded": amount, "refunded": amount == charge["amount_captured"]}


def retrieve_refund(store: Store, params: Obj, name: str) -> Obj:
    """One refund."""
    return store.get("refund", name)


def update_refund(store: Store, params: Obj, name: str) -> Obj:
    """Change a refund's metadata."""
    made = store.get("refund", name)
    before = snapshot(made)
    made["metadata"] = forms.metadata(params, made["metadata"])
    store.emit("refund.updated", made, before)
    return made


def listing_refunds(store: Store, params: Obj) -> Obj:
    """Refunds, of one charge or payment intent if one is given."""
    return store.listing("refund", params, "/v1/refunds", ("charge", "payment_intent"))


def fail_refund(store: Store, name: str) -> Obj:
    """A refund that the bank sends back later: the charge counts as not refunded by it."""
    made = store.get("refund", name)
    if made["status"] != "succeeded":
        raise invalid(f"Refund {name} has the status {made['status']}.")
    before = snapshot(made)
    made |= {
        "failure_balance_transaction": new_id("txn_"),
        "failure_reason": "expired_or_canceled_card",
        "status": "failed",
    }
    charge = store.get("charge", made["charge"])
    _set_refunded(charge, charge["amount_refunded"] - made["amount"])
    store.emit("refund.updated", made, before)
    store.emit("refund.failed", made)
    return made


def refunds_of(store: Store, charge: Obj) -> Obj:
    """A charge's refunds, as its ``refunds`` property lists them."""
    found = [
        made for made in reversed(store.tables["refund"].values()) if made["charge"] == charge["id"]
    ]
    return page(found, {}, f"/v1/charges/{charge['id']}/refunds")


ROUTES = [
    ("GET", "/v1/charges", listing),
    ("GET", "/v1/charges/{id}", retrieve),
    ("POST", "/v1/refunds", refund),
    ("GET", "/v1/refunds", listing_refunds),
    ("GET", "/v1/refunds/{id}", retrieve_refund),
    ("POST", "/v1/refunds/{id}", update_refund),
]
