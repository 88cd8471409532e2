"""A repeated request has one effect."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from tests.stack.stripe.simulation import FAILS_LATER, Sim, client


def test_the_same_request_twice_has_one_effect_and_one_answer(sim: Sim) -> None:
    email = f"{time.time_ns()}@example.com"
    first, again = (
        sim.api.customers.create({"email": email}, {"idempotency_key": f"key-{email}"})
        for _ in range(2)
    )
    assert first == again
    assert again.last_response.headers["Idempotent-Replayed"] == "true"  # type: ignore[union-attr]
    assert len(sim.api.customers.list({"email": email}).data) == 1


def test_a_key_cannot_be_used_for_something_else(sim: Sim) -> None:
    key = f"key-{time.time_ns()}"
    sim.api.customers.create({"email": "a@example.com"}, {"idempotency_key": key})
    with pytest.raises(stripe.IdempotencyError):
        sim.api.customers.create({"email": "b@example.com"}, {"idempotency_key": key})


def test_a_decline_is_repeated_and_not_charged_again(sim: Sim) -> None:
    customer, method = sim.saved_card(FAILS_LATER)
    key = f"key-{time.time_ns()}"
    declines = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            sim.api.payment_intents.create(
                {
                    "amount": 700,
                    "currency": "usd",
                    "customer": customer,
                    "payment_method": method,
                    "off_session": True,
                    "confirm": True,
                },
                {"idempotency_key": key},
            )
        declines.append(refused.value.json_body)
    assert declines[0] == declines[1]
    assert len(sim.api.charges.list({"customer": customer}).data) == 1


def test_a_request_that_never_began_leaves_its_key_free(sim: Sim) -> None:
    key = f"key-{time.time_ns()}"
    with pytest.raises(stripe.InvalidRequestError):
        sim.api.payment_intents.create({"amount": 900}, {"idempotency_key": key})  # type: ignore[typeddict-item]
    params: Any = {"amount": 900, "currency": "usd"}
    assert sim.api.payment_intents.create(params, {"idempotency_key": key}).amount == 900


def test_twenty_at_once_are_one(sim: Sim) -> None:
    email = f"{time.time_ns()}@example.com"

    def create(_: int) -> str:
        made = client(sim.url).v1.customers.create(
            {"email": email}, {"idempotency_key": f"key-{email}"}
        )
        return made.id

    with ThreadPoolExecutor(20) as pool:
        names = set(pool.map(create, range(20)))
    assert len(names) == 1
    assert len(sim.api.customers.list({"email": email}).data) == 1
    writes = [
        write
        for write in sim.control("GET", "/requests?path=/v1/customers")["data"]
        if write["idempotency_key"] == f"key-{email}"
    ]
    assert sorted(write["replayed"] for write in writes) == [False] + [True] * 19
