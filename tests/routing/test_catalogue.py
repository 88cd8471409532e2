"""The catalogue in the database: seeded, encrypted, told to gateways, and prices that never change."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import AuditEvent
from routing.errors import InvalidPreferences
from routing.models import Endpoint, Offering, Price, PriceComponent, Provider
from routing.seed.load import load_demo_catalogue, rows
from routing.selectors import load_catalogue
from routing.services import set_preferences
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> None:
    load_demo_catalogue("http://127.0.0.1:9")


def test_the_seed_is_the_whole_file_and_loading_again_adds_nothing(seeded: None) -> None:
    before = (Offering.objects.count(), Price.objects.count(), PriceComponent.objects.count())

    load_demo_catalogue("http://127.0.0.1:10")

    assert before == (
        Offering.objects.count(),
        Price.objects.count(),
        PriceComponent.objects.count(),
    )
    assert Offering.objects.count() == len(list(rows("catalogue.csv")))
    assert (
        Endpoint.objects.filter(base_url__startswith="http://127.0.0.1:10/").count()
        == Endpoint.objects.count()
    )


def test_a_credential_is_encrypted_at_rest_and_never_shown(seeded: None, client: Client) -> None:
    endpoint = Endpoint.objects.get(provider__slug="openai", dialect="openai")
    endpoint.credential = "sk-canary-0123456789"
    endpoint.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT credential FROM routing_endpoint WHERE id = %s", [endpoint.pk])
        stored = cursor.fetchone()[0]
    client.force_login(factories.user(is_staff=True, is_superuser=True))

    page = client.get(f"/admin/routing/provider/{endpoint.provider_id}/change/")

    assert "canary" not in stored
    assert Endpoint.objects.get(pk=endpoint.pk).credential == "sk-canary-0123456789"
    assert page.status_code == 200
    assert "canary" not in page.content.decode()


@pytest.mark.parametrize("change", ["update", "delete", "component"])
def test_a_price_in_force_never_changes(seeded: None, change: str) -> None:
    price = Price.objects.first()
    assert price is not None
    attempt = {
        "update": lambda: Price.objects.filter(pk=price.pk).update(effective_from=timezone.now()),
        "delete": price.delete,
        "component": lambda: price.components.update(amount_nano=1),
    }[change]

    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        attempt()


def test_the_price_in_force_is_the_latest_that_has_begun(seeded: None) -> None:
    offering = Offering.objects.get(model__slug="glm-5", endpoint__provider__slug="zai")
    coming = Price.objects.create(
        offering=offering, effective_from=timezone.now() + timedelta(hours=1)
    )
    PriceComponent.objects.create(price=coming, unit="input", amount_nano=7)

    now = {o.id: o.price for o in load_catalogue().offerings}[offering.pk]
    later = load_catalogue(timezone.now() + timedelta(hours=2))

    assert now is not None
    assert now.version != coming.pk
    assert {o.id: o.price for o in later.offerings}[offering.pk].version == coming.pk  # type: ignore[union-attr]
    assert load_catalogue().next_change_s == pytest.approx(coming.effective_from.timestamp())


def test_a_disabled_provider_is_not_on_offer(seeded: None) -> None:
    Provider.objects.filter(slug="azure").update(enabled=False)

    assert "azure" not in load_catalogue().providers


def test_preferences_are_checked_versioned_and_on_the_trail(seeded: None) -> None:
    tenant = factories.organization()

    made = set_preferences(
        tenant, {"allowed_regions": ["eu", "eu"]}, actor=SYSTEM, compliance_extension=False
    )
    same = set_preferences(
        tenant, {"allowed_regions": ["eu"]}, actor=SYSTEM, compliance_extension=False
    )

    assert made.allowed_regions == ["eu"]
    assert same.version == made.version == 2
    event = AuditEvent.objects.get(organization=tenant, action="preferences.changed")
    assert event.after == {"allowed_regions": ["eu"]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"allowed_regions": ["mars"]}, "allowed_regions"),
        ({"denied_models": ["nope"]}, "denied_models"),
        ({"require": ["soc2"]}, "require"),
        ({"strategy": "luck"}, "strategy"),
        ({"organization": "other"}, "organization"),
    ],
)
def test_what_cannot_be_preferred_is_refused_by_name(
    seeded: None, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidPreferences) as refused:
        set_preferences(factories.organization(), changes, actor=SYSTEM, compliance_extension=False)

    assert refused.value.field == field
