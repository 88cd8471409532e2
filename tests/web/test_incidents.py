"""Incidents open and close by themselves, are shown with their times, and bring a draft of an announcement."""

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from routing.health import Seen, Source, ensure, observe
from routing.models import Offering, OfferingHealth, Provider, Region
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.api.program import Program
from tests.web.pages import HOSTILE, safe
from tokenhub.web.incidents import SAME_WITHIN, follow
from tokenhub.web.models import Announcement, Incident, ProviderDay
from tokenhub.web.tasks import follow_incidents

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalogue() -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    ensure(Offering.objects.values_list("pk", flat=True))


def of(provider: str, modality: str = "text") -> Any:
    return Offering.objects.filter(endpoint__provider__slug=provider, model__modality=modality)


def fails(offerings: Any) -> None:
    seen = Seen(failures=10, outcome="timeout")
    observe(dict.fromkeys(offerings.values_list("pk", flat=True), seen), source=Source.GATEWAY)


def answers(offerings: Any) -> None:
    observe(dict.fromkeys(offerings.values_list("pk", flat=True), Seen(successes=10)), source=Source.GATEWAY)  # fmt: skip


def test_an_incident_opens_with_a_draft_and_closes_again() -> None:
    fails(of("deepseek"))

    assert (follow_incidents(), follow()) == (1, 0)

    incident = Incident.objects.get(provider="deepseek")
    assert (incident.modality, incident.whole, incident.closed_at) == ("text", True, None)
    draft = Announcement.objects.get(incidents=incident)
    assert draft.published_at is None
    assert draft.title == "DeepSeek: all text requests fail"
    assert "China" in draft.body
    assert not Announcement.objects.published().exists()

    answers(of("deepseek"))
    assert (follow(), follow()) == (1, 0)
    incident.refresh_from_db()
    draft.refresh_from_db()
    assert incident.closed_at is not None
    assert "Resolved" in draft.body
    assert draft.ends_at == incident.closed_at


def test_another_kind_of_model_is_another_incident_and_degraded_is_none() -> None:
    fails(of("alibaba", "image"))
    observe({of("openai").first().pk: Seen(failures=5, outcome="http_500")}, source=Source.GATEWAY)

    follow()

    assert [(i.provider, i.modality) for i in Incident.objects.all()] == [("alibaba", "image")]


def test_an_incident_grows_while_it_is_open_and_never_shrinks() -> None:
    one, *others = of("alibaba")
    fails(of("alibaba").filter(pk=one.pk))
    follow()
    incident = Incident.objects.get()
    assert (incident.whole, len(incident.regions)) == (False, 1)

    fails(of("alibaba").exclude(pk=one.pk))
    assert follow() == 1
    answers(of("alibaba").exclude(pk=one.pk))
    assert follow() == 0

    incident.refresh_from_db()
    assert incident.whole
    assert "any text requests" in incident.announcement.body
    assert others


def test_what_fails_again_soon_is_the_same_incident() -> None:
    for _ in range(3):
        fails(of("deepseek"))
        follow()
        answers(of("deepseek"))
        follow()
    assert Incident.objects.count() == Announcement.objects.count() == 1

    Incident.objects.update(opened_at=timezone.now() - timedelta(hours=1), closed_at=timezone.now() - SAME_WITHIN)  # fmt: skip
    fails(of("deepseek"))
    follow()
    assert Incident.objects.count() == 2


def test_what_an_operator_published_stays_as_it_was_written() -> None:
    one = of("alibaba").first()
    fails(of("alibaba").filter(pk=one.pk))
    follow()
    Announcement.objects.update(title="We know", body="We are on it.", published_at=timezone.now())

    fails(of("alibaba"))
    follow()
    answers(of("alibaba"))
    follow()

    said = Announcement.objects.get()
    assert said.title == "We know"
    assert said.body.startswith("We are on it.\n\n**Resolved** at")
    assert not Announcement.objects.current().exists()


