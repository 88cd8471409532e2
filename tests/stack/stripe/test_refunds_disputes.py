"""Money that goes back."""

import pytest
import stripe

from tests.stack.stripe.simulation import DISPUTED, Sim


def test_refunds_are_bounded_by_the_charge(sim: Sim) -> None:
    intent = sim.paid()
    charge = intent.latest_charge.id
    part = sim.api.refunds.create(
        {"payment_intent": intent.id, "amount": 500, "metadata": {"note": "n"}}
    )
    assert (part.status, part.amount, part.charge) == ("succeeded", 500, charge)
    with pytest.raises(stripe.InvalidRequestError, match=r"\$15\.01.*\$15\.00"):
        sim.api.refunds.create({"charge": charge, "amount": 1501})
    rest = sim.api.refunds.create({"charge": charge, "reason": "requested_by_customer"})
    assert rest.amount == 1500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.api.refunds.create({"charge": charge})
    assert refused.value.code == "charge_already_refunded"
    after = sim.api.charges.retrieve(charge, {"expand": ["refunds"]})
    assert (after.amount_refunded, after.refunded) == (2000, True)
    listed = sim.api.refunds.list({"payment_intent": intent.id}).data
    assert [one.id for one in listed] == [rest.id, part.id]
    assert sim.api.refunds.retrieve(part.id) == part
    assert sim.events(charge) == ["charge.succeeded", "charge.refunded", "charge.refunded"]


def test_the_dashboard_refunds_too(sim: Sim) -> None:
    intent = sim.paid()
    made = sim.control("POST", "/refunds", {"payment_intent": intent.id, "amount": 700})
    assert sim.api.refunds.retrieve(made["id"]).amount == 700
    assert sim.events(made["id"]) == ["refund.created"]


def test_a_refund_may_fail_later(sim: Sim) -> None:
    intent = sim.paid()
    made = sim.api.refunds.create({"payment_intent": intent.id})
    sim.control("POST", f"/refunds/{made.id}/fail")
    failed = sim.api.refunds.retrieve(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    charge = sim.api.charges.retrieve(intent.latest_charge.id)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert sim.events(made.id) == ["refund.created", "refund.updated", "refund.failed"]


def test_the_disputing_card_is_disputed_right_after(sim: Sim) -> None:
    intent = sim.paid(DISPUTED)
    assert intent.latest_charge.disputed
    found = sim.api.disputes.list({"payment_intent": intent.id}).data
    assert [(one.amount, one.status) for one in found] == [(2000, "needs_response")]
    types = [
        event["type"]
        for event in sim.control("GET", "/events")["data"]
        if event["data"]["object"]["id"] in (found[0].id, intent.id)
    ]
    assert types == [
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_is_opened_and_decided(sim: Sim, outcome: str) -> None:
    intent = sim.paid()
    opened = sim.control("POST", "/disputes", {"payment_intent": intent.id, "amount": 900})
    assert opened["amount"] == 900
    charge = sim.api.charges.retrieve(intent.latest_charge.id)
    assert charge.disputed
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.api.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    answered = sim.api.disputes.update(
        opened["id"], {"evidence": {"customer_name": "Ada"}, "submit": True}
    )
    assert answered.status == "under_review"
    sim.control("POST", f"/disputes/{opened['id']}/close", {"outcome": outcome})
    assert sim.api.disputes.retrieve(opened["id"]).status == outcome
    assert sim.events(opened["id"])[:4] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
    ]
