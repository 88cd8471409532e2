"""Events: signed, delivered again, in any order."""

import stripe

from tests.processes import eventually
from tests.stack.stripe.simulation import Shop, Sim


def test_events_arrive_signed(sim: Sim, listening: Shop) -> None:
    customer = sim.customer()
    eventually(lambda: listening.about(customer.id) == ["customer.created"])
    event = listening.events[0]
    assert event.api_version == stripe.api_version
    assert event.request is not None
    assert str(event.request.id).startswith("req_")
    assert event.data.object["email"] == "ada@example.com"
    assert listening.forged == 0
    assert sim.api.events.retrieve(event.id).type == event.type
    eventually(lambda: sim.api.events.retrieve(event.id).pending_webhooks == 0)


def test_a_change_says_what_it_was_before(sim: Sim, listening: Shop) -> None:
    customer = sim.customer()
    sim.api.customers.update(customer.id, {"name": "Grace"})
    eventually(lambda: "customer.updated" in listening.about(customer.id))
    changed = next(event for event in listening.events if event.type == "customer.updated")
    assert changed.to_dict()["data"]["previous_attributes"] == {"name": None}


def test_what_is_not_taken_is_sent_again(sim: Sim, listening: Shop) -> None:
    listening.status = 500
    customer = sim.customer()
    eventually(lambda: len(listening.about(customer.id)) == 1)
    listening.status = 200
    eventually(lambda: len(listening.about(customer.id)) == 2)
    assert len({event.id for event in listening.events}) == 1


def test_paused_they_pile_up_and_can_be_sent_by_hand(sim: Sim, listening: Shop) -> None:
    sim.control("PUT", "/webhook", {"paused": True})
    first, second = sim.customer(), sim.customer()
    waiting = {
        event["data"]["object"]["id"]: event["id"]
        for event in sim.control("GET", "/events?undelivered=1")["data"]
    }
    assert set(waiting) == {first.id, second.id}
    # In another order than they happened, and one of them three times.
    sent = sim.control("POST", f"/events/{waiting[second.id]}/deliver", {"times": 3})
    assert sent == {"statuses": [200, 200, 200]}
    assert listening.about(first.id) == []
    assert listening.about(second.id) == ["customer.created"] * 3
    sim.control("PUT", "/webhook", {"paused": False})
    eventually(lambda: listening.about(first.id) == ["customer.created"])


def test_events_are_listed_by_type_and_in_pages(sim: Sim) -> None:
    before = sim.customer().id
    sim.api.customers.update(before, {"name": "x"})
    page = sim.api.events.list({"type": "customer.created", "limit": 1})
    assert page.has_more
    assert page.data[0].data.object["id"] == before
    some = sim.api.events.list({"types": ["customer.updated"], "limit": 3}).data
    assert {event.type for event in some} == {"customer.updated"}
