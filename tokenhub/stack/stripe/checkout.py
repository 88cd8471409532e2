"""Checkout sessions: made, looked at, expired. The page where they are paid is ``hosted.py``."""

from tokenhub.stack.stripe import forms, intents, periods, prices, setups, subscriptions
from tokenhub.stack.stripe.errors import invalid, missing
from tokenhub.stack.stripe.store import DAY_S, Obj, Store, now

MODES = ("payment", "setup", "subscription")
MIN_LIFE_S = 30 * 60
MAX_LIFE_S = DAY_S
_CLOCK_SLACK_S = 10  # between the caller's idea of now and the request's arrival


def create(store: Store, params: Obj) -> Obj:
    """An open session with a page to pay at."""
    mode = forms.required(params, "mode")
    if mode not in MODES:
        raise invalid(
            f"Invalid mode: must be one of {', '.join(MODES)}",
            code="parameter_invalid",
            param="mode",
        )
    customer_name = forms.text(params, "customer")
    customer = (
        None if customer_name is None else store.reference("customer", customer_name, "customer")
    )
    success_url = forms.required(params, "success_url")
    expires_at = _expiry(params)
    given = forms.sequence(params, "line_items")
    if mode != "setup" and not given:
        raise missing("line_items")
    payment_data = forms.mapping(params, "payment_intent_data")
    private: Obj = {
        "customer_creation": forms.text(params, "customer_creation"),
        "description": forms.text(payment_data, "description"),
        "intent": None,
        "intent_metadata": forms.metadata(payment_data),
        "lines": [],
        "pending_method": None,
        "setup_future_usage": forms.text(payment_data, "setup_future_usage"),
        "subscription": _subscription_data(params) if mode == "subscription" else None,
    }
    private["lines"] = [
        prices.line_of(store, line, f"line_items[{index}]", recurring=mode == "subscription")
        for index, line in enumerate(given)
    ]
    if mode == "subscription":
        _check_anchor(store, private)
    total = None if mode == "setup" else amount_now(store, private, now())
    if mode == "payment":
        intents.within_limits(total or 0)
    setup_data = forms.mapping(params, "setup_intent_data")
    setup = (
        setups.new(
            store,
            customer_name,
            forms.metadata(setup_data),
            forms.text(setup_data, "description"),
        )
        if mode == "setup"
        else None
    )
    email = forms.text(params, "customer_email")
    session = store.add(
        "checkout.session",
        {
            "adaptive_pricing": {"enabled": False},
            "after_expiration": None,
            "allow_promotion_codes": None,
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "billing_address_collection": forms.text(params, "billing_address_collection"),
            "cancel_url": forms.text(params, "cancel_url"),
            "client_reference_id": forms.text(params, "client_reference_id"),
            "client_secret": None,
            "collected_information": None,
            "consent": None,
            "consent_collection": None,
            "currency": None if mode == "setup" else "usd",
            "currency_conversion": None,
            "custom_fields": [],
            "custom_text": {
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            "customer": customer_name,
            "customer_account": None,
            "customer_creation": None
            if customer_name or mode != "payment"
            else private["customer_creation"] or "if_required",
            "customer_details": _details(customer, email) if customer or email else None,
            "customer_email": email,
            "discounts": [],
            "expires_at": expires_at,
            "invoice": None,
            "invoice_creation": None,
            "locale": forms.text(params, "locale"),
            "metadata": forms.metadata(params),
            "mode": mode,
            "origin_context": None,
            "payment_intent": None,
            "payment_link": None,
            "payment_method_collection": "always" if mode == "subscription" else "if_required",
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
            "permissions": None,
            "phone_number_collection": {"enabled": False},
            "recovered_from": None,
            "saved_payment_method_options": None,
            "setup_intent": setup["id"] if setup else None,
            "shipping_address_collection": None,
            "shipping_cost": None,
            "shipping_options": [],
            "status": "open",
            "submit_type": forms.text(params, "submit_type"),
            "subscription": None,
            "success_url": success_url,
            "total_details": None
            if mode == "setup"
            else {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": None,
            "wallet_options": None,
        },
        private,
        length=58,
    )
    session["url"] = f"{store.url}/pay/{session['id']}"
    return session


def _expiry(params: Obj) -> int:
    expires_at = forms.integer(params, "expires_at")
    if expires_at is None:
        return now() + MAX_LIFE_S
    life = expires_at - now()
    if not MIN_LIFE_S - _CLOCK_SLACK_S <= life <= MAX_LIFE_S + _CLOCK_SLACK_S:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout"
            " Session creation.",
            code="parameter_invalid",
            param="expires_at",
        )
    return expires_at


def _details(customer: Obj | None, email: str | None) -> Obj:
    return {
        "address": customer["address"] if customer else None,
        "business_name": None,
        "email": customer["email"] if customer else email,
        "individual_name": None,
        "name": customer["name"] if customer else None,
        "phone": customer["phone"] if customer else None,
        "tax_exempt": customer["tax_exempt"] if customer else "none",
        "tax_ids": [],
    }


def _subscription_data(params: Obj) -> Obj:
    data = forms.mapping(params, "subscription_data")
    anchor = forms.integer(data, "billing_cycle_anchor")
    if anchor is not None and anchor <= now():
        raise invalid(
            "billing_cycle_anchor must be in the future.",
            code="parameter_invalid",
            param="subscription_data[billing_cycle_anchor]",
        )
    return {
        "billing_cycle_anchor": anchor,
        "description": forms.text(data, "description"),
        "metadata": forms.metadata(data),
        "proration_behavior": forms.text(data, "proration_behavior") or "create_prorations",
    }


def _check_anchor(store: Store, private: Obj) -> None:
    recurring = store.get("price", private["lines"][0]["price"])["recurring"]
    natural = periods.step(now(), recurring["interval"], recurring["interval_count"], 1)
    anchor = private["subscription"]["billing_cycle_anchor"]
    if anchor is not None and anchor > natural + _CLOCK_SLACK_S:
        raise invalid(
            f"billing_cycle_anchor cannot be later than next natural billing date ({natural}) for plan",
            code="parameter_invalid",
            param="subscription_data[billing_cycle_anchor]",
        )


def amount_now(store: Store, private: Obj, at: int) -> int:
    """What paying at ``at`` takes from the card, in cents; ``private`` is the session's."""
    if private["subscription"] is not None:
        start = subscriptions.beginning(store, private["lines"], private["subscription"], at)
        return start.total
    return sum(line["amount"] for line in private["lines"])


def expire_old(store: Store) -> None:
    """Expire the sessions whose time is over."""
    moment = now()
    for session in store.tables["checkout.session"].values():
        if session["status"] == "open" and session["expires_at"] <= moment:
            _expire(store, session)


def _expire(store: Store, session: Obj) -> Obj:
    session |= {"status": "expired", "url": None}
    intent_name = store.private[session["id"]]["intent"]
    if intent_name is not None:
        intents.cancel_now(store, store.get("payment_intent", intent_name), "automatic")
    if session["setup_intent"] is not None:
        setups.cancel(store, store.get("setup_intent", session["setup_intent"]))
    store.emit("checkout.session.expired", session)
    return session


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One session."""
    expire_old(store)
    return store.get("checkout.session", name)


def expire(store: Store, params: Obj, name: str) -> Obj:
    """Close an open session, so that nobody can pay it any more."""
    expire_old(store)
    session = store.get("checkout.session", name)
    if session["status"] != "open":
        raise invalid(
            "Only Checkout Sessions with a status in ['open'] can be expired. This Checkout Session"
            f" has a status of {session['status']}.",
        )
    return _expire(store, session)


def listing(store: Store, params: Obj) -> Obj:
    """Sessions, by customer, payment intent, subscription or status."""
    expire_old(store)
    return store.listing(
        "checkout.session",
        params,
        "/v1/checkout/sessions",
        ("customer", "payment_intent", "subscription", "status"),
    )


def line_items(store: Store, session: Obj) -> Obj:
    """What a session sells, as its ``line_items`` property lists it."""
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    data = [
        {
            "id": line["id"],
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": line["amount"],
            "amount_tax": 0,
            "amount_total": line["amount"],
            "currency": "usd",
            "description": store.get("product", line["product"])["name"],
            "price": store.get("price", line["price"]),
            "quantity": line["quantity"],
        }
        for line in store.private[session["id"]]["lines"]
    ]
    return {"object": "list", "url": url, "has_more": False, "data": data}


def listing_items(store: Store, params: Obj, name: str) -> Obj:
    """What one session sells."""
    return line_items(store, store.get("checkout.session", name))


ROUTES = [
    ("POST", "/v1/checkout/sessions", create),
    ("GET", "/v1/checkout/sessions", listing),
    ("GET", "/v1/checkout/sessions/{id}", retrieve),
    ("POST", "/v1/checkout/sessions/{id}/expire", expire),
    ("GET", "/v1/checkout/sessions/{id}/line_items", listing_items),
]
