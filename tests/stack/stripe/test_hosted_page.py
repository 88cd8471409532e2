"""The hosted page, as a browser without JavaScript uses it."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from tests.stack.stripe.simulation import (
    AUTHENTICATE,
    CANCEL,
    DECLINED,
    DISPUTED,
    FAILS_LATER,
    INSUFFICIENT,
    MASTERCARD,
    SUCCESS,
    VISA,
    Sim,
    http_call,
    submit,
)
from tokenhub.stack.stripe import checkout, hosted
from tokenhub.stack.stripe.store import Store


def test_it_says_what_is_paid_and_that_nothing_is_real(sim: Sim) -> None:
    session = sim.session(
        sim.customer().id, payment_intent_data={"description": "Credit for <Ada>"}
    )
    page = http_call("GET", session.url)
    assert page.status == 200
    assert "$20.00" in page.body
    assert "Credit for &lt;Ada&gt;" in page.body
    assert "Simulation." in page.body
    assert "<script" not in page.body
    offered = re.findall(r'type="radio" name="card" value="(\d+)"', page.body)
    assert set(offered) == {
        VISA, MASTERCARD, DECLINED, INSUFFICIENT, AUTHENTICATE, DISPUTED, FAILS_LATER,
    }  # fmt: skip


@pytest.mark.parametrize("number", [VISA, MASTERCARD, FAILS_LATER])
def test_a_good_card_pays_and_leads_back(sim: Sim, number: str) -> None:
    session = sim.session(
        sim.customer().id,
        client_reference_id="order-7",
        payment_intent_data={
            "metadata": {"order": "7"},
            "setup_future_usage": "off_session",
        },
    )
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.payment_intent is None
    answer = submit(session.url, card=number, action="pay")
    assert answer.status == 303
    assert answer.headers["Location"] == f"https://shop.example/done?session={session.id}"
    after: Any = sim.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (after.status, after.payment_status) == ("complete", "paid")
    intent = after.payment_intent
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert intent.metadata["order"] == "7"
    assert intent.customer == session.customer
    assert len(sim.api.customers.payment_methods.list(session.customer).data) == 1
    assert sim.events(session.id) == ["checkout.session.completed"]
    assert sim.events(intent.id) == ["payment_intent.created", "payment_intent.succeeded"]
    assert sim.events(intent.latest_charge) == ["charge.succeeded"]


@pytest.mark.parametrize(
    ("number", "words", "decline_code"),
    [
        (DECLINED, "Your card was declined.", "generic_decline"),
        (INSUFFICIENT, "Your card has insufficient funds.", "insufficient_funds"),
    ],
)
def test_a_refused_card_says_so_and_another_may_be_tried(
    sim: Sim, number: str, words: str, decline_code: str
) -> None:
    session = sim.session(sim.customer().id)
    answer = submit(session.url, card=number)
    assert answer.status == 402
    assert words in answer.body
    after: Any = sim.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert after.status == "open"
    assert after.payment_intent.status == "requires_payment_method"
    assert after.payment_intent.last_payment_error.decline_code == decline_code
    assert submit(session.url, card=VISA).status == 303
    paid = sim.api.payment_intents.retrieve(after.payment_intent.id, {"expand": ["latest_charge"]})
    assert paid.status == "succeeded"
    assert paid.last_payment_error is None
    assert sim.events(paid.id) == [
        "payment_intent.created",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
    ]


def test_a_typed_number_counts_before_the_chosen_one(sim: Sim) -> None:
    session = sim.session(sim.customer().id)
    fields = urlencode([("card", VISA), ("card", "4000 0000 0000 0002"), ("action", "pay")])
    assert http_call("POST", session.url, fields).status == 402
    assert submit(session.url, card="4111111111111111").status == 402
    assert sim.events(session.id) == []


def test_authentication_is_a_second_step(sim: Sim) -> None:
    session = sim.session(sim.customer().id)
    step_two = submit(session.url, card=AUTHENTICATE)
    assert step_two.status == 200
    assert re.findall(r'name="action" value="(\w+)">(\w+)<', step_two.body) == [
        ("complete", "Complete"),
        ("fail", "Fail"),
    ]
    waiting: Any = sim.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert waiting.payment_intent.status == "requires_action"
    assert submit(session.url, action="fail").status == 402
    failed = sim.api.payment_intents.retrieve(waiting.payment_intent.id)
    assert failed.status == "requires_payment_method"
    assert failed.latest_charge is None
    assert submit(session.url, card=AUTHENTICATE).status == 200
    assert submit(session.url, action="complete").status == 303
    assert sim.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_cancel_leads_back_and_charges_nothing(sim: Sim) -> None:
    session = sim.session(sim.customer().id)
    answer = submit(session.url, card=VISA, action="cancel")
    assert (answer.status, answer.headers["Location"]) == (303, CANCEL)
    after = sim.api.checkout.sessions.retrieve(session.id)
    assert (after.status, after.payment_intent) == ("open", None)


def test_a_complete_or_expired_session_charges_nothing_more(sim: Sim) -> None:
    customer = sim.customer().id
    done = sim.session(customer)
    submit(done.url, card=VISA)
    again = submit(done.url, card=VISA)
    assert again.status == 409
    assert "Nothing more was charged" in again.body
    over = sim.session(customer)
    expired = sim.api.checkout.sessions.expire(over.id)
    assert (expired.status, expired.url) == ("expired", None)
    assert submit(over.url, card=VISA).status == 409
    assert "expired" in http_call("GET", over.url).body
    assert sim.events(over.id) == ["checkout.session.expired"]
    assert len(sim.api.charges.list({"customer": customer}).data) == 1
    with pytest.raises(stripe.InvalidRequestError):
        sim.api.checkout.sessions.expire(done.id)


def test_paying_twice_at_once_charges_once(sim: Sim) -> None:
    session = sim.session(sim.customer().id)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(session.url, card=VISA), range(8)))
    assert sorted(answer.status for answer in answers) == [303] + [409] * 7
    assert len(sim.api.charges.list({"customer": session.customer}).data) == 1


def test_a_card_is_saved_without_a_payment(sim: Sim) -> None:
    session = sim.session(
        sim.customer().id, "setup", setup_intent_data={"metadata": {"why": "top-up"}}
    )
    assert session.payment_status == "no_payment_required"
    assert submit(session.url, card=DECLINED).status == 402
    assert submit(session.url, card=VISA).status == 303
    setup = sim.api.setup_intents.retrieve(session.setup_intent, {"expand": ["payment_method"]})
    assert setup.status == "succeeded"
    assert setup.to_dict()["metadata"] == {"why": "top-up"}
    assert setup.payment_method.customer == session.customer  # type: ignore[union-attr]
    assert sim.events(setup.id)[-1] == "setup_intent.succeeded"


def test_sessions_are_listed(sim: Sim) -> None:
    intent = sim.paid()
    by_intent = sim.api.checkout.sessions.list({"payment_intent": intent.id}).data
    by_customer = sim.api.checkout.sessions.list(
        {"customer": intent.customer, "created": {"gte": int(time.time()) - 60}}
    ).data
    assert [one.id for one in by_intent] == [one.id for one in by_customer]
    assert len(by_intent) == 1
    items = sim.api.checkout.sessions.retrieve(by_intent[0].id, {"expand": ["line_items"]})
    assert items.line_items is not None
    assert items.line_items.data[0].amount_total == 2000


def test_a_session_expires_when_its_time_is_over() -> None:
    store = Store()
    line = {"currency": "usd", "unit_amount": "500", "product_data": {"name": "Credit"}}
    session = checkout.create(
        store,
        {"mode": "payment", "success_url": SUCCESS, "line_items": [{"price_data": line}]},
    )
    hosted.answer(store, "POST", f"/pay/{session['id']}", {"card": [DECLINED]})
    session["expires_at"] = int(time.time())
    assert checkout.retrieve(store, {}, session["id"])["status"] == "expired"
    intent = store.get("payment_intent", session["payment_intent"])
    assert intent["status"] == "canceled"
    assert list(store.tables["event"].values())[-1]["type"] == "checkout.session.expired"


def test_a_session_has_to_make_sense(sim: Sim) -> None:
    customer = sim.customer().id
    for more in (
        {"mode": "payment", "line_items": []},
        {"expires_at": int(time.time()) + 60},
        {"success_url": ""},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            sim.session(customer, **more)  # type: ignore[arg-type]