def test_the_status_page_and_its_feed_follow(client: Client) -> None:
    Provider.objects.filter(slug="deepseek").update(name=HOSTILE)
    fails(of("deepseek"))
    follow()

    page = client.get("/status/")
    feed = client.get("/status/feed.atom").content.decode()

    safe(page)
    assert "all text requests fail" in page.content.decode()
    assert "No incident is open" not in page.content.decode()
    assert HOSTILE not in feed
    assert "Open: " in feed

    answers(of("deepseek"))
    follow()
    page = client.get("/status/")
    entry = ElementTree.fromstring(client.get("/status/feed.atom").content).find(
        "{*}entry/{*}title"
    )
    assert "No incident is open" in page.content.decode()
    assert "all text requests fail" in page.content.decode()
    assert entry is not None
    assert str(entry.text).startswith("Resolved: ")


def test_programs_are_told_the_same_as_the_page_and_regions_as_they_know_them() -> None:
    program = Program.of(factories.organization(), "read")

    def both() -> tuple[Any, str]:
        return program.get("status/").json(), program.client.get("/status/").content.decode()

    told, page = both()
    assert (told["state"], told["incidents"]) == ("ok", [])
    assert "No incident is open" in page
    ProviderDay.objects.create(
        provider="deepseek", modality="text", day=timezone.now().date(), attempts=1_000, failures=0
    )

    fails(of("deepseek"))
    follow()
    for number in range(25):  # what is open is said, whatever came after it
        Incident.objects.create(
            provider=f"p{number}", name="Past", modality="text",
            opened_at=timezone.now(), closed_at=timezone.now(),
        )  # fmt: skip
    told, page = both()

    assert told["state"] == "bad"
    [row] = [row for row in told["providers"] if row["provider"] == "deepseek"]
    assert row["today"] == "bad"
    assert "Down" in page
    incident = told["incidents"][0]
    assert (incident["provider"], incident["whole"], incident["closed_at"]) == ("deepseek", True, None)  # fmt: skip
    assert incident["regions"] == ["cn"]
    assert set(incident["regions"]) <= set(Region.objects.values_list("slug", flat=True))

    answers(of("deepseek"))
    follow()
    Announcement.objects.all().delete()
    told, page = both()
    assert (told["state"], "No incident is open" in page) == ("ok", True)


@pytest.mark.parametrize(
    ("severity", "state"), [("incident", "bad"), ("maintenance", "warn"), ("news", "ok")]
)
def test_what_is_announced_counts_for_programs_too(severity: str, state: str) -> None:
    Announcement.objects.create(
        slug="x", title="X", body="x", severity=severity, published_at=timezone.now()
    )

    told = Program.of(factories.organization(), "read").get("status/").json()

    assert told["state"] == state


def test_a_disabled_offering_is_no_incident() -> None:
    fails(of("deepseek"))
    follow()
    Provider.objects.filter(slug="deepseek").update(enabled=False)

    follow()

    assert not Incident.objects.filter(closed_at=None).exists()


@pytest.mark.parametrize("wrong", ["twice", "backwards"])
def test_an_impossible_incident_is_refused(wrong: str) -> None:
    fails(of("deepseek"))
    follow()
    found = Incident.objects.get()
    attempt = {
        "twice": lambda: Incident.objects.create(provider="deepseek", modality="text", opened_at=timezone.now()),
        "backwards": lambda: Incident.objects.update(closed_at=found.opened_at - timedelta(seconds=1)),
    }[wrong]  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt()


def test_operators_see_incidents_and_health(client: Client) -> None:
    fails(of("deepseek"))
    follow()
    client.force_login(factories.user(is_staff=True, is_superuser=True))

    assert "DeepSeek: all text" in client.get("/admin/web/incident/").content.decode()
    rows = client.get("/admin/routing/offeringhealth/?status__exact=down").content.decode()
    assert rows.count("timeout") == OfferingHealth.objects.filter(status="down").count()
    assert client.get("/admin/routing/healthsample/").status_code == 200
    assert client.get("/admin/routing/credentialalarm/").status_code == 200
