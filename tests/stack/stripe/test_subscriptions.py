"""Subscriptions: periods, proration, renewal."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.stack.stripe.simulation import AUTHENTICATE, DAY_S, DECLINED, VISA, Sim, submit
from tokenhub.stack.stripe.periods import around, share, step


def test_checkout_begins_one(sim: Sim) -> None:
    before = int(time.time())
    subscription = sim.subscribed(subscription_data={"metadata": {"plan": "pro"}})
    item = subscription["items"]["data"][0]
    assert subscription.status == "active"
    assert subscription.to_dict()["metadata"] == {"plan": "pro"}
    assert before <= item.current_period_start <= time.time()
    assert item.current_period_end == step(item.current_period_start, "month", 1, 1)
    assert item.price.unit_amount == 2000
    invoice: Any = sim.api.invoices.retrieve(
        str(subscription.latest_invoice), {"expand": ["payments"]}
    )
    assert (invoice.status, invoice.amount_due, invoice.amount_paid) == ("paid", 2000, 2000)
    assert invoice.billing_reason == "subscription_create"
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert re.fullmatch(r"[A-Z0-9]{8}-0001", invoice.number)
    paid_by = invoice.payments.data[0].payment.payment_intent
    assert sim.api.payment_intents.retrieve(paid_by).status == "succeeded"
    listed = sim.api.subscriptions.list({"customer": str(subscription.customer)}).data
    assert [one.id for one in listed] == [subscription.id]
    assert sim.events(invoice.id) == ["invoice.created", "invoice.paid"]


def test_an_anchor_prorates_the_first_period_by_the_second(sim: Sim) -> None:
    anchor = int(time.time()) + 10 * DAY_S
    subscription = sim.subscribed(
        subscription_data={
            "billing_cycle_anchor": anchor,
            "proration_behavior": "create_prorations",
        }
    )
    item = subscription["items"]["data"][0]
    assert subscription.billing_cycle_anchor == item.current_period_end == anchor
    month = anchor - step(anchor, "month", 1, -1)
    invoice = sim.api.invoices.retrieve(str(subscription.latest_invoice))
    expected = share(2000, anchor - item.current_period_start, month)
    assert 600 < expected < 720
    assert invoice.amount_paid == expected
    line = invoice.lines.data[0]
    assert (line.period.start, line.period.end) == (item.current_period_start, anchor)


def test_the_first_period_may_be_free_until_the_anchor(sim: Sim) -> None:
    subscription = sim.subscribed(
        subscription_data={
            "billing_cycle_anchor": int(time.time()) + DAY_S,
            "proration_behavior": "none",
        }
    )
    invoice = sim.api.invoices.retrieve(str(subscription.latest_invoice))
    assert (invoice.amount_due, invoice.status) == (0, "paid")


def test_a_free_beginning_checks_the_card_all_the_same(sim: Sim) -> None:
    anchor = int(time.time()) + DAY_S
    data = {"billing_cycle_anchor": anchor, "proration_behavior": "none"}
    session = sim.session(sim.customer().id, "subscription", subscription_data=data)
    assert submit(session.url, card=DECLINED).status == 402
    assert submit(session.url, card=AUTHENTICATE).status == 200
    assert submit(session.url, action="fail").status == 402
    assert submit(session.url, card=AUTHENTICATE).status == 200
    assert submit(session.url, action="complete").status == 303
    after = sim.api.checkout.sessions.retrieve(session.id)
    assert after.payment_status == "no_payment_required"
    assert after.subscription is not None


def test_an_anchor_lies_within_the_next_period(sim: Sim) -> None:
    for anchor in (int(time.time()) - 5, int(time.time()) + 40 * DAY_S):
        with pytest.raises(stripe.InvalidRequestError):
            sim.session(
                sim.customer().id,
                "subscription",
                subscription_data={"billing_cycle_anchor": anchor},
            )


def test_a_refused_card_begins_nothing(sim: Sim) -> None:
    session = sim.session(sim.customer().id, "subscription")
    assert submit(session.url, card=DECLINED).status == 402
    assert sim.api.subscriptions.list({"customer": session.customer}).data == []
    assert submit(session.url, card=VISA).status == 303


def test_renewal_moves_the_period_and_charges(sim: Sim) -> None:
    subscription = sim.subscribed()
    first = subscription["items"]["data"][0]
    renewed = sim.control("POST", f"/subscriptions/{subscription.id}/renew")
    item = renewed["items"]["data"][0]
    assert item["current_period_start"] == first.current_period_end
    invoice = sim.api.invoices.retrieve(renewed["latest_invoice"])
    assert (invoice.billing_reason, invoice.status) == ("subscription_cycle", "paid")
    assert invoice.period_end == first.current_period_end
    assert invoice.lines.data[0].period.end == item["current_period_end"]
    listed = sim.api.invoices.list({"subscription": subscription.id}).data
    assert [one.id for one in listed] == [invoice.id, subscription.latest_invoice]


def test_a_failed_renewal_is_in_arrears_until_paid(sim: Sim) -> None:
    subscription = sim.subscribed()
    late = sim.control("POST", f"/subscriptions/{subscription.id}/renew", {"outcome": "failed"})
    assert late["status"] == "past_due"
    assert sim.api.invoices.retrieve(late["latest_invoice"]).status == "open"
    assert sim.events(late["latest_invoice"]) == ["invoice.created", "invoice.payment_failed"]
    assert sim.api.invoices.pay(late["latest_invoice"]).status == "paid"
    assert sim.api.subscriptions.retrieve(subscription.id).status == "active"
    sim.control("POST", f"/subscriptions/{subscription.id}/renew", {"outcome": "failed"})
    ended = sim.control("POST", f"/subscriptions/{subscription.id}/end")
    assert ended["status"] == "canceled"
    assert ended["cancellation_details"]["reason"] == "payment_failed"


def test_it_ends_with_its_period_when_asked(sim: Sim) -> None:
    subscription = sim.subscribed()
    end = subscription["items"]["data"][0].current_period_end
    update = sim.api.subscriptions.update
    ending = update(subscription.id, {"cancel_at_period_end": True})
    assert (ending.cancel_at, ending.cancel_at_period_end) == (end, True)
    stays = update(subscription.id, {"cancel_at_period_end": False, "metadata": {"a": "b"}})
    assert (stays.cancel_at, stays.canceled_at) == (None, None)
    update(subscription.id, {"cancel_at_period_end": True})
    ended = sim.control("POST", f"/subscriptions/{subscription.id}/end")
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert sim.events(subscription.id) == [
        "customer.subscription.created",
        *["customer.subscription.updated"] * 3,
        "customer.subscription.deleted",
    ]


def test_it_is_canceled_now(sim: Sim) -> None:
    subscription = sim.subscribed()
    canceled = sim.api.subscriptions.cancel(subscription.id)
    assert canceled.status == "canceled"
    assert canceled.ended_at is not None
    with pytest.raises(stripe.InvalidRequestError):
        sim.api.subscriptions.cancel(subscription.id)
    assert sim.api.subscriptions.list({"customer": str(canceled.customer)}).data == []


def test_periods_keep_to_the_anchors_day() -> None:
    def at(*date: int) -> int:
        return int(datetime(*date, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]

    anchor = at(2026, 1, 31)
    assert step(anchor, "month", 1, 1) == at(2026, 2, 28)
    assert around(anchor, "month", 1, at(2026, 3, 1)) == (at(2026, 2, 28), at(2026, 3, 31))
    assert around(anchor, "month", 1, at(2025, 12, 31)) == (at(2025, 12, 31), anchor)


def test_a_share_is_rounded_half_up() -> None:
    assert [share(1, part, 4) for part in range(5)] == [0, 0, 1, 1, 1]
    assert share(2000, 1, 3) == 667


def test_it_ends_at_an_instant_when_asked(sim: Sim) -> None:
    subscription = sim.subscribed()
    end = subscription["items"]["data"][0].current_period_end
    update = sim.api.subscriptions.update
    soon = int(time.time()) + DAY_S
    ending = update(subscription.id, {"cancel_at": soon, "proration_behavior": "none"})
    assert (ending.cancel_at, ending.cancel_at_period_end) == (soon, False)
    for refused in ({"cancel_at": soon - 2 * DAY_S}, {"cancel_at": soon, "cancel_at_period_end": True}):  # fmt: skip
        with pytest.raises(stripe.InvalidRequestError):
            update(subscription.id, refused)
    assert update(subscription.id, {"cancel_at": ""}).cancel_at is None

    update(subscription.id, {"cancel_at": end + DAY_S})
    sim.control("POST", f"/subscriptions/{subscription.id}/renew", {"outcome": "paid"})
    last = sim.api.invoices.list({"subscription": subscription.id}).data[0]
    assert last.amount_paid == share(2000, DAY_S, step(end, "month", 1, 1) - end)
    ended = sim.control("POST", f"/subscriptions/{subscription.id}/end")
    assert (ended["status"], ended["ended_at"]) == ("canceled", end + DAY_S)
