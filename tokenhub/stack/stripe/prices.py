"""Products and prices, which come about as lines of Checkout sessions."""

from tokenhub.stack.stripe import forms, periods
from tokenhub.stack.stripe.errors import invalid, missing
from tokenhub.stack.stripe.store import Obj, Store, new_id, now


def line_of(store: Store, line: Obj, param: str, *, recurring: bool) -> Obj:
    """A line of a session: its price made or found, its amount in cents."""
    if not isinstance(line, dict):
        raise invalid("Invalid object", code="parameter_invalid", param=param)
    quantity = forms.integer(line, "quantity")
    quantity = 1 if quantity is None else quantity
    if quantity < 1:
        raise invalid(
            "quantity must be at least 1.", code="parameter_invalid", param=f"{param}[quantity]"
        )
    name = forms.text(line, "price")
    price = (
        store.reference("price", name, f"{param}[price]")
        if name is not None
        else _price(store, forms.mapping(line, "price_data"), f"{param}[price_data]")
    )
    if recurring != (price["recurring"] is not None):
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode."
            if recurring
            else "You specified `payment` mode but passed a recurring price.",
            code="parameter_invalid",
            param=param,
        )
    return {
        "id": new_id("li_"),
        "price": price["id"],
        "product": price["product"],
        "quantity": quantity,
        "amount": price["unit_amount"] * quantity,
    }


def _price(store: Store, data: Obj, param: str) -> Obj:
    if not data:
        raise missing(param)
    currency = forms.usd(data)
    amount = forms.integer(data, "unit_amount")
    if amount is None or amount < 0:
        raise missing(f"{param}[unit_amount]")
    recurring = forms.mapping(data, "recurring")
    interval = forms.text(recurring, "interval")
    if recurring and interval not in periods.INTERVALS:
        raise invalid(
            f"Invalid recurring[interval]: must be one of {', '.join(periods.INTERVALS)}",
            code="parameter_invalid",
            param=f"{param}[recurring][interval]",
        )
    known = forms.text(data, "product")
    product = (
        store.reference("product", known, f"{param}[product]")
        if known is not None
        else _product(store, forms.mapping(data, "product_data"))
    )
    return store.add(
        "price",
        {
            "active": False,  # as with Stripe: made for one session, not for the catalogue
            "billing_scheme": "per_unit",
            "currency": currency,
            "custom_unit_amount": None,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": product["id"],
            "recurring": {
                "interval": interval,
                "interval_count": forms.integer(recurring, "interval_count") or 1,
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            }
            if recurring
            else None,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        },
    )


def _product(store: Store, data: Obj) -> Obj:
    return store.add(
        "product",
        {
            "active": False,
            "default_price": None,
            "description": forms.text(data, "description"),
            "images": [],
            "marketing_features": [],
            "metadata": forms.metadata(data),
            "name": forms.required(data, "name"),
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": now(),
            "url": None,
        },
    )


def retrieve_product(store: Store, params: Obj, name: str) -> Obj:
    """One product."""
    return store.get("product", name)


def retrieve_price(store: Store, params: Obj, name: str) -> Obj:
    """One price."""
    return store.get("price", name)


ROUTES = [
    ("GET", "/v1/products/{id}", retrieve_product),
    ("GET", "/v1/prices/{id}", retrieve_price),
]
