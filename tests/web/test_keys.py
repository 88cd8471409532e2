"""The keys page: a secret shown once, limits that make sense, a revocation that asks first."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.audit import SYSTEM
from accounts.models import AuditEvent
from keys.budgets import Budget
from keys.models import ApiKey
from keys.services import revoke
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_secret_is_shown_once_and_never_again(client: Client, inside: Any) -> None:
    url = reverse("key_new", args=[inside.slug])

    revealed = client.post(url, {"name": "backend", "kind": "inference"})

    found = re.search(r"thk_[0-9A-Za-z]{49}", revealed.content.decode())
    assert found
    secret = found.group()
    assert "no-store" in revealed["cache-control"]
    key = ApiKey.objects.get(organization=inside)
    assert key.last4 == secret[-4:]
    for page in (url, reverse("keys", args=[inside.slug]), reverse("overview", args=[inside.slug])):
        assert secret not in client.get(page).content.decode()
    assert AuditEvent.objects.filter(
        organization=inside, action="key.created", actor_kind="user"
    ).exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("rpm", "0"),
        ("ip_allowlist", "nonsense"),
        ("allowed_models", "nope"),
        ("kind", "root"),
    ],
)
def test_a_key_with_senseless_limits_is_refused_beside_its_field(
    client: Client, inside: Any, field: str, value: str
) -> None:
    data = {"name": "x", "kind": "inference", field: value}

    response = client.post(reverse("key_new", args=[inside.slug]), data)

    assert response.status_code == 422
    assert response.context["form"].errors[field]
    assert not ApiKey.objects.filter(organization=inside).exists()


def test_revoking_asks_first_and_then_stops_the_key(client: Client, inside: Any) -> None:
    key = factories.key(inside).key

    asked = client.get(reverse("key_revoke_confirm", args=[inside.slug, key.id]))
    client.post(reverse("key_revoke", args=[inside.slug, key.id]))

    key.refresh_from_db()
    assert b"Revoke" in asked.content
    assert key.revoked_at is not None


def test_a_key_is_changed_with_its_budget(client: Client, inside: Any) -> None:
    key = factories.key(inside, rpm=5, allowed_regions=["eu"]).key
    url = reverse("key_edit", args=[inside.slug, key.id])

    shown = client.get(url)
    saved = client.post(
        url,
        {
            "name": "renamed", "lifetime": "keep", "rpm": "7", "budget": "2.5", "budget_period": "week",
            "allowed_regions": ["eu"],
        },
    )  # fmt: skip

    key.refresh_from_db()
    assert b'value="5"' in shown.content
    assert saved.status_code == 302
    assert (key.name, key.rpm, key.allowed_regions) == ("renamed", 7, ["eu"])
    assert key.budget is not None
    assert key.budget.as_dict() == {"amount": "2.50", "period": "week"}
    assert key.expires_at is None


def test_a_key_is_made_with_scopes_budget_and_expiry(client: Client, inside: Any) -> None:
    client.post(
        reverse("key_new", args=[inside.slug]),
        {
            "name": "ci", "kind": "management", "scopes": ["read"], "lifetime": "30", "budget": "1",
            "budget_period": "day",
        },
    )  # fmt: skip

    key = ApiKey.objects.get(organization=inside)
    assert (key.scopes, key.budget_period) == (["read"], "day")
    assert key.expires_at is not None


def test_rotating_shows_the_new_secret_once_and_the_old_ones_end(
    client: Client, inside: Any
) -> None:
    minted = factories.key(inside)
    url = reverse("key_rotate", args=[inside.slug, minted.key.id])

    revealed = client.post(url, {"grace": "24"})

    found = re.search(r"thk_[0-9A-Za-z]{49}", revealed.content.decode())
    assert found
    assert found.group() != minted.secret
    assert "no-store" in revealed["cache-control"]
    page = client.get(reverse("key", args=[inside.slug, minted.key.id])).content.decode()
    assert found.group() not in page
    assert minted.key.label in page  # accepted until its grace ends
    client.post(reverse("key_grace_end", args=[inside.slug, minted.key.id]))
    page = client.get(reverse("key", args=[inside.slug, minted.key.id])).content.decode()
    assert minted.key.label not in page


def test_a_revoked_key_is_not_rotated_from_its_page(client: Client, inside: Any) -> None:
    key = factories.key(inside).key
    client.post(reverse("key_revoke", args=[inside.slug, key.id]))

    refused = client.post(reverse("key_rotate", args=[inside.slug, key.id]), {"grace": "0"})

    assert refused.status_code == 422
    assert b"revoked or expired" in refused.content


def test_the_list_is_searched_sorted_and_says_what_was_spent(
    client: Client, inside: Any, django_assert_max_num_queries: Any
) -> None:
    cheap = factories.key(inside, name="cheap", budget=Budget(10_000_000, "month")).key
    dear = factories.key(inside, name="dear", budget=Budget(20_000_000, "day")).key
    revoke(factories.key(inside, name="gone").key, actor=SYSTEM)
    factories.usage(
        inside, key=cheap, model_fee_nano=5_000_000, service_fee_nano=0, total_nano=5_000_000
    )
    factories.usage(
        inside, key=dear, model_fee_nano=9_000_000, service_fee_nano=0, total_nano=9_000_000
    )
    url = reverse("keys", args=[inside.slug])

    with django_assert_max_num_queries(12):
        page = client.get(url, {"sort": "spend", "status": "active"})

    names = [line.key.name for line in page.context["lines"]]
    assert names == ["dear", "cheap"]
    assert [line.percent for line in page.context["lines"]] == [45, 50]
    assert "$0.009" in page.content.decode()
    assert [line.key.name for line in client.get(url, {"q": "CHE"}).context["lines"]] == ["cheap"]
    assert [line.key.name for line in client.get(url, {"status": "revoked"}).context["lines"]] == [
        "gone"
    ]
    assert b"No key matches" in client.get(url, {"q": "zzz"}).content
