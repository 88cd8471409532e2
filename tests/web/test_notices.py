"""Status, announcements, legal pages, and what machines read."""

from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from routing.listing import listing
from routing.models import HealthSample, Offering, OfferingHealth, Provider
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.web.pages import HOSTILE, safe
from tokenhub.web.models import Incident, LegalText, OfferingDay, ProviderDay
from tokenhub.web.status import availability, roll_up
from tokenhub.web.tasks import roll_up_availability

pytestmark = pytest.mark.django_db


def attempt(provider: str, outcome: str, status: int | None = 200) -> dict[str, object]:
    return {"provider": provider, "region": "cn", "outcome": outcome, "status": status, "latency_ms": 5}  # fmt: skip


def test_availability_is_counted_from_attempts_and_counting_again_changes_nothing() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    tenant = factories.organization()
    for _ in range(6):
        factories.usage(tenant, attempts=[attempt("deepseek", "timeout", None), attempt("alibaba", "succeeded")])  # fmt: skip
    factories.usage(
        tenant, attempts=[attempt("alibaba", "rejected", 400)]
    )  # the client's own error

    roll_up()
    roll_up_availability()

    rows = {row.provider: row for row in availability() if row.modality == "text"}
    assert (rows["deepseek"].percent, rows["deepseek"].today) == (0.0, "bad")
    assert (rows["alibaba"].percent, rows["alibaba"].today) == (100.0, "ok")
    assert ProviderDay.objects.get(provider="alibaba").attempts == 6
    enabled = Provider.objects.filter(enabled=True).values_list("slug", flat=True)
    assert {row.provider for row in availability()} == set(enabled)


def test_a_day_ends_at_midnight_utc() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    tenant = factories.organization()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for moment in (midnight - timedelta(microseconds=1), midnight):
        factories.usage(tenant, created_at=moment, attempts=[attempt("deepseek", "succeeded")])

    roll_up()

    found = dict(ProviderDay.objects.filter(provider="deepseek").values_list("day", "attempts"))
    assert found == {midnight.date() - timedelta(days=1): 1, midnight.date(): 1}


def test_an_impossible_count_is_refused() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        ProviderDay.objects.create(provider="x", modality="text", day=date(2026, 1, 1), attempts=1, failures=2)  # fmt: skip


