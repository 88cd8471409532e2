"""A price that changes while a call is under way: the one the decision was made with is charged (M10, M13)."""

import threading
import uuid
from typing import Any

import pytest

from billing.audit import audit
from billing.models import Usage
from routing.models import Endpoint, Model, Offering, Price, PriceComponent
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually


def priced(offering: Offering, amount_nano: int) -> Price:
    price: Price = Price.objects.create(offering=offering)
    PriceComponent.objects.bulk_create(
        PriceComponent(price=price, unit=unit, amount_nano=amount_nano)
        for unit in ("input", "output")
    )
    return price


def offered(amount_nano: int) -> Offering:
    """A model of its own, so that no other test meets its prices."""
    model = Model.objects.create(slug=f"m-{uuid.uuid4().hex}", name="Mine", modality="text")
    endpoint = Endpoint.objects.get(provider__slug="deepseek", dialect="openai")
    made: Offering = Offering.objects.create(
        model=model, endpoint=endpoint, upstream_model="deepseek-chat"
    )
    priced(made, amount_nano)
    return made


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_under_way_is_charged_at_the_price_it_was_decided_with(
    gateway: Gateway, streamed: bool
) -> None:
    offering = offered(1_000_000_000)
    name = offering.model.slug
    first = offering.prices.get()
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    eventually(lambda: gateway.chat(secret, name).status_code == 200, what="the model's offer")
    marked = marker()
    gateway.providers.fault("deepseek", "slow", delay_ms=500, contains=marked)
    answers: list[Any] = []
    ask = gateway.stream if streamed else gateway.chat
    caller = threading.Thread(
        target=lambda: answers.append(ask(secret, name, f"[[id={marked}]] [[tokens=3]]"))
    )

    caller.start()
    eventually(lambda: gateway.providers.calls(marker=marked), what="the call's arrival")
    second = priced(offering, 7_000_000_000)

    def is_priced_anew() -> bool:
        answer = gateway.chat(secret, name)
        # A price is there before its components: a call between the two is refused.
        use = Usage.objects.filter(id=answer.headers["x-request-id"]).first()
        return use is not None and use.price_version == second.pk

    eventually(is_priced_anew, what="the new price")
    caller.join()

    response = answers[0].response if streamed else answers[0]
    use = Usage.objects.get(id=response.headers["x-request-id"])
    assert use.billed
    assert use.price_version == first.pk
    assert {line["price"] for line in use.lines} == {1_000_000_000}
    assert use.model_fee_nano == sum(use.units.values()) * 1_000
    assert audit(tenant) == []


def test_models_tells_the_lowest_price_among_the_places_that_may_be_used(gateway: Gateway) -> None:
    name = f"m-{uuid.uuid4().hex}"
    model = Model.objects.create(slug=name, name="Mine", modality="text")
    for slug, amount_nano in (
        ("deepseek", 3_000_000_000),
        ("alibaba", 2_000_000_000),
        ("novita", 1_000_000_000),
    ):
        endpoint = Endpoint.objects.filter(provider__slug=slug, dialect="openai").first()
        priced(
            Offering.objects.create(model=model, endpoint=endpoint, upstream_model="x"), amount_nano
        )
    tenant = factories.organization(credit_nano=1)
    secret = factories.key(tenant).secret
    narrow = factories.key(tenant, allowed_providers=["deepseek", "alibaba"]).secret

    def told(secret: str) -> object:
        return gateway.get(secret, f"models/{name}").json().get("pricing", {}).get("input")

    # Whichever provider a conversation of this organization would meet first.
    eventually(lambda: told(secret) == "1", what="the lowest price")
    assert told(narrow) == "2"
    assert gateway.get(secret, f"models/novita/{name}").json()["pricing"]["input"] == "1"
    assert gateway.get(secret, f"models/deepseek/{name}").json()["pricing"]["input"] == "3"
    factories.withdraw(name)
