"""The public site, the development mailbox, health."""

import re
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from routing.listing import listing
from routing.models import Model, Offering, OfferingHealth, Provider
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.web.pages import HOSTILE, safe
from tokenhub.web.mailbox import MailboxBackend
from tokenhub.web.models import Incident, ProviderDay

pytestmark = pytest.mark.django_db


def test_the_price_list_shows_every_offering_and_its_tiers(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    load_demo_catalogue("http://127.0.0.1:9")

    listing()
    with django_assert_max_num_queries(2):
        page = client.get("/models/").content.decode()

    for offering in Offering.objects.select_related("model", "endpoint__provider"):
        assert f'id="{offering.model.slug}"' in page
        assert offering.endpoint.provider.slug in page
    assert "&gt; 32K $2.40" in page


def test_the_example_of_the_front_page_adds_up(client: Client) -> None:
    charge = client.get("/").context["charge"]

    assert sum(line["fee"] for line in charge.lines) == charge.model_fee_nano
    assert charge.total_nano == charge.model_fee_nano + charge.service_fee_nano


def test_the_mailbox_exists_in_development_only(client: Client, settings: Any) -> None:
    assert client.get("/dev/mailbox/").status_code == 404

    settings.DEBUG = True

    safe(client.get("/dev/mailbox/"))


def test_the_mailbox_keeps_mail_and_shows_it_inert(
    client: Client, settings: Any, tmp_path: Any, capsys: Any
) -> None:
    settings.DATA_DIR = tmp_path
    settings.DEBUG = True
    message = EmailMessage(f"Code {HOSTILE}", f"1234\n{HOSTILE}", to=["Ann <ann@example.com>"])
    MailboxBackend().send_messages([message])

    page = client.get("/dev/mailbox/").content.decode()

    assert "ann@example.com" in page
    assert "1234" in page
    assert HOSTILE not in page
    assert "1234" in capsys.readouterr().err


def test_health_and_readiness(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok", "database": "ok", "broker": "ok"}


def test_readiness_names_what_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenhub.web.health._broker", lambda: False)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "away", "database": "ok", "broker": "away"}


def test_the_icon_is_found_by_its_old_name_and_every_legal_page_from_the_foot(
    client: Client,
) -> None:
    icon = client.get("/favicon.ico")
    page = client.get("/security/").content.decode()

    assert (icon.status_code, icon["location"]) == (302, "/static/favicon.svg")
    assert "max-age" in icon["cache-control"]
    for name in ("terms", "privacy", "sla", "dpa"):
        assert f'href="/legal/{name}/"' in page


def test_a_page_for_everybody_may_be_kept_and_a_persons_own_may_not(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    factories.announcement(slug="kept")
    for path in ("/", "/models/", "/pricing/", "/status/", "/docs/routing/", "/announcements/kept/", "/legal/sla/"):  # fmt: skip
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first["etag"]})

        assert "public" in first["cache-control"], path
        assert "max-age=60" in first["cache-control"]
        assert {"Cookie", "HX-Request"} <= set(re.split(r",\s*", first["vary"]))
        assert (again.status_code, again.content) == (304, b""), path

    assert "public" not in client.get("/contact/")["cache-control"]
    client.force_login(factories.user())
    for path in ("/", "/models/", "/pricing/"):
        assert "no-store" in client.get(path)["cache-control"], path


def test_the_price_list_and_the_calculator_turn_nobody_away(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")

    statuses = {client.get("/pricing/").status_code for _ in range(150)}

    assert statuses == {200}


def test_the_front_page_tells_what_is_on_record_and_nothing_else(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    before = client.get("/")
    ProviderDay.objects.create(
        provider="zai", modality="text", day=timezone.now().date(), attempts=1_000, failures=3
    )
    text = Offering.objects.filter(model__modality="text")[:3]
    for offering, latency_ms in zip(text, (100, 300, 900), strict=True):
        OfferingHealth.objects.create(offering=offering, latency_ms=latency_ms)
    after = client.get("/").content.decode()

    known = before.context["facts"]
    assert known.providers == Provider.objects.filter(enabled=True).count()
    assert known.models == Model.objects.filter(offerings__enabled=True).distinct().count()
    assert (known.answered, known.first_token_ms) == (None, None)
    assert "nothing was asked yet" in before.content.decode()
    assert "99.70 %" in after
    assert "300 ms" in after
    cheapest = before.context["most_offered"][0]
    assert cheapest.model.slug == "deepseek-v3.2"
    assert cheapest.input_nano == 260_000_000
    Incident.objects.create(
        provider="zai", name="Z.ai", modality="text", opened_at=timezone.now(), whole=True
    )
    assert "1 incident open" in client.get("/").content.decode()
