"""Customers and their payment methods."""

from tokenhub.stack.stripe import cards, forms
from tokenhub.stack.stripe.errors import invalid, missing
from tokenhub.stack.stripe.store import Obj, Store, new_id, page, snapshot

_PLAIN = ("description", "email", "name", "phone")
_SPENT = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached"
    " from a Customer, and may not be used again."
)


def create(store: Store, params: Obj) -> Obj:
    """A new customer."""
    settings = forms.mapping(params, "invoice_settings")
    if forms.text(settings, "default_payment_method"):
        raise invalid(
            "A new customer has no payment method that could be the default.",
            code="resource_missing",
            param="invoice_settings[default_payment_method]",
        )
    customer = store.add(
        "customer",
        {
            **{name: forms.text(params, name) for name in _PLAIN},
            "address": forms.mapping(params, "address") or None,
            "balance": 0,
            "currency": None,
            "customer_account": None,
            "default_source": None,
            "delinquent": False,
            "discount": None,
            "invoice_prefix": new_id("", 8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": forms.metadata(params),
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": forms.text(params, "tax_exempt") or "none",
            "test_clock": None,
        },
    )
    store.emit("customer.created", customer)
    return customer


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One customer."""
    return store.get("customer", name)


def update(store: Store, params: Obj, name: str) -> Obj:
    """Change what is given; the rest stays."""
    customer = store.get("customer", name)
    before = snapshot(customer)
    changes: Obj = {key: forms.text(params, key) for key in _PLAIN if key in params}
    if "address" in params:
        changes["address"] = forms.mapping(params, "address") or None
    if "metadata" in params:
        changes["metadata"] = forms.metadata(params, customer["metadata"])
    settings = forms.mapping(params, "invoice_settings")
    if "default_payment_method" in settings:
        default = forms.text(settings, "default_payment_method")
        if default is not None:
            owned(store, customer["id"], default, "invoice_settings[default_payment_method]")
        changes["invoice_settings"] = {
            **customer["invoice_settings"],
            "default_payment_method": default,
        }
    customer.update(changes)
    if customer != before:
        store.emit("customer.updated", customer, before)
    return customer


def listing(store: Store, params: Obj) -> Obj:
    """Customers, by e-mail address if one is given."""
    return store.listing("customer", params, "/v1/customers", ("email",))


# payment methods


def owned(store: Store, customer: str, method: str, param: str) -> Obj:
    """A payment method that is attached to this customer."""
    found = store.tables["payment_method"].get(method)
    if found is None or found["customer"] != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {method}. The payment"
            " method must be attached to the customer.",
            code="resource_missing",
            param=param,
        )
    return found


def usable(store: Store, method: Obj) -> None:
    """Refuse a payment method that was detached or already used up."""
    if store.private[method["id"]]["spent"]:
        raise invalid(_SPENT, param="payment_method")


def create_method(store: Store, params: Obj) -> Obj:
    """A payment method from one of the test card numbers."""
    if forms.required(params, "type") != "card":
        raise invalid("Only cards are simulated.", code="parameter_invalid", param="type")
    number = forms.required(forms.mapping(params, "card"), "number").replace(" ", "")
    if number not in cards.CARDS:
        raise cards.refusal(cards.decline("card_declined", "test_mode_live_card", None))
    billing = forms.mapping(params, "billing_details")
    method = cards.make(
        store, cards.CARDS[number], forms.text(billing, "email"), forms.text(billing, "name")
    )
    method["metadata"] = forms.metadata(params)
    return method


def retrieve_method(store: Store, params: Obj, name: str) -> Obj:
    """One payment method."""
    return store.get("payment_method", name)


def attach_method(store: Store, params: Obj, name: str) -> Obj:
    """Attach a payment method (or a new one for a test name such as ``pm_card_visa``)."""
    customer = store.reference("customer", forms.required(params, "customer"), "customer")
    method = cards.from_token(store, name) or store.get("payment_method", name)
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_unexpected_state",
        )
    usable(store, method)
    card = cards.of(store, method)
    if card.on_page == "declined":  # a card that is always declined cannot be saved either
        raise cards.refusal(cards.decline("card_declined", card.decline_code, method))
    return attach(store, method, customer["id"])


def attach(store: Store, method: Obj, customer: str) -> Obj:
    """Give a payment method to a customer, who keeps it."""
    if method["customer"] != customer:
        method["customer"] = customer
        store.emit("payment_method.attached", method)
    return method


def detach_method(store: Store, params: Obj, name: str) -> Obj:
    """Take a payment method away from its customer, for good."""
    method = store.get("payment_method", name)
    if method["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            code="payment_method_unexpected_state",
        )
    before = snapshot(method)
    customer = store.tables["customer"][method["customer"]]
    method["customer"] = None
    store.private[method["id"]]["spent"] = True
    store.emit("payment_method.detached", method, before)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer_before = snapshot(customer)
        customer["invoice_settings"]["default_payment_method"] = None
        store.emit("customer.updated", customer, customer_before)
    return method


def customers_methods(store: Store, params: Obj, name: str) -> Obj:
    """A customer's payment methods."""
    customer = store.get("customer", name)
    url = f"/v1/customers/{name}/payment_methods"
    return store.listing(
        "payment_method", {**params, "customer": customer["id"]}, url, ("customer", "type")
    )


def customers_method(store: Store, params: Obj, customer: str, name: str) -> Obj:
    """One payment method of a customer."""
    store.get("customer", customer)
    method = store.get("payment_method", name)
    return owned(store, customer, method["id"], "payment_method")


def listing_methods(store: Store, params: Obj) -> Obj:
    """Payment methods of one customer."""
    customer = forms.text(params, "customer")
    if customer is None:
        raise missing("customer")
    store.reference("customer", customer, "customer")
    listed = [
        method
        for method in reversed(store.tables["payment_method"].values())
        if method["customer"] == customer
    ]
    return page(listed, params, "/v1/payment_methods")


ROUTES = [
    ("POST", "/v1/customers", create),
    ("GET", "/v1/customers", listing),
    ("GET", "/v1/customers/{id}", retrieve),
    ("POST", "/v1/customers/{id}", update),
    ("GET", "/v1/customers/{id}/payment_methods", customers_methods),
    ("GET", "/v1/customers/{id}/payment_methods/{id}", customers_method),
    ("POST", "/v1/payment_methods", create_method),
    ("GET", "/v1/payment_methods", listing_methods),
    ("GET", "/v1/payment_methods/{id}", retrieve_method),
    ("POST", "/v1/payment_methods/{id}/attach", attach_method),
    ("POST", "/v1/payment_methods/{id}/detach", detach_method),
]
