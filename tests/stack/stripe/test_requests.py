"""Requests: signed in, versioned, and refused as Stripe refuses them."""

import time

import pytest
import stripe

from tests.stack.stripe.simulation import Sim, http_call
from tokenhub.stack.stripe.forms import decode


def test_a_wrong_or_missing_key_is_refused(sim: Sim) -> None:
    live = stripe.StripeClient("sk_live_x", base_addresses={"api": sim.url})
    with pytest.raises(stripe.AuthenticationError):
        live.v1.customers.list()
    assert http_call("GET", f"{sim.url}/v1/customers").status == 401


def test_an_unknown_object_is_a_404_and_an_unknown_reference_a_400(sim: Sim) -> None:
    with pytest.raises(stripe.InvalidRequestError) as at_address:
        sim.api.customers.retrieve("cus_nobody")
    assert at_address.value.http_status == 404
    assert at_address.value.code == "resource_missing"
    with pytest.raises(stripe.InvalidRequestError) as in_parameter:
        sim.session("cus_nobody")
    assert in_parameter.value.http_status == 400
    assert in_parameter.value.param == "customer"


def test_a_missing_parameter_is_named(sim: Sim) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.api.payment_intents.create({"amount": 100})  # type: ignore[typeddict-item]
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")


def test_answers_carry_a_request_id_and_the_version(sim: Sim) -> None:
    customer = sim.customer()
    headers = customer.last_response.headers  # type: ignore[union-attr]
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == stripe.api_version


def test_brackets_make_dictionaries_and_lists() -> None:
    assert decode("a[0][b][c]=1&a[1][b][c]=2&expand[]=x&expand[]=y&metadata[7]=m") == {
        "a": [{"b": {"c": "1"}}, {"b": {"c": "2"}}],
        "expand": ["x", "y"],
        "metadata": {"7": "m"},
    }


def test_lists_come_in_pages_newest_first(sim: Sim) -> None:
    made = [sim.customer(email="pages@example.com").id for _ in range(5)]
    first = sim.api.customers.list({"email": "pages@example.com", "limit": 2})
    assert [one.id for one in first.data] == made[:2:-1]
    assert first.has_more
    every = first.auto_paging_iter()
    assert [one.id for one in every] == made[::-1]
    later = sim.api.customers.list(
        {"email": "pages@example.com", "created": {"gte": int(time.time()) + 60}}
    )
    assert later.data == []
