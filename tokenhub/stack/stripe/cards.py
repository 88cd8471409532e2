"""The test cards, and what becomes of a payment with each."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any, Literal

from tokenhub.stack.stripe.errors import Refused
from tokenhub.stack.stripe.store import Obj, Store, snapshot

Place = Literal["page", "present", "absent"]
"""Where a card is used: on the hosted page, by the API with its owner there, or without its owner."""
Outcome = Literal["ok", "declined", "authenticate"]

MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "test_mode_live_card": "Your card was declined. Only the test cards of this page can be used.",
}


@dataclass(frozen=True)
class Card:
    """One test card."""

    number: str
    label: str
    token: str
    brand: str = "visa"
    on_page: Outcome = "ok"
    later: Outcome = "ok"
    decline_code: str = "generic_decline"
    disputed: bool = False

    def at(self, place: Place) -> Outcome:
        """What a payment in this place comes to."""
        return self.on_page if place == "page" else self.later


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242", "Visa: succeeds", "pm_card_visa"),
        Card("5555555555554444", "Mastercard: succeeds", "pm_card_mastercard", brand="mastercard"),
        Card(
            "4000000000000002",
            "Visa: declined",
            "pm_card_visa_chargeDeclined",
            on_page="declined",
            later="declined",
        ),
        Card(
            "4000000000009995",
            "Visa: insufficient funds",
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            on_page="declined",
            later="declined",
            decline_code="insufficient_funds",
        ),
        Card(
            "4000002760003184",
            "Visa: asks for authentication each time",
            "pm_card_authenticationRequired",
            on_page="authenticate",
            later="authenticate",
            decline_code="authentication_required",
        ),
        Card(
            "4000000000000259",
            "Visa: succeeds, disputed later",
            "pm_card_createDispute",
            disputed=True,
        ),
        Card(
            "4000000000000341",
            "Visa: succeeds here, declined at later charges",
            "pm_card_chargeCustomerFail",
            later="declined",
        ),
    )
}
_BY_TOKEN = {card.token: card for card in CARDS.values()}


def make(store: Store, card: Card, email: str | None = None, name: str | None = None) -> Obj:
    """A payment method for a card; not attached to anybody yet."""
    expires = time.gmtime().tm_year + 3
    return store.add(
        "payment_method",
        {
            "allow_redisplay": "limited",
            "billing_details": {
                "address": dict.fromkeys(
                    ("city", "country", "line1", "line2", "postal_code", "state")
                ),
                "email": email,
                "name": name,
                "phone": None,
                "tax_id": None,
            },
            "card": {
                "brand": card.brand,
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "pass",
                },
                "country": "US",
                "display_brand": card.brand,
                "exp_month": 12,
                "exp_year": expires,
                "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
                "funding": "credit",
                "generated_from": None,
                "last4": card.number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "customer": None,
            "customer_account": None,
            "metadata": {},
            "type": "card",
        },
        # "spent" is a method that was detached, or used once without being kept.
        {"number": card.number, "spent": False},
    )


def of(store: Store, method: Obj) -> Card:
    """The test card behind a payment method."""
    return CARDS[store.private[method["id"]]["number"]]


def from_token(store: Store, name: str) -> Obj | None:
    """A new payment method for one of Stripe's test names (``pm_card_visa``), or None."""
    card = _BY_TOKEN.get(name)
    return None if card is None else make(store, card)


def decline(code: str, decline_code: str, method: Obj | None, charge: str | None = None) -> Obj:
    """The error object of a declined card."""
    return {
        "type": "card_error",
        "code": code,
        "decline_code": decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": MESSAGES[decline_code],
        "charge": charge,
        "payment_method": None if method is None else snapshot(method),
    }


def refusal(error: Obj, **more: Any) -> Refused:
    """What the API answers for an error object: 402 for a card, 400 for anything else."""
    fields: dict[str, Any] = {
        name: value for name, value in error.items() if name not in ("type", "message")
    }
    status = 402 if error["type"] == "card_error" else 400
    return Refused(status, error["type"], error["message"], **fields, **more)