def test_the_status_page_says_what_is_open(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    assert "No incident is open" in client.get("/status/").content.decode()
    factories.announcement(severity="incident", title="Provider X is down")

    page = client.get("/status/").content.decode()

    assert "Provider X is down" in page
    assert "No incident is open" not in page


def test_drafts_are_nobodys_and_markup_is_inert(client: Client) -> None:
    draft = factories.announcement(published_at=None)
    later = factories.announcement(published_at=timezone.now() + timedelta(days=1))
    shown = factories.announcement(
        title=HOSTILE, body=f"{HOSTILE}\n\n[x](javascript:alert(1)) **bold** <img src=x onerror=y>"
    )

    page = client.get(f"/announcements/{shown.slug}/")

    assert client.get(f"/announcements/{draft.slug}/").status_code == 404
    assert client.get(f"/announcements/{later.slug}/").status_code == 404
    assert "<strong>bold</strong>" in page.content.decode()
    assert "<img" not in page.content.decode()
    assert 'href="javascript' not in page.content.decode()
    assert HOSTILE not in page.content.decode()


@pytest.mark.parametrize(("feed", "titles"), [("announcements", 2), ("status", 1)])
def test_feeds_are_atom(client: Client, feed: str, titles: int) -> None:
    factories.announcement(severity="news", title="A & B")
    factories.announcement(severity="incident")

    answer = client.get(f"/{feed}/feed.atom")

    root = ElementTree.fromstring(answer.content)
    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    assert len(root.findall("{http://www.w3.org/2005/Atom}entry")) == titles


def test_the_console_shows_what_is_current_to_whom_it_concerns_until_it_is_read(
    client: Client,
) -> None:
    tenant = factories.organization(plan="pro")
    client.force_login(factories.member(tenant))
    everyone = factories.announcement(title="For everyone")
    factories.announcement(title="For Enterprise", plans=["enterprise"])
    factories.announcement(title="For Pro", plans=["pro"])
    factories.announcement(title="Last week", ends_at=timezone.now())
    url = f"/o/{tenant.slug}/"

    page = client.get(url).content.decode()
    client.post(f"{url}announcements/{everyone.pk}/dismiss/")
    after = client.get(url).content.decode()

    assert [title in page for title in ("For everyone", "For Enterprise", "For Pro", "Last week")] == [True, False, True, False]  # fmt: skip
    assert "For everyone" not in after
    other = Client()
    other.force_login(factories.member(tenant))
    assert "For everyone" in other.get(url).content.decode()


def test_a_legal_page_is_the_version_in_force(client: Client) -> None:
    today = timezone.now().date()
    LegalText.objects.create(page="terms", effective_from=today, body=f"## Today\n\n{HOSTILE}")
    LegalText.objects.create(
        page="terms", effective_from=today + timedelta(days=1), body="Tomorrow"
    )

    page = client.get("/legal/terms/")

    assert "<h2>Today</h2>" in page.content.decode()
    assert "Tomorrow" not in page.content.decode()
    safe(page)
    assert client.get("/legal/nothing/").status_code == 404


def test_a_legal_text_in_force_is_not_rewritten(client: Client) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    text = LegalText.objects.get(page="terms")

    assert client.post(f"/admin/web/legaltext/{text.pk}/change/", {"body": "x"}).status_code == 403
    assert client.get("/admin/web/announcement/add/").status_code == 200


def test_machines_find_their_way(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    announcement = factories.announcement()

    sitemap = ElementTree.fromstring(client.get("/sitemap.xml").content)

    paths = [str(loc.text).split("/", 3)[3] for loc in sitemap.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]  # fmt: skip
    assert f"announcements/{announcement.slug}/" in paths
    for path in paths:
        assert client.get(f"/{path}").status_code == 200, path
    assert "Disallow: /o/" in client.get("/robots.txt").content.decode()
    assert "Contact: mailto:" in client.get("/.well-known/security.txt").content.decode()


def test_probes_count_before_there_is_any_traffic(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    offering = Offering.objects.get(endpoint__provider__slug="zai", model__slug="glm-5", endpoint__region="cn")  # fmt: skip
    for failures in (0, 0, 0, 0, 1):
        HealthSample.objects.create(
            offering=offering, source="probe", successes=1 - failures, failures=failures
        )
    # What gateways saw are requests, which are counted as such.
    HealthSample.objects.create(offering=offering, source="gateway", successes=90, failures=0)

    assert roll_up() > 0
    roll_up()

    day = OfferingDay.objects.get(model="glm-5", provider="zai", region="cn")
    assert (day.attempts, day.failures) == (5, 1)
    rows = {(row.provider, row.modality): row for row in availability()}
    assert (rows["zai", "text"].today, rows["zai", "text"].percent) == ("warn", 80.0)
    assert "80.00 %" in client.get("/models/glm-5/").content.decode()
    offered = {(offering.provider, offering.modality) for offering in listing().catalogue.offerings}
    assert set(rows) == offered
    assert ("alibaba", "video") in offered


def test_a_day_too_young_to_tell_is_told_by_probes(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    zai = Offering.objects.filter(endpoint__provider__slug="zai", model__modality="text")
    states = ["down", *["healthy"] * (zai.count() - 1)]
    for offering, state in zip(zai, states, strict=True):
        OfferingHealth.objects.create(offering=offering, status=state, last_probe_at=timezone.now())
    unprobed = Offering.objects.filter(endpoint__provider__slug="deepseek")
    for offering in unprobed:
        OfferingHealth.objects.create(offering=offering)

    def today() -> dict[str, str]:
        return {row.provider: row.today for row in availability() if row.modality == "text"}

    assert today()["zai"] == ("warn" if len(states) > 1 else "bad")
    assert today()["deepseek"] == "none"
    OfferingHealth.objects.filter(offering__in=zai).update(status="healthy")
    assert today()["zai"] == "ok"
    OfferingHealth.objects.filter(offering__in=zai).update(status="down")
    assert today()["zai"] == "bad"


def test_nothing_is_rounded_up_to_all_nor_whole_while_an_incident_is_open(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    today = timezone.now().date()
    for provider, attempts, failures in (("zai", 1_000_000, 1), ("deepseek", 1_000, 0)):
        ProviderDay.objects.create(
            provider=provider, modality="text", day=today, attempts=attempts, failures=failures
        )
        OfferingDay.objects.create(
            model="deepseek-v3.2", provider=provider, region="cn", day=today,
            attempts=attempts, failures=failures,
        )  # fmt: skip

    def stands() -> tuple[float | None, str, float | None]:
        rows = {(row.provider, row.modality): row for row in availability()}
        deepseek = rows["deepseek", "text"]
        return deepseek.percent, deepseek.today, rows["zai", "text"].percent

    assert stands() == (100.0, "ok", 99.99)
    Incident.objects.create(
        provider="deepseek", name="DeepSeek", modality="text", opened_at=timezone.now(), whole=True
    )

    assert stands() == (None, "bad", 99.99)
    page = client.get("/status/").content.decode()
    assert "100.00 %" not in page
    assert "No incident is open" not in page
    assert "an incident is open" in page


def test_a_model_tells_how_it_stands_at_each_provider(client: Client) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    today = timezone.now().date()
    where = {"model": "deepseek-v3.2", "provider": "deepseek", "region": "cn"}
    OfferingDay.objects.create(**where, day=today, attempts=1_000, failures=5)
    OfferingDay.objects.create(**where, day=today - timedelta(days=29), attempts=1_000, failures=5)
    OfferingDay.objects.create(**where, day=today - timedelta(days=30), attempts=9, failures=9)
    alibaba = Offering.objects.get(endpoint__provider__slug="alibaba", model__slug="deepseek-v3.2")
    OfferingHealth.objects.create(offering=alibaba, status="down", last_probe_at=timezone.now())

    page = client.get("/models/deepseek-v3.2/").content.decode()

    assert "99.50 % of requests to them were answered" in page
    assert page.count("99.50 %") == 2
    assert page.count(">Down<") == 1
    for name in ("DeepInfra or nobody", "Alibaba Cloud", "Singapore", "China", "No training"):
        assert name in page
    for code in ("deepinfra or", "no_training", "zero_retention"):
        assert code not in page
    assert f"{timezone.now():%Y-}" in page
