"""What is around every page of the console: search, shortcuts, the checklist that follows from facts, the style guide."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Membership
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db


@pytest.fixture
def search(inside: Any) -> str:
    load_demo_catalogue("http://127.0.0.1:9")
    return reverse("search", args=[inside.slug])


def test_search_finds_models_keys_rooms_and_documentation(
    client: Client, search: str, inside: Any
) -> None:
    factories.key(inside, name="failover robot")

    groups = client.get(search, {"q": "failover"}).context["groups"]
    assert [hit.name for hit in groups["API keys"]] == ["failover robot"]
    assert groups["Documentation"]
    models = client.get(search, {"q": "qwen"}).context["groups"]["Models"]
    assert "qwen-plus" in {hit.about for hit in models}
    rooms = client.get(search, {"q": "budg"}).context["groups"]["Rooms"]
    assert [hit.url for hit in rooms] == [reverse("budgets", args=[inside.slug])]


def test_the_id_of_a_request_leads_straight_to_it_and_a_foreign_one_nowhere(
    client: Client, search: str, inside: Any
) -> None:
    mine, theirs = factories.usage(inside), factories.usage(factories.organization())

    assert client.get(search, {"q": f" {mine.id} "})["location"] == reverse(
        "request_detail", args=[inside.slug, mine.id]
    )
    assert client.get(search, {"q": theirs.id}).status_code == 200
    assert client.get(search, {"q": "req_nonsense"}).status_code == 200


def test_search_finds_nothing_of_another_tenant_and_stays_safe(client: Client, search: str) -> None:
    factories.key(factories.organization(), name="foreign robot")

    assert "API keys" not in client.get(search, {"q": "robot"}).context["groups"]
    safe(client.get(search, {"q": HOSTILE}))
    safe(client.get(search))


def test_the_checklist_is_hidden_for_oneself_alone(client: Client, inside: Any) -> None:
    overview = reverse("overview", args=[inside.slug])
    assert b"Getting started" in client.get(overview).content

    client.post(reverse("checklist_dismiss", args=[inside.slug]))

    assert b"Getting started" not in client.get(overview).content
    colleague = Client()
    colleague.force_login(factories.member(inside))
    assert b"Getting started" in colleague.get(overview).content
    assert Membership.objects.filter(organization=inside, checklist_hidden=True).count() == 1


def test_the_first_call_is_told_when_it_is_there(client: Client, inside: Any) -> None:
    url = reverse("first_call", args=[inside.slug])
    before = client.get(url)
    factories.usage(inside)
    after = client.get(url)

    assert before.status_code == 204
    assert after["HX-Refresh"] == "true"
    page = client.get(reverse("overview", args=[inside.slug])).content
    assert b"Your first call has arrived" in page
    assert b"first-call" not in page


def test_shortcuts_are_there_unless_they_were_switched_off(client: Client, inside: Any) -> None:
    overview = reverse("overview", args=[inside.slug])
    assert b" data-shortcuts>" in client.get(overview).content

    client.post(reverse("me_appearance"), {"theme": "system"})

    page = client.get(overview).content
    assert b" data-shortcuts>" not in page
    assert b"data-shortcuts-help" not in page


def test_the_style_guide_is_for_development_alone(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    safe(client.get("/styleguide/"))
    settings.DEBUG = False
    assert client.get("/styleguide/").status_code == 404
