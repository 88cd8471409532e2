"""A provider killed and revived under load: health, routing, status page and draft follow; nobody's request fails."""

from typing import Any

from django.test import Client
from django.utils import timezone

from routing import health
from routing.models import Endpoint, OfferingHealth
from tests import factories
from tests.live import Gateway, Providers
from tests.load import Load
from tests.processes import Server, eventually
from tokenhub.probes import probe_due
from tokenhub.web.incidents import follow
from tokenhub.web.models import Announcement, Incident

MODEL = "deepseek-v3.2"
WORKERS = 6


def test_a_provider_killed_and_revived_under_load(
    gateway: Gateway, client: Client, monkeypatch: Any
) -> None:
    monkeypatch.setattr(health, "PROBE_CONVINCES_AFTER", health.timedelta(seconds=1))
    monkeypatch.setattr(health, "PROBE_SOON", health.timedelta(seconds=0))
    secret = factories.key(factories.organization(credit_nano=100_000_000_000)).secret
    slug = str(eventually(lambda: gateway.chat(secret).headers.get("x-tokenhub-provider")))
    own = Server(["-m", "tokenhub.stack.providers", "--port", "{port}"], {}, "/_control/").start()
    endpoints = Endpoint.objects.filter(provider__slug=slug)
    before = dict(endpoints.values_list("pk", "base_url"))
    row = OfferingHealth.objects.filter(
        offering__endpoint__provider__slug=slug, offering__model__slug=MODEL
    )
    for pk, url in before.items():
        Endpoint.objects.filter(pk=pk).update(base_url=url.replace(gateway.providers.url, own.url))
    # The load's own conversation and model: it must meet the provider that is going to be killed.
    load = Load(gateway.url, secret, (MODEL, "tokenhub/auto"), workers=WORKERS)
    try:
        eventually(
            lambda: gateway.chat(secret) and Providers(own.url).calls(path="/v1/chat/completions")
        )
        load.start()
        eventually(lambda: len(load.outcomes) > 60, within_s=30)

        own.kill()
        # Two failures, and the gateways prefer others; the probes take it from there.
        eventually(
            lambda: drive(gateway, secret) and probed(row) == "down", within_s=60, what="its end"
        )
        eventually(
            lambda: follow() or Incident.objects.filter(provider=slug, closed_at=None).exists()
        )
        incident = Incident.objects.get(provider=slug, modality="text", closed_at=None)
        page = client.get("/status/").content.decode()
        assert incident.title in page
        assert Announcement.objects.get(incidents=incident).published_at is None
        answers = [gateway.chat(secret, text=f"{number}") for number in range(20)]
        assert slug not in {answer.headers["x-tokenhub-provider"] for answer in answers}

        own.start()
        eventually(lambda: probed(row) == "healthy", within_s=60, what="healthy on record")
        eventually(
            lambda: follow() or not Incident.objects.filter(provider=slug, closed_at=None).exists()
        )
        assert "No incident is open" in client.get("/status/").content.decode() or Incident.objects.filter(closed_at=None).exists()  # fmt: skip
        eventually(lambda: gateway.chat(secret).headers.get("x-tokenhub-provider") == slug, what="its return")  # fmt: skip
        outcomes = load.stop()
    finally:
        load.stop()
        for pk, url in before.items():
            Endpoint.objects.filter(pk=pk).update(base_url=url)
        own.stop()

    failed = [outcome for outcome in outcomes if not outcome.complete]
    # Only an answer that had begun could not be taken over: one per worker at the instant of the kill.
    assert all(outcome.status == 200 for outcome in failed)
    assert len(failed) <= WORKERS
    incident.refresh_from_db()
    assert incident.closed_at is not None
    assert "Resolved" in Announcement.objects.get(incidents=incident).body


def drive(gateway: Gateway, secret: str) -> bool:
    """More conversations than the load's one, so that the killed provider keeps being asked."""
    return all(gateway.chat(secret, text=f"{n}").status_code == 200 for n in range(10))


def probed(row: Any) -> str:
    """The status after a round of probes, as beat would have them."""
    row.update(next_probe_at=timezone.now())
    probe_due()
    return str(row.get().status)
