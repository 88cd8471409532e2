"""Invoices of subscriptions, and what was paid towards them."""

from dataclasses import dataclass

from tokenhub.stack.stripe import forms
from tokenhub.stack.stripe.store import Obj, Store, new_id, now


@dataclass(frozen=True)
class Line:
    """One line to be charged: a subscription item for a period, in cents."""

    item: Obj
    amount: int
    start: int
    end: int
    proration: bool


def new(
    store: Store,
    subscription: Obj,
    lines: list[Line],
    *,
    reason: str,
    period: tuple[int, int],
) -> Obj:
    """An open invoice. ``period`` looks back, as with Stripe: the new period is on the lines."""
    customer = store.get("customer", subscription["customer"])
    total = sum(line.amount for line in lines)
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    invoice = store.add(
        "invoice",
        {
            "account_country": "US",
            "account_name": "TokenHub",
            "account_tax_ids": None,
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": total,
            "amount_shipping": 0,
            "application": None,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "currency": "usd",
            "custom_fields": None,
            "customer": customer["id"],
            "customer_account": None,
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_shipping": None,
            "customer_tax_exempt": customer["tax_exempt"],
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": None,
            "discounts": [],
            "due_date": None,
            "effective_at": now(),
            "ending_balance": 0,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "lines": {"object": "list", "has_more": False, "data": [], "url": ""},
            "metadata": {},
            "next_payment_attempt": None,
            "number": number,
            "on_behalf_of": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {
                    "metadata": dict(subscription["metadata"]),
                    "subscription": subscription["id"],
                },
                "type": "subscription_details",
            },
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": period[1],
            "period_start": period[0],
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "rendering": None,
            "shipping_cost": None,
            "shipping_details": None,
            "starting_balance": 0,
            "statement_descriptor": None,
            "status": "open",
            "status_transitions": {
                "finalized_at": now(),
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "test_clock": None,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": None,
        },
    )
    invoice["lines"] |= {
        "data": [_line(store, invoice, subscription, line) for line in lines],
        "url": f"/v1/invoices/{invoice['id']}/lines",
    }
    store.emit("invoice.created", invoice)
    return invoice


def _line(store: Store, invoice: Obj, subscription: Obj, line: Line) -> Obj:
    price = line.item["price"]
    product = store.get("product", price["product"])
    recurring = price["recurring"]
    each = f"${price['unit_amount'] / 100:,.2f} / {recurring['interval']}"
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "amount": line.amount,
        "currency": "usd",
        "description": f"{line.item['quantity']} × {product['name']} (at {each})",
        "discount_amounts": [],
        "discountable": not line.proration,
        "discounts": [],
        "invoice": invoice["id"],
        "livemode": False,
        "metadata": dict(subscription["metadata"]),
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": line.proration,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": line.item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": line.item["quantity"],
        "subscription": subscription["id"],
        "subtotal": line.amount,
        "taxes": [],
    }


def subscription_of(store: Store, invoice: Obj) -> Obj:
    """The subscription that an invoice is for."""
    return store.get("subscription", invoice["parent"]["subscription_details"]["subscription"])


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One invoice."""
    return store.get("invoice", name)


def listing(store: Store, params: Obj) -> Obj:
    """Invoices, of one subscription, customer or status if one is given."""
    subscription = forms.text(params, "subscription")
    return store.listing(
        "invoice",
        params,
        "/v1/invoices",
        ("customer", "status"),
        lambda invoice: (
            subscription is None
            or invoice["parent"]["subscription_details"]["subscription"] == subscription
        ),
    )


def listing_payments(store: Store, params: Obj) -> Obj:
    """Payments of invoices, of one invoice or one payment intent if one is given."""
    intent = forms.text(forms.mapping(params, "payment"), "payment_intent")
    return store.listing(
        "invoice_payment",
        params,
        "/v1/invoice_payments",
        ("invoice", "status"),
        lambda payment: intent is None or payment["payment"]["payment_intent"] == intent,
    )


def payments_of(store: Store, invoice: Obj) -> Obj:
    """An invoice's payments, as its ``payments`` property lists them."""
    return listing_payments(store, {"invoice": invoice["id"]})


ROUTES = [
    ("GET", "/v1/invoices", listing),
    ("GET", "/v1/invoices/{id}", retrieve),
    ("GET", "/v1/invoice_payments", listing_payments),
]
