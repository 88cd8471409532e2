"""The overview: money, use, and what to do next; and the way to it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from django.urls import reverse

from billing.selectors import FirstToken
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_switcher_shows_only_ones_own_organizations(client: Client, inside: Any) -> None:
    factories.organization("Somebody Else Ltd")
    mine = factories.organization("Mine Too Ltd")
    person = inside.memberships.get().user
    person.memberships.create(organization=mine, role="viewer")

    page = client.get(reverse("overview", args=[inside.slug])).content.decode()

    assert "Mine Too Ltd" in page
    assert "Somebody Else Ltd" not in page


def test_the_console_opens_where_one_was_last(client: Client, inside: Any) -> None:
    other = factories.organization("Aaa")
    inside.memberships.get().user.memberships.create(organization=other, role="viewer")

    for tenant in (other, inside, other):
        client.get(f"/o/{tenant.slug}/")
        assert client.get("/console/")["location"] == f"/o/{tenant.slug}/"


def test_another_organization_is_made_and_opened(client: Client, inside: Any) -> None:
    made = client.post("/o/new/", {"name": "Second Ltd"})
    refused = client.post("/o/new/", {"name": "   "})

    assert made["location"].startswith("/o/second-ltd")
    assert refused.status_code == 422


def test_somebody_without_an_organization_is_led_to_making_one(client: Client) -> None:
    client.force_login(factories.user())

    assert client.get("/console/")["location"] == "/o/new/"


def test_the_checklist_follows_from_facts(client: Client, inside: Any) -> None:
    url = reverse("overview", args=[inside.slug])
    before = {step.words: step.done for step in client.get(url).context["steps"]}
    factories.key(inside)
    factories.usage(inside)
    client.post(reverse("preferences", args=[inside.slug]), {"strategy": "price"})
    client.post(reverse("budgets", args=[inside.slug]), {"low_balance": "5"})
    TOTP.activate(inside.memberships.get().user, generate_totp_secret())
    after = client.get(url)

    assert before == {
        "Verify your address": True,
        "Create an API key": False,
        "Add money": True,
        "Make a first call": False,
        "Set where data may go": False,
        "Set a budget": False,
        "Turn on two-factor sign-in": False,
    }
    assert after.context["steps_left"] == 0
    assert b"Getting started" not in after.content


def test_it_shows_who_spends_most_and_how_long_the_money_lasts(client: Client, inside: Any) -> None:
    for n in range(7):
        factories.usage(
            inside, model=f"model-{n}", total_nano=n * 1_000_000 + 84, model_fee_nano=n * 1_000_000
        )
    factories.usage(inside, model="", provider="", region="", status="failed", billed=False)
    spent = factories.key(inside, name="Spender")
    factories.usage(
        inside, key=spent.key, key_name="Spender", model_fee_nano=70_000_000, total_nano=70_000_084
    )

    page = client.get(reverse("overview", args=[inside.slug]))
    models, keys = page.context["leaders"]
    log = reverse("requests", args=[inside.slug])

    assert [name for name, _, _ in models.rows] == [
        "deepseek-v3.2", "model-6", "model-5", "model-4", "model-3",
    ]  # fmt: skip
    assert keys.rows[0][0] == "Spender"
    assert f"{log}?key={spent.key.id}&amp;from=" in page.content.decode()
    listed = client.get(log, {"key": spent.key.id}).context["page"]
    assert [usage.key_name for usage in listed] == ["Spender"]
    available_nano = page.context["balance"].available_nano
    assert page.context["days_left"] == available_nano * 7 // (91_000_000 + 8 * 84)
    assert f"{page.context['days_left']} days" in page.content.decode()
    assert b"nothing was spent" not in page.content


def test_it_shows_when_streamed_answers_begin(client: Client, inside: Any) -> None:
    url = reverse("overview", args=[inside.slug])
    old = datetime.now(UTC) - timedelta(days=8)
    old_id = uuid.UUID(int=int(old.timestamp() * 1000) << 80)
    factories.usage(inside, id=f"req_{old_id.hex}", created_at=old, first_token_ms=9_000)
    factories.usage(factories.organization(), first_token_ms=8_000)
    factories.usage(inside, first_token_ms=None)
    before = client.get(url)
    for n in range(1, 101):
        factories.usage(inside, first_token_ms=n)
    after = client.get(url)

    assert b"no streamed answer in the last 7 days" in before.content
    assert after.context["first_token"] == FirstToken(100, 50, 95)
    assert "50 ms" in after.content.decode()
