"""Subscriptions: begun by Checkout, renewed and ended by hand."""

from dataclasses import dataclass

from tokenhub.stack.stripe import cards, collecting, customers, forms, invoices, periods
from tokenhub.stack.stripe.errors import invalid, no_such
from tokenhub.stack.stripe.invoices import Line
from tokenhub.stack.stripe.store import Obj, Store, new_id, now, snapshot


@dataclass(frozen=True)
class Start:
    """When a subscription's first period runs, and what it costs in cents per line."""

    start: int
    end: int
    anchor: int
    amounts: list[int]
    proration: bool

    @property
    def total(self) -> int:
        """The first invoice, in cents."""
        return sum(self.amounts)


def beginning(store: Store, lines: list[Obj], data: Obj, at: int) -> Start:
    """What it means to begin at ``at`` with the ``subscription_data`` of a Checkout session.

    With an anchor in the future the first period ends there and is charged by the second, as a
    share of the full period that ends there; with ``proration_behavior=none`` it is free.
    """
    anchor = data["billing_cycle_anchor"] or at
    recurring = store.get("price", lines[0]["price"])["recurring"]
    start, end = periods.around(anchor, recurring["interval"], recurring["interval_count"], at)
    full = [line["amount"] for line in lines]
    if start == at:
        return Start(at, end, anchor, full, proration=False)
    if data["proration_behavior"] == "none":
        return Start(at, end, anchor, [0] * len(full), proration=True)
    amounts = [periods.share(amount, end - at, end - start) for amount in full]
    return Start(at, end, anchor, amounts, proration=True)


def begin(
    store: Store, start: Start, lines: list[Obj], customer: str, method: Obj, metadata: Obj
) -> tuple[Obj, Obj]:
    """An active subscription and its first invoice, still open."""
    subscription = store.add(
        "subscription",
        {
            "application": None,
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": start.anchor,
            "billing_cycle_anchor_config": None,
            "billing_mode": {"flexible": None, "type": "classic"},
            "billing_schedules": [],
            "billing_thresholds": None,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "collection_method": "charge_automatically",
            "currency": "usd",
            "customer": customer,
            "customer_account": None,
            "days_until_due": None,
            "default_payment_method": method["id"],
            "default_source": None,
            "default_tax_rates": [],
            "description": None,
            "discounts": [],
            "ended_at": None,
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": {"object": "list", "data": [], "has_more": False, "url": ""},
            "latest_invoice": None,
            "metadata": metadata,
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": start.start,
            "status": "active",
            "test_clock": None,
            "transfer_data": None,
            "trial_end": None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": None,
        },
    )
    items = [_item(store, subscription["id"], line, start) for line in lines]
    subscription["items"] |= {
        "data": items,
        "url": f"/v1/subscription_items?subscription={subscription['id']}",
    }
    invoice_lines = [
        Line(item, amount, start.start, start.end, start.proration)
        for item, amount in zip(items, start.amounts, strict=True)
    ]
    invoice = invoices.new(
        store,
        subscription,
        invoice_lines,
        reason="subscription_create",
        period=(start.start, start.start),
    )
    subscription["latest_invoice"] = invoice["id"]
    store.emit("customer.subscription.created", subscription)
    return subscription, invoice


