"""The control plane of the simulation."""

import json
import time
from collections.abc import Iterator
from email.message import Message

import pytest
import stripe

from tests.stack.stripe.simulation import Sim, client, http_call
from tokenhub.stack.stripe.control import is_local


@pytest.fixture(autouse=True)
def _no_faults_left(sim: Sim) -> Iterator[None]:
    yield
    sim.control("DELETE", "/faults")


def test_an_error_of_the_server_does_nothing(sim: Sim) -> None:
    email = f"{time.time_ns()}@example.com"
    sim.control("PUT", "/faults", {"path": "/v1/customers", "status": 500, "times": 1})
    with pytest.raises(stripe.APIError):
        sim.api.customers.create({"email": email})
    assert sim.api.customers.list({"email": email}).data == []


@pytest.mark.parametrize(("mode", "effects"), [("drop_before", 0), ("drop_after", 1)])
def test_an_answer_is_lost_before_or_after_the_work(sim: Sim, mode: str, effects: int) -> None:
    email = f"{time.time_ns()}@example.com"
    sim.control("PUT", "/faults", {"path": "/v1/customers", "status": mode, "times": 1})
    with pytest.raises(stripe.APIConnectionError):
        sim.api.customers.create({"email": email})
    assert len(sim.api.customers.list({"email": email}).data) == effects


def test_the_librarys_own_retry_has_one_effect(sim: Sim) -> None:
    email = f"{time.time_ns()}@example.com"
    sim.control("PUT", "/faults", {"path": "/v1/customers", "status": "drop_after", "times": 1})
    client(sim.url, retries=1).v1.customers.create({"email": email})
    assert len(sim.api.customers.list({"email": email}).data) == 1
    last_two = sim.control("GET", "/requests?path=/v1/customers")["data"][-2:]
    assert [(write["fault"], write["replayed"]) for write in last_two] == [
        ("drop_after", False),
        (None, True),
    ]


def test_only_this_machine_may_control(sim: Sim) -> None:
    nothing = Message()
    assert is_local("127.0.0.1", nothing)
    assert is_local("::1", nothing)
    assert is_local("::ffff:127.0.0.1", nothing)
    assert not is_local("10.0.0.7", nothing)
    assert not is_local("::ffff:10.0.0.7", nothing)
    through_a_proxy = http_call(
        "GET", f"{sim.url}/_control/", headers={"X-Forwarded-For": "203.0.113.9"}
    )
    assert through_a_proxy.status == 404


def test_nonsense_is_refused(sim: Sim) -> None:
    for method, path, body in (
        ("PUT", "/faults", {"path": "/v1/refunds", "status": "sometimes"}),
        ("PUT", "/webhook", {"paused": "yes"}),
        ("POST", "/disputes", {"payment_intent": "pi_nobody"}),
    ):
        answer = http_call(method, f"{sim.url}/_control{path}", json.dumps(body))
        assert answer.status == 400, answer.body
    assert http_call("GET", f"{sim.url}/_control/nothing").status == 404
