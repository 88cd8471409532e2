"""Customers and their cards."""

import time
from datetime import UTC, datetime

import pytest
import stripe

from tests.stack.stripe.simulation import MASTERCARD, Sim


def test_a_customer_is_made_read_changed_and_found(sim: Sim) -> None:
    email = f"{time.time_ns()}@example.com"
    made = sim.api.customers.create({"email": email, "metadata": {"org": "1", "old": "x"}})
    changed = sim.api.customers.update(
        made.id, {"name": "Ada", "metadata": {"old": "", "new": "y"}}
    )
    assert changed.name == "Ada"
    assert changed.to_dict()["metadata"] == {"org": "1", "new": "y"}
    assert sim.api.customers.list({"email": email}).data == [changed]
    assert sim.events(made.id) == ["customer.created", "customer.updated"]


def test_a_saved_card_says_what_is_printed_on_it(sim: Sim) -> None:
    customer, method = sim.saved_card(MASTERCARD)
    card = sim.api.payment_methods.retrieve(method).card
    assert card is not None
    assert (card.brand, card.last4, card.exp_month) == ("mastercard", "4444", 12)
    assert card.exp_year > datetime.now(UTC).year
    assert card.fingerprint
    same = sim.api.payment_methods.list({"customer": customer, "type": "card"})
    assert [one.id for one in same.data] == [method]


def test_the_default_card_is_one_of_the_customers_own(sim: Sim) -> None:
    customer, method = sim.saved_card()
    updated = sim.api.customers.update(
        customer, {"invoice_settings": {"default_payment_method": method}}
    )
    assert updated.invoice_settings is not None
    assert updated.invoice_settings.default_payment_method == method
    with pytest.raises(stripe.InvalidRequestError):
        sim.api.customers.update(
            sim.customer().id, {"invoice_settings": {"default_payment_method": method}}
        )


def test_a_detached_card_is_gone_for_good(sim: Sim) -> None:
    customer, method = sim.saved_card()
    sim.api.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
    assert sim.api.payment_methods.detach(method).customer is None
    after = sim.api.customers.retrieve(customer).invoice_settings
    assert after is not None
    assert after.default_payment_method is None
    assert sim.api.customers.payment_methods.list(customer).data == []
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        sim.api.payment_methods.attach(method, {"customer": customer})
    assert sim.events(method) == ["payment_method.attached", "payment_method.detached"]


def test_test_names_attach_new_cards(sim: Sim) -> None:
    customer = sim.customer().id
    method = sim.api.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert method.customer == customer
    with pytest.raises(stripe.CardError):
        sim.api.payment_methods.attach("pm_card_visa_chargeDeclined", {"customer": customer})