def _item(store: Store, subscription: str, line: Obj, start: Start) -> Obj:
    price = snapshot(store.get("price", line["price"]))
    recurring = price["recurring"]
    return {
        "id": new_id("si_"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now(),
        "current_period_end": start.end,
        "current_period_start": start.start,
        "discounts": [],
        "metadata": {},
        # The older name of a price, which items still carry.
        "plan": {
            "id": price["id"],
            "object": "plan",
            "active": True,
            "amount": price["unit_amount"],
            "amount_decimal": price["unit_amount_decimal"],
            "billing_scheme": "per_unit",
            "created": price["created"],
            "currency": price["currency"],
            "interval": recurring["interval"],
            "interval_count": recurring["interval_count"],
            "livemode": False,
            "metadata": {},
            "meter": None,
            "nickname": None,
            "product": price["product"],
            "tiers_mode": None,
            "transform_usage": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "price": price,
        "quantity": line["quantity"],
        "subscription": subscription,
        "tax_rates": [],
    }


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One subscription."""
    return store.get("subscription", name)


def listing(store: Store, params: Obj) -> Obj:
    """Subscriptions of a customer; canceled ones only when ``status`` asks for them (or for all)."""
    status = forms.text(params, "status")
    filters = {name: value for name, value in params.items() if name != "status"}
    return store.listing(
        "subscription",
        filters,
        "/v1/subscriptions",
        ("customer",),
        lambda found: (
            status == "all"
            or (found["status"] != "canceled" if status is None else found["status"] == status)
        ),
    )


def update(store: Store, params: Obj, name: str) -> Obj:
    """Change metadata, the payment method, or when it ends: with its period, or at an instant.

    With ``proration_behavior=none`` nothing is given back for what an instant cuts off of the period.
    """
    subscription = store.get("subscription", name)
    if subscription["status"] == "canceled":
        raise no_such("subscription", name, "id")
    before = snapshot(subscription)
    method = forms.text(params, "default_payment_method")
    if method is not None:
        customers.owned(store, subscription["customer"], method, "default_payment_method")
        subscription["default_payment_method"] = method
    subscription["metadata"] = forms.metadata(params, subscription["metadata"])
    ends = forms.flag(params, "cancel_at_period_end")
    if "cancel_at" in params:
        if ends is not None:
            raise invalid(
                "You may only specify one of these parameters: cancel_at, cancel_at_period_end.",
                param="cancel_at",
            )
        _end_at(subscription, forms.integer(params, "cancel_at"))
    if ends is not None and ends != subscription["cancel_at_period_end"]:
        subscription |= {
            "cancel_at": subscription["items"]["data"][0]["current_period_end"] if ends else None,
            "cancel_at_period_end": ends,
            "canceled_at": now() if ends else None,
        }
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if ends else None
    if subscription != before:
        store.emit("customer.subscription.updated", subscription, before)
    return subscription


def _end_at(subscription: Obj, at: int | None) -> None:
    if at is not None and at <= now():
        raise invalid(
            "cancel_at must be in the future.", code="parameter_invalid", param="cancel_at"
        )
    subscription |= {
        "cancel_at": at,
        "cancel_at_period_end": False,
        "canceled_at": None if at is None else now(),
    }
    subscription["cancellation_details"]["reason"] = (
        None if at is None else "cancellation_requested"
    )


def cancel(store: Store, params: Obj, name: str) -> Obj:
    """End it now."""
    return _end(store, _running(store, name), now(), "cancellation_requested")


def _running(store: Store, name: str) -> Obj:
    subscription = store.get("subscription", name)
    if subscription["status"] == "canceled":
        raise no_such("subscription", name, "id")
    return subscription


def _end(store: Store, subscription: Obj, at: int, reason: str) -> Obj:
    subscription |= {
        "canceled_at": subscription["canceled_at"] or now(),
        "ended_at": at,
        "status": "canceled",
    }
    subscription["cancellation_details"]["reason"] = reason
    store.emit("customer.subscription.deleted", subscription)
    return subscription


def end(store: Store, name: str) -> Obj:
    """End it as Stripe would by itself: when it was arranged, else for want of payment."""
    subscription = _running(store, name)
    if subscription["cancel_at"] is not None:
        return _end(store, subscription, subscription["cancel_at"], "cancellation_requested")
    return _end(store, subscription, now(), "payment_failed")


def renew(store: Store, name: str, outcome: str) -> Obj:
    """The next period begins: everything moves on by one, and an invoice is made and charged."""
    subscription = _running(store, name)
    if outcome not in ("paid", "failed"):
        raise invalid("The outcome is paid or failed.", param="outcome")
    before = snapshot(subscription)
    items = subscription["items"]["data"]
    ends_at = subscription["cancel_at"]
    if ends_at is not None and ends_at <= items[0]["current_period_end"]:
        raise invalid("This subscription ends with its period; it will not renew.")
    previous = (items[0]["current_period_start"], items[0]["current_period_end"])
    lines = []
    for item in items:
        recurring = item["price"]["recurring"]
        start, end_at = periods.around(
            subscription["billing_cycle_anchor"],
            recurring["interval"],
            recurring["interval_count"],
            item["current_period_end"],
        )
        item |= {"current_period_start": start, "current_period_end": end_at}
        amount = item["price"]["unit_amount"] * item["quantity"]
        cut = ends_at is not None and ends_at < end_at
        if cut:  # a last period that is not whole is charged by the second, whatever was asked for
            amount = periods.share(amount, ends_at - start, end_at - start)
            end_at = ends_at
        lines.append(Line(item, amount, start, end_at, proration=cut))
    invoice = invoices.new(store, subscription, lines, reason="subscription_cycle", period=previous)
    subscription["latest_invoice"] = invoice["id"]
    collecting.collect(store, invoice, outcome)
    subscription["status"] = "active" if outcome == "paid" else "past_due"
    store.emit("customer.subscription.updated", subscription, before)
    return subscription


def pay_invoice(store: Store, params: Obj, name: str) -> Obj:
    """Try an open invoice's payment again; a subscription in arrears is then active again."""
    invoice = store.get("invoice", name)
    if invoice["status"] != "open":
        raise invalid("Invoice is already paid", code="invoice_not_editable")
    error = collecting.collect(store, invoice)
    if error is not None:
        raise cards.refusal(error)
    subscription = invoices.subscription_of(store, invoice)
    if subscription["status"] == "past_due" and subscription["latest_invoice"] == name:
        before = snapshot(subscription)
        subscription["status"] = "active"
        store.emit("customer.subscription.updated", subscription, before)
    return invoice


ROUTES = [
    ("GET", "/v1/subscriptions", listing),
    ("GET", "/v1/subscriptions/{id}", retrieve),
    ("POST", "/v1/subscriptions/{id}", update),
    ("DELETE", "/v1/subscriptions/{id}", cancel),
    ("POST", "/v1/invoices/{id}/pay", pay_invoice),
]
