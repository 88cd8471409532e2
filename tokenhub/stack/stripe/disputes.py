"""Disputes: a card's owner asks the bank for the money back."""

from tokenhub.stack.stripe import cards, charges, forms
from tokenhub.stack.stripe.errors import invalid
from tokenhub.stack.stripe.store import DAY_S, Obj, Store, new_id, now, snapshot

FEE_CENTS = 1500
ANSWER_WITHIN_S = 7 * DAY_S
_TEXTS = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt",
    "refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date",
    "service_documentation", "shipping_address", "shipping_carrier", "shipping_date",
    "shipping_documentation", "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def open_for(store: Store, charge: Obj, amount: int | None = None) -> Obj:
    """Dispute ``amount`` cents of a charge, or all that is not refunded; Stripe takes the money at once."""
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} is already disputed.")
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if amount is None else amount
    if not 1 <= amount <= charge["amount_captured"]:
        raise invalid("A dispute is over at least a cent and at most the charge.", param="amount")
    brand = charge["payment_method_details"]["card"]["brand"]
    dispute = store.add(
        "dispute",
        {
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**dict.fromkeys(_TEXTS), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": now() + ANSWER_WITHIN_S,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "card": {
                    "brand": brand,
                    "case_type": "chargeback",
                    "network": brand,
                    "network_reason_code": "10.4",
                },
                "type": "card",
            },
            "reason": "fraudulent",
            "status": "needs_response",
        },
    )
    charge["disputed"] = True
    store.emit("charge.dispute.created", dispute)
    dispute["balance_transactions"].append(_moved(dispute, -amount, FEE_CENTS))
    store.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def _moved(dispute: Obj, amount: int, fee: int) -> Obj:
    return {
        "id": new_id("txn_"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now(),
        "balance_type": "payments",
        "created": now(),
        "currency": dispute["currency"],
        "description": f"Chargeback {'withdrawal' if amount < 0 else 'reversal'} for {dispute['charge']}",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": dispute["currency"],
                "description": "Dispute fee",
                "type": "stripe_fee",
            }
        ]
        if fee
        else [],
        "net": amount - fee,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute["id"],
        "status": "available",
        "type": "adjustment",
    }


def of_card(store: Store, intent: Obj) -> None:
    """Dispute a payment that was just made, if it was made with the card for that."""
    charge = store.tables["charge"].get(intent["latest_charge"] or "")
    if charge is None or not charge["paid"] or charge["disputed"]:
        return
    if cards.of(store, store.get("payment_method", charge["payment_method"])).disputed:
        open_for(store, charge)


def close(store: Store, name: str, outcome: str) -> Obj:
    """The bank's decision: ``won`` brings the money back, ``lost`` does not."""
    dispute = store.get("dispute", name)
    if outcome not in ("won", "lost"):
        raise invalid("The outcome is won or lost.", param="outcome")
    if dispute["status"] in ("won", "lost"):
        raise invalid(f"Dispute {name} is already {dispute['status']}.")
    before = snapshot(dispute)
    dispute["status"] = outcome
    dispute["is_charge_refundable"] = outcome == "won"
    if outcome == "won":
        dispute["balance_transactions"].append(_moved(dispute, dispute["amount"], 0))
    store.emit("charge.dispute.closed", dispute, before)
    if outcome == "won":
        store.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One dispute."""
    return store.get("dispute", name)


def listing(store: Store, params: Obj) -> Obj:
    """Disputes, of one charge or payment intent if one is given."""
    return store.listing("dispute", params, "/v1/disputes", ("charge", "payment_intent"))


def update(store: Store, params: Obj, name: str) -> Obj:
    """Add evidence and metadata; ``submit`` hands the evidence to the bank."""
    dispute = store.get("dispute", name)
    evidence = forms.mapping(params, "evidence")
    if dispute["status"] in ("won", "lost"):
        raise invalid("This dispute is already closed")
    if unknown := sorted(set(evidence) - set(_TEXTS)):
        raise invalid(
            f"Received unknown parameter: evidence[{unknown[0]}]",
            code="parameter_unknown",
            param=f"evidence[{unknown[0]}]",
        )
    before = snapshot(dispute)
    dispute["evidence"] |= {field: forms.text(evidence, field) for field in evidence}
    dispute["metadata"] = forms.metadata(params, dispute["metadata"])
    details = dispute["evidence_details"]
    details["has_evidence"] = details["has_evidence"] or bool(evidence)
    if evidence and forms.flag(params, "submit") is not False:
        details |= {
            "submission_count": details["submission_count"] + 1,
            "submission_method": "manual",
        }
        dispute["status"] = "under_review"
    store.emit("charge.dispute.updated", dispute, before)
    return dispute


def accept(store: Store, params: Obj, name: str) -> Obj:
    """Do not contest the dispute: it is lost."""
    return close(store, name, "lost")


def by_hand(store: Store, params: Obj) -> Obj:
    """Open a dispute for the charge that ``charge`` or ``payment_intent`` names."""
    return open_for(store, charges.named(store, params), forms.integer(params, "amount"))


ROUTES = [
    ("GET", "/v1/disputes", listing),
    ("GET", "/v1/disputes/{id}", retrieve),
    ("POST", "/v1/disputes/{id}", update),
    ("POST", "/v1/disputes/{id}/close", accept),
]
