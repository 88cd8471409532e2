"""Price lists: seen before they count, new versions from an instant on, and never a price in force rewritten."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from routing.models import Endpoint, Model, Offering, Price, Provider, Region
from tests import factories
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db
IMPORT, PROCESS = "admin:routing_price_import", "admin:routing_price_process_import"
HEAD = "model,provider,region,dialect,input,output,image"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def offered(dialect: str = "openai", model: Any = None, provider: Any = None) -> Offering:
    name = uuid.uuid4().hex[:8]
    region, _ = Region.objects.get_or_create(slug="eu", defaults={"name": "EU"})
    provider = provider or Provider.objects.create(slug=f"p{name}", name="P")
    model = model or Model.objects.create(slug=f"m{name}", name="M", modality="text")
    endpoint = Endpoint.objects.create(
        provider=provider, region=region, dialect=dialect, base_url="http://127.0.0.1:9/v1"
    )
    return Offering.objects.create(model=model, endpoint=endpoint, upstream_model="m")


def priced(**amounts: int) -> Offering:
    offering = offered()
    factories.price(offering, amounts)
    return offering


def line(offering: Offering, amounts: str) -> str:
    return f"{offering.model.slug},{offering.endpoint.provider.slug},eu,openai,{amounts}"


def upload(client: Client, *lines: str, at: str = "", head: str = HEAD) -> Any:
    text = "\n".join(["# a note", head, *lines])
    file = SimpleUploadedFile("prices.csv", text.encode(), "text/csv")
    return client.post(
        reverse(IMPORT), {"import_file": file, "format": "0", "resource": "0", "effective_from": at}
    )


def confirm(client: Client, preview: Any) -> Any:
    given = preview.context["confirm_form"].initial
    return client.post(reverse(PROCESS), {name: value or "" for name, value in given.items()})


def latest(offering: Offering) -> dict[Any, int]:
    price = offering.prices.order_by("-effective_from")[0]
    return {(c.unit, c.from_tokens): c.amount_nano for c in price.components.all()}


def test_a_list_is_previewed_then_confirmed_and_no_price_in_force_changes(operator: Client) -> None:
    changed, same = priced(input=280_000_000, output=400_000_000), priced(input=1_000_000_000)
    before = list(Price.objects.order_by("pk").values())

    preview = upload(operator, line(changed, "0.30,0.40,"), line(same, "1.0,,"))

    safe(preview)
    page = preview.content.decode()
    assert re.search(r"<del>0\.28</del>\s*<ins>0\.3</ins>", page)
    assert ("As it is" in page, "New version" in page) == (True, True)
    assert list(Price.objects.order_by("pk").values()) == before
    assert confirm(operator, preview).status_code == 302

    assert latest(changed) == {("input", 0): 300_000_000, ("output", 0): 400_000_000}
    assert same.prices.count() == 1
    assert list(Price.objects.order_by("pk").values())[: len(before)] == before
    assert LogEntry.objects.filter(object_id=str(changed.prices.latest("pk").pk)).exists()


def test_a_list_takes_effect_at_its_instant(operator: Client) -> None:
    offering = priced(input=100)
    at = timezone.now() + timedelta(days=3)

    confirm(operator, upload(operator, line(offering, "2,,"), at=f"{at:%Y-%m-%d %H:%M:%S}"))

    price = offering.prices.order_by("-effective_from")[0]
    assert abs(price.effective_from - at) < timedelta(seconds=1)


def test_tiers_are_read_as_the_seed_has_them(operator: Client) -> None:
    offering = offered()

    confirm(operator, upload(operator, line(offering, "0.5@32000|1.25,3,")))

    assert latest(offering) == {("input", 0): 500_000_000, ("input", 32000): 1_250_000_000, ("output", 0): 3_000_000_000}  # fmt: skip


@pytest.mark.parametrize(
    "amounts",
    [",,", "-1,,", "abc,,", "1e3,,", "NaN,,", "0.0000000001,,", "1@5|2@5|3,,", "1@|2,,", f'"{HOSTILE}",,'],
)  # fmt: skip
def test_what_is_no_price_imports_nothing(operator: Client, amounts: str) -> None:
    good, bad = offered(), offered()

    page = upload(operator, line(good, "1,,"), line(bad, amounts))

    assert "Nothing is imported" in page.content.decode()
    assert "confirm_form" not in page.context
    safe(page)
    assert not good.prices.exists()


def test_what_is_not_offered_or_said_twice_or_unclear_is_refused(operator: Client) -> None:
    offering = offered()
    other = offered("anthropic", model=offering.model, provider=offering.endpoint.provider)
    unclear = line(offering, "1,,").replace("openai", "")

    for lines in (["no,such,eu,openai,1,,"], [line(offering, "1,,")] * 2, [unclear]):
        assert "Nothing is imported" in upload(operator, *lines).content.decode(), lines
    assert not Price.objects.filter(offering__in=[offering, other]).exists()


def test_the_past_and_a_missing_column_are_refused(operator: Client) -> None:
    offering = offered()

    past = upload(operator, line(offering, "1,,"), at="2020-01-01 00:00")
    headless = upload(operator, "a,b", head="model,input")

    assert "in the past" in past.content.decode()
    assert "missing" in headless.content.decode()
    assert not offering.prices.exists()


def test_who_may_not_add_prices_imports_none(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))

    assert client.get(reverse(IMPORT)).status_code == 403
    assert client.post(reverse(PROCESS)).status_code == 403


def test_the_form_and_the_list_of_prices_are_safe(operator: Client) -> None:
    priced(input=1)

    safe(operator.get(reverse(IMPORT)))
    safe(operator.get(reverse("admin:routing_price_changelist")))
