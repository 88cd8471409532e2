"""The routing explorer: candidates in order, what is excluded by whose rule, and what to change."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.audit import SYSTEM
from billing.models import Usage
from routing.seed.load import load_demo_catalogue
from routing.services import set_preferences
from tests import factories
from tests.web.pages import safe

pytestmark = pytest.mark.django_db


@pytest.fixture
def url(inside: Any) -> str:
    load_demo_catalogue("http://127.0.0.1:9")
    return reverse("routing", args=[inside.slug])


def test_the_page_asks_for_a_model_first(client: Client, url: str) -> None:
    response = client.get(url)

    safe(response)
    assert b"Name a model" in response.content


def test_candidates_come_in_order_with_reason_price_and_fate(client: Client, url: str) -> None:
    response = client.get(url, {"model": "deepseek-v3.2", "sort": "price"})

    places = response.context["places"]
    # The cache's prices are paid in place of input, and put nothing in order.
    prices = [sum(Decimal(place.price[unit]) for unit in ("input", "output")) for place in places]
    assert len(places) > 2
    assert prices == sorted(prices)
    assert all("y price" in place.reason for place in places)
    tried = [place.fate for place in places if place.is_tried]
    assert tried[0] == "Tried first"
    assert len(tried) <= 3
    assert len({place.provider for place in places if place.is_tried}) == len(tried)
    safe(response)


def test_every_exclusion_names_its_rule_its_origin_and_what_to_change(
    client: Client, url: str, inside: Any
) -> None:
    set_preferences(inside, {"denied_providers": ["deepseek"]}, actor=SYSTEM, compliance_extension=False)  # fmt: skip
    key = factories.key(inside, allowed_regions=["cn", "eu"]).key

    response = client.get(url, {"model": "deepseek-v3.2", "key": key.id, "ignore": ["azure"]})

    found = {(each.rule, each.origin): each for each in response.context["refusals"]}
    denied = found["provider_denied", "organization"]
    assert denied.url == reverse("preferences", args=[inside.slug])
    assert found["provider_denied", "request"].url == ""
    assert found["region_not_allowed", "key"].url == reverse("keys", args=[inside.slug])
    total = len(response.context["places"]) + len(response.context["refusals"])
    free = client.get(url, {"model": "deepseek-v3.2"}).context
    assert total == len(free["places"]) + len(free["refusals"])


def test_nothing_left_is_said_with_the_code_a_program_gets(client: Client, url: str) -> None:
    response = client.get(url, {"model": "alibaba/deepseek-v3.2", "ignore": "alibaba"})

    assert b"Nothing is left" in response.content
    assert b"outside_boundaries" in response.content


def test_a_name_that_is_none_and_a_plan_model_above_the_plan_are_explained(
    client: Client, url: str
) -> None:
    starter = factories.organization(plan="starter")
    client.force_login(factories.member(starter))
    there = reverse("routing", args=[starter.slug])

    assert b"model_not_found" in client.get(there, {"model": "no-such-model"}).content
    assert b"model_not_found" in client.get(there, {"model": "tokenhub/none"}).content
    assert b"plan_required" in client.get(there, {"model": "tokenhub/sovereign-eu"}).content


def test_the_question_is_in_the_address_and_in_the_form_again(client: Client, url: str) -> None:
    page = client.get(
        url + "?model=deepseek-v3.2&regions=cn&order=alibaba&no_fallbacks=on&session=abc"
    )

    form = page.context["form"]
    assert form["regions"].value() == ["cn"]
    assert form["session"].value() == "abc"
    assert page.context["provider_option"] == (
        '{"order": ["alibaba"], "regions": ["cn"], "allow_fallbacks": false}'
    )
    assert [place.is_tried for place in page.context["places"]].count(True) == 1


def test_what_cannot_be_asked_is_said_beside_its_field(client: Client, url: str) -> None:
    foreign = factories.key(factories.organization()).key.id

    assert client.get(url, {"model": "glm-5", "input_tokens": "-1"}).status_code == 422
    assert client.get(url, {"model": "glm-5", "key": foreign}).status_code == 422
    assert client.get(url, {"model": "glm-5", "regions": "mars"}).status_code == 422


def test_a_prompt_longer_than_the_context_excludes(client: Client, url: str) -> None:
    response = client.get(url, {"model": "deepseek-v3.2", "input_tokens": 50_000_000})

    assert {each.rule for each in response.context["refusals"]} == {"context_too_long"}


@pytest.mark.parametrize("model", ["flux-1.1-pro", "wan2.7-t2v", "text-embedding-3-small"])
def test_images_video_and_embeddings_are_explained_as_what_they_are(
    client: Client, url: str, model: str
) -> None:
    response = client.get(url, {"model": model})

    assert response.context["places"]
    assert "wrong_modality" not in {each.rule for each in response.context["refusals"]}


def test_asking_sends_nothing_and_costs_nothing(client: Client, url: str, inside: Any) -> None:
    client.get(url, {"model": "deepseek-v3.2"})

    assert not Usage.objects.for_organization(inside).exists()


def test_htmx_is_given_the_answer_alone(client: Client, url: str) -> None:
    response = client.get(url, {"model": "deepseek-v3.2"}, headers={"HX-Request": "true"})

    assert response.content.strip().startswith(b'<div id="answer"')


def test_the_page_takes_few_queries(
    client: Client, url: str, django_assert_max_num_queries: Any
) -> None:
    client.get(url)

    with django_assert_max_num_queries(12):
        client.get(url, {"model": "deepseek-v3.2"})
