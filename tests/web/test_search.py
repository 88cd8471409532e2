"""Search and side bar lead to pages that open, and nothing that is typed makes one fail."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from routing.models import Model
from routing.seed.load import load_demo_catalogue
from tests import factories
from tokenhub.web.rooms import console_rooms

pytestmark = pytest.mark.django_db


def test_a_key_that_is_found_leads_to_its_own_page(client: Client, inside: Any) -> None:
    key = factories.key(inside, name="bookkeeping").key

    page = client.get(reverse("search", args=[inside.slug]), {"q": "bookkeep"})

    assert f'href="{reverse("key", args=[inside.slug, key.id])}"' in page.content.decode()


def test_a_retired_model_has_no_page_and_is_not_found(client: Client, inside: Any) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    Model.objects.filter(slug="qwen-plus").update(status=Model.Status.RETIRED)

    page = client.get(reverse("search", args=[inside.slug]), {"q": "qwen"})

    assert reverse("model", args=["qwen3-max"]) in page.content.decode()
    assert reverse("model", args=["qwen-plus"]) not in page.content.decode()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("search/?q=a%00b", 200),
        ("billing/invoices/%00/", 404),
        ("billing/invoices/%00.pdf", 404),
        ("billing/invoices/%00.csv", 404),
        ("billing/invoices/%00/requests.csv", 404),
        ("billing/receipts/%00.pdf", 404),
    ],
)
def test_what_no_text_can_hold_is_no_failure_of_ours(
    client: Client, inside: Any, path: str, status: int
) -> None:
    assert client.get(f"/o/{inside.slug}/{path}").status_code == status


@pytest.mark.parametrize("role", Role)
def test_every_room_in_the_side_bar_opens_for_who_sees_it(client: Client, role: Role) -> None:
    tenant = factories.organization()
    client.force_login(factories.member(tenant, role))
    rooms = console_rooms(client.get(f"/o/{tenant.slug}/").wsgi_request, tenant.slug)

    answers = {
        room.url: client.get(room.url, follow=True).status_code
        for _, group in rooms
        for room in group
    }

    assert set(answers.values()) == {200}, answers
