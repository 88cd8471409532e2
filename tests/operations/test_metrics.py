"""``/metrics``: for this machine or who has the token, true to what happened, and all that the dashboard asks for."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway
from tests.processes import BASE_DIR, Server, eventually
from tokenhub import metrics
from tokenhub.web.models import ContactRequest

DASHBOARD = BASE_DIR / "deploy" / "grafana" / "tokenhub.json"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{url}/metrics", headers=headers, timeout=30)


def samples(url: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(scrape(url).text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


def test_a_gateway_counts_what_it_does(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=10**9)
    minted = factories.key(tenant)
    before = samples(gateway.url)

    gateway.chat(minted.secret)
    gateway.stream(minted.secret)
    gateway.chat("thk_nonsense")

    def grown(name: str, **labels: str) -> float:
        return value(samples(gateway.url), name, **labels) - value(before, name, **labels)

    requests = "tokenhub_gateway_requests_total"
    assert grown(requests, status="200", code="") == 2
    assert grown(requests, status="401", code="invalid_api_key") == 1
    assert grown("tokenhub_gateway_request_seconds_count") == 3
    eventually(lambda: grown("tokenhub_gateway_group_results_sum") >= 2, what="the groups")
    assert grown("tokenhub_gateway_first_token_seconds_count") >= 1
    after = samples(gateway.url)
    succeeded = [
        labels for name, labels in after
        if name == "tokenhub_gateway_attempts_total" and ("outcome", "succeeded") in labels
    ]  # fmt: skip
    assert succeeded
    assert value(after, "tokenhub_gateway_ready") == 1
    assert value(after, "tokenhub_gateway_leases") >= 1
    assert value(after, "tokenhub_gateway_waiting_results") == 0


def test_the_token_opens_it_and_nothing_else_does(gateway_environ: dict[str, str]) -> None:
    server = new_gateway(gateway_environ, METRICS_TOKEN="letmein").start()
    try:
        assert scrape(server.url).status_code == 404
        assert scrape(server.url, authorization="Bearer wrong").status_code == 404
        assert scrape(server.url, authorization="Bearer letmein").status_code == 200
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("client", "headers", "shown"),
    [
        ("127.0.0.1", [], True), ("::1", [], True), ("203.0.113.9", [], False), (None, [], False),
        ("127.0.0.1", [(b"x-forwarded-for", b"203.0.113.9")], False), ("127.0.0.1", [(b"forwarded", b"for=x")], False),
    ],
)  # fmt: skip
def test_without_a_token_only_this_machine_is_shown_it(
    client: str | None, headers: list[tuple[bytes, bytes]], shown: bool
) -> None:
    assert metrics.may_read(client, headers) is shown


def test_only_reading_is_answered(gateway: Gateway) -> None:
    assert httpx2.post(f"{gateway.url}/metrics").status_code == 404


def test_the_dashboard_asks_for_metrics_that_exist(logged_site: Server, gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=10**9)
    there = Gateway(logged_site.url, gateway.providers)
    there.chat(factories.key(tenant).secret)
    httpx2.get(f"{logged_site.url}/pricing/", timeout=30)
    ContactRequest.objects.create(
        reference=factories.marker_address()[7:19],
        topic="sales",
        name="N",
        email="n@example.com",
        message="M",
    )
    exist = {name for name, _ in samples(logged_site.url)}

    for title, query in queries():
        asked = set(re.findall(r"\btokenhub_\w+", query))
        assert asked, title
        assert asked <= exist, f"{title}: {asked - exist}"


def queries() -> list[tuple[str, str]]:
    board: Any = json.loads(Path(DASHBOARD).read_text())
    return [
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


def test_every_panel_has_a_title_of_its_own_and_a_place() -> None:
    board: Any = json.loads(Path(DASHBOARD).read_text())
    panels = board["panels"]

    assert len({panel["title"] for panel in panels}) == len(panels) >= 12
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
