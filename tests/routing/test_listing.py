"""The catalogue kept in memory: one query while nothing changed, and never an old one."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from routing import listing as module
from routing.listing import Listing, listing
from routing.models import Model, Offering, PlanModel, Price, PriceComponent, Provider, Region
from routing.seed.load import load_demo_catalogue
from routing.selectors import load_catalogue

pytestmark = pytest.mark.django_db


def test_it_is_read_once_while_nothing_changes() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    first = listing()

    with CaptureQueriesContext(connection) as caught:
        again = listing()

    assert again is first
    assert len(caught) == 1
    assert asdict(first.catalogue) == asdict(load_catalogue())
    assert first.providers["deepseek"] == "DeepSeek"


def test_every_change_of_the_catalogue_is_seen_at_once() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    offering = Offering.objects.select_related("endpoint").order_by("pk")[0]
    changes = [
        lambda: Region.objects.create(slug="moon", name="The Moon"),
        lambda: Provider.objects.filter(slug="deepseek").update(name="Deep"),
        lambda: Model.objects.filter(slug="glm-5").update(description="Another"),
        lambda: offering.endpoint.save(),
        lambda: type(offering).objects.filter(pk=offering.pk).update(weight=7),
        lambda: Price.objects.create(offering=offering),
        lambda: PriceComponent.objects.create(
            price=Price.objects.filter(offering=offering).last(), unit="image", amount_nano=5
        ),
        lambda: PlanModel.objects.all().delete(),
    ]

    for change in changes:
        before = listing()
        change()
        assert listing() is not before
        assert asdict(listing().catalogue) == asdict(load_catalogue())


def test_what_is_rolled_back_leaves_nothing_behind() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    with transaction.atomic():
        Region.objects.create(slug="moon", name="The Moon")
        assert "moon" in listing().regions
        transaction.set_rollback(True)
    Region.objects.create(slug="mars", name="Mars")

    assert "moon" not in listing().regions
    assert "mars" in listing().regions


def test_a_price_comes_into_force_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    offering = Offering.objects.select_related("endpoint").order_by("pk")[0]
    soon = datetime.now(UTC) + timedelta(minutes=1)
    Price.objects.create(offering=offering, effective_from=soon)
    kept = listing()
    assert listing() is kept

    monkeypatch.setattr(module.time, "time", lambda: soon.timestamp() + 1)

    assert listing() is not kept
    assert isinstance(kept, Listing)
