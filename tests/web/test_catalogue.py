"""The public catalogue: every facet, every price with and without the service fee, every model's page."""

from typing import Any

import pytest
from django.test import Client

from billing.money import service_fee_nano
from routing.models import Model, Offering, Price, PriceComponent, Provider
from routing.pricing import fee_lines
from routing.seed.load import load_demo_catalogue
from routing.selectors import load_catalogue
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalogue() -> None:
    load_demo_catalogue("http://127.0.0.1:9")


def shown(client: Client, **facets: str) -> set[tuple[str, str, str]]:
    """(model, provider, region) of every row."""
    page = client.get("/models/", facets)
    assert page.status_code == 200
    return {
        (info.slug, row.offering.provider, row.offering.region)
        for price_list in page.context["lists"]
        for info, rows in price_list.models
        for row in rows
    }


def test_without_facets_everything_is_there(client: Client) -> None:
    assert len(shown(client)) == Offering.objects.filter(enabled=True).count()


def test_each_facet_leaves_exactly_what_has_it(client: Client) -> None:
    offerings = load_catalogue().offerings
    for name, value, holds in (
        ("modality", "image", lambda o: o.modality == "image"),
        ("provider", "alibaba", lambda o: o.provider == "alibaba"),
        ("region", "eu", lambda o: o.region == "eu"),
        ("policy", "no_training", lambda o: "no_training" in o.policies),
        ("capability", "tools", lambda o: "tools" in o.capabilities),
        ("context", "200000", lambda o: (o.context_length or 0) >= 200_000),
        ("q", "QWEN", lambda o: "qwen" in o.model),
    ):
        expected = {(o.model, o.provider, o.region) for o in offerings if holds(o)}
        assert shown(client, **{name: value}) == expected, name


def test_facets_together_narrow_and_a_price_is_a_ceiling(client: Client) -> None:
    cheap = shown(client, modality="text", ceiling="0.30", region="cn")

    assert cheap
    for slug, provider, region in cheap:
        offering = next(
            o for o in load_catalogue().offerings if (o.model, o.provider, o.region) == (slug, provider, region)
        )  # fmt: skip
        assert offering.price is not None
        assert min(p.amount_nano for p in offering.price.components if p.unit == "input") <= 300_000_000  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [{"modality": "x"}, {"context": "many"}, {"ceiling": "NaN"}, {"q": HOSTILE}, {"region": "%00"}],
    ids=lambda query: next(iter(query)),
)
def test_a_query_that_makes_no_sense_narrows_nothing_or_all(
    client: Client, query: dict[str, str]
) -> None:
    page = client.get("/models/", query)

    assert page.status_code == 200
    safe(page)


def test_every_model_and_provider_has_its_page(client: Client) -> None:
    for slug in Model.objects.values_list("slug", flat=True):
        assert client.get(f"/models/{slug}/").status_code == 200, slug
    for slug in Provider.objects.values_list("slug", flat=True):
        assert client.get(f"/providers/{slug}/").status_code == 200, slug
    assert client.get("/models/nothing/").status_code == 404
    assert client.get("/providers/nothing/").status_code == 404


def test_a_models_page_names_it_in_every_way_and_adds_the_fee(client: Client) -> None:
    page = client.get("/models/deepseek-v3.2/")

    text = page.content.decode()
    assert "alibaba/deepseek-v3.2" in text
    for place, _ in page.context["places"]:
        for _, amount, total in place.amounts:
            assert total == amount + service_fee_nano(amount, 300)


def test_a_change_of_price_is_in_the_history(client: Client) -> None:
    offering = Offering.objects.filter(model__slug="deepseek-v3.2").first()
    price = Price.objects.create(offering=offering)
    PriceComponent.objects.create(price=price, unit="input", amount_nano=123_456_789)

    assert "$0.123456789" in client.get("/models/deepseek-v3.2/").content.decode()


def test_a_retired_model_is_gone(client: Client) -> None:
    Model.objects.filter(slug="deepseek-v3.2").update(status="retired")

    assert client.get("/models/deepseek-v3.2/").status_code == 404
    assert "deepseek-v3.2" not in {slug for slug, *_ in shown(client)}


def test_at_most_four_are_compared_and_unknown_ones_are_left_out(client: Client) -> None:
    names = [*Model.objects.filter(modality="text").values_list("slug", flat=True)[:6], "nothing"]

    page = client.get("/models/compare/", {"m": ["nothing", *names]})

    assert len(page.context["columns"]) == 3
    assert client.get("/models/compare/").status_code == 200


def test_the_calculator_is_the_function_that_charges(client: Client) -> None:
    page = client.get(
        "/pricing/", {"model": "deepseek-v3.2", "input": "1234", "output": "56", "calls": "7"}
    )

    estimates = page.context["estimates"]
    assert len(estimates) == len(load_catalogue().by_model["deepseek-v3.2"])
    for estimate in estimates:
        fee = fee_lines(estimate.offering.price, {"input": 1234, "output": 56})[1]
        assert estimate.model_fee_nano == 7 * fee
        for version, service, total in estimate.plans:
            assert service == 7 * service_fee_nano(fee, version.fee_bps)
            assert total == estimate.model_fee_nano + service
    assert [e.model_fee_nano for e in estimates] == sorted(e.model_fee_nano for e in estimates)


@pytest.mark.parametrize(
    "query", [{"input": "-1"}, {"calls": "0"}, {"model": "x"}, {"input": "9" * 30}, {"output": ""}],
    ids=lambda query: next(iter(query)),
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_said_at_its_field(
    client: Client, query: dict[str, str]
) -> None:
    given = {"model": "deepseek-v3.2", "input": "1", "output": "1", "calls": "1"} | query
    page = client.get("/pricing/", given)

    assert page.status_code == 200
    assert page.context["estimates"] == []
    assert page.context["form"].errors


def test_the_calculators_fragment_is_not_a_whole_page(client: Client, **_: Any) -> None:
    fragment = client.get("/pricing/", headers={"hx-request": "true"}).content.decode()

    assert 'id="estimate"' in fragment
    assert "<html" not in fragment
