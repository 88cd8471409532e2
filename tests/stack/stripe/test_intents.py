"""Payments without the customer."""

from typing import Any

import pytest
import stripe

from tests.stack.stripe.simulation import AUTHENTICATE, FAILS_LATER, Sim, http_call, submit


def test_a_saved_card_pays_without_its_owner(sim: Sim) -> None:
    customer, method = sim.saved_card()
    intent: Any = sim.off_session(
        customer, method, metadata={"top_up": "1"}, expand=["latest_charge"]
    )
    assert (intent.status, intent.amount_received) == ("succeeded", 1500)
    charge = intent.latest_charge
    assert (charge.amount, charge.paid, charge.refunded) == (1500, True, False)
    assert charge.payment_method_details.card.last4 == "4242"
    assert charge.metadata["top_up"] == "1"
    assert sim.api.charges.retrieve(charge.id).payment_intent == intent.id
    listed = sim.api.payment_intents.list({"customer": customer}).data
    assert [one.id for one in listed] == [intent.id]


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        (FAILS_LATER, "card_declined", "generic_decline"),
        (AUTHENTICATE, "authentication_required", "authentication_required"),
    ],
)
def test_a_saved_card_may_be_refused_later(
    sim: Sim, number: str, code: str, decline_code: str
) -> None:
    customer, method = sim.saved_card(number)
    with pytest.raises(stripe.CardError) as refused:
        sim.off_session(customer, method)
    error = refused.value
    assert (error.http_status, error.code) == (402, code)
    body: Any = error.json_body
    assert body["error"]["decline_code"] == decline_code
    name = body["error"]["payment_intent"]["id"]
    intent = sim.api.payment_intents.retrieve(name)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    assert sim.events(name) == ["payment_intent.created", "payment_intent.payment_failed"]
    assert sim.events(str(intent.latest_charge)) == ["charge.failed"]


def test_confirming_is_a_step_of_its_own(sim: Sim) -> None:
    customer, method = sim.saved_card()
    intent = sim.api.payment_intents.create(
        {"amount": 800, "currency": "usd", "customer": customer, "payment_method": method}
    )
    assert intent.status == "requires_confirmation"
    assert sim.api.payment_intents.confirm(intent.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.api.payment_intents.confirm(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


def test_its_owner_can_authenticate_on_session(sim: Sim) -> None:
    customer, method = sim.saved_card(AUTHENTICATE)
    intent = sim.api.payment_intents.create(
        {
            "amount": 800,
            "currency": "usd",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "return_url": "https://shop.example/return",
        }
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    url = str(intent.next_action.redirect_to_url.url)
    assert "Authenticate" in http_call("GET", url).body
    answer = submit(url, action="complete")
    assert answer.status == 303
    assert answer.headers["Location"].startswith("https://shop.example/return?payment_intent=")
    assert sim.api.payment_intents.retrieve(intent.id).status == "succeeded"


def test_an_open_one_can_be_canceled(sim: Sim) -> None:
    intent = sim.api.payment_intents.create({"amount": 800, "currency": "usd"})
    assert intent.status == "requires_payment_method"
    assert sim.api.payment_intents.cancel(intent.id).status == "canceled"
    assert sim.events(intent.id)[-1] == "payment_intent.canceled"
    with pytest.raises(stripe.InvalidRequestError):
        sim.api.payment_intents.cancel(intent.id)


def test_somebody_elses_card_is_refused(sim: Sim) -> None:
    _, method = sim.saved_card()
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        sim.off_session(sim.customer().id, method)


def test_less_than_fifty_cents_is_refused(sim: Sim) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.api.payment_intents.create({"amount": 49, "currency": "usd"})
    assert refused.value.code == "amount_too_small"
