"""Health in a live gateway: learned within a second, reported, decided by; and the probes that feed it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from routing.health import targets
from routing.models import HealthSample, Offering, OfferingHealth
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually
from tokenhub.probes import probe_due, probe_now

CREDIT = 1_000_000_000


def record(provider: str, model: str) -> Any:
    offering = Offering.objects.get(endpoint__provider__slug=provider, model__slug=model)
    found, _ = OfferingHealth.objects.get_or_create(offering=offering)
    return OfferingHealth.objects.filter(pk=found.pk)


def offered(gateway: Gateway, secret: str, model: str) -> bool:
    """Whether the gateway would send a call of this model somewhere now; nothing is sent."""
    headers = {"authorization": f"Bearer {secret}"}
    return bool(gateway.http.get(f"{gateway.url}/v1/models/{model}", headers=headers).is_success)


@pytest.fixture
def secret(gateway: Gateway) -> str:
    return factories.key(factories.organization(credit_nano=CREDIT)).secret


def test_a_gateway_learns_of_a_change_within_a_second(gateway: Gateway, secret: str) -> None:
    model = "zai/glm-5"
    eventually(lambda: gateway.chat(secret, model).status_code == 200, within_s=20)
    record("zai", "glm-5").update(status="down", reason="timeout", since=timezone.now())

    eventually(lambda: not offered(gateway, secret, model))
    refusal = gateway.chat(secret, model)
    assert refusal.status_code == 503
    assert refusal.json()["error"]["code"] == "no_provider_available"
    assert int(refusal.headers["retry-after"]) >= 1

    record("zai", "glm-5").update(status="healthy", failures=0, successes=0)
    eventually(lambda: gateway.chat(secret, model).status_code == 200)


def test_what_is_down_on_record_heals_by_calls_alone(gateway: Gateway, secret: str) -> None:
    row = record("zai", "glm-5")
    row.update(status="down", failures=0, successes=0, since=timezone.now())
    eventually(lambda: not offered(gateway, secret, "zai/glm-5"))

    eventually(lambda: gateway.chat(secret, "zai/glm-5").status_code == 200, within_s=15)

    def healthy() -> bool:
        gateway.chat(secret, "zai/glm-5")
        return bool(row.get().status == "healthy")

    eventually(healthy, what="the record hearing of it")


def test_calls_that_fail_are_on_record_in_a_batch(gateway: Gateway, secret: str) -> None:
    row, name = record("moonshot", "kimi-k2.5"), marker()
    eventually(lambda: gateway.chat(secret, "moonshot/kimi-k2.5").status_code == 200)
    row.update(status="healthy", failures=0, successes=0)
    gateway.providers.fault("moonshot", "http_error", contains=name)
    before = HealthSample.objects.count()

    for _ in range(10):
        gateway.chat(secret, "moonshot/kimi-k2.5", f"[[id={name}]]")

    eventually(lambda: row.get().status == "down", what="the step down")
    assert row.get().reason == "http_500"
    assert row.get().last_observed_at is not None
    assert HealthSample.objects.count() - before <= 10
    gateway.providers.lift_faults()
    row.update(status="healthy", failures=0, successes=0)


def test_requests_are_sorted_by_what_was_measured(gateway: Gateway, secret: str) -> None:
    rows = OfferingHealth.objects.filter(offering__model__slug="deepseek-v3.2")
    for offering in Offering.objects.filter(model__slug="deepseek-v3.2"):
        OfferingHealth.objects.get_or_create(offering=offering)
    everyone = [row.offering.endpoint.provider.slug for row in rows.select_related("offering__endpoint__provider")]  # fmt: skip

    def first(sort: str) -> str:
        answer = gateway.chat(secret, provider={"sort": sort})
        return str(answer.headers.get("x-tokenhub-provider"))

    for number, chosen in enumerate(("azure", "novita")):
        rows.update(
            status="healthy", latency_ms=1_000, tokens_per_s=1.0, recent_latency_ms=[], recent_tokens_per_s=[]
        )  # fmt: skip
        rows.filter(offering__endpoint__provider__slug=chosen).update(
            latency_ms=1, tokens_per_s=9_999.0, recent_latency_ms=[1] * 50, recent_tokens_per_s=[9_999.0] * 50,
        )  # fmt: skip
        # A change of a status makes gateways read at once, and not within ten seconds.
        rows.filter(offering__endpoint__provider__slug=everyone[number]).update(since=F("since"), status="degraded")  # fmt: skip
        rows.update(status="healthy")
        for sort in ("latency", "throughput"):
            eventually(lambda s=sort, c=chosen: first(s) == c, what=f"{chosen} by {sort}")


def test_a_hundred_calls_at_an_offering_that_is_down_are_one_probe(
    gateway: Gateway, secret: str
) -> None:
    name, model = marker(), "zai/glm-5"
    eventually(lambda: gateway.chat(secret, model).status_code == 200, within_s=15)
    gateway.providers.fault("zai", "timeout", contains=name)
    record("zai", "glm-5").update(status="down", since=timezone.now())
    eventually(lambda: not offered(gateway, secret, model))

    def until_a_probe_went() -> bool:
        with ThreadPoolExecutor(25) as pool:
            codes = pool.map(lambda _: gateway.chat(secret, model, f"[[id={name}]]").status_code, range(100))  # fmt: skip
        return 502 in list(codes)

    eventually(until_a_probe_went, within_s=20)

    assert len(gateway.providers.calls(marker=name)) == 1
    gateway.providers.lift_faults()
    record("zai", "glm-5").update(status="healthy", failures=0, successes=0)
    eventually(lambda: gateway.chat(secret, model).status_code == 200, within_s=15)


@pytest.mark.parametrize(
    ("provider", "path"),
    [("deepseek", "/v1/models"), ("anthropic", "/v1/messages/count_tokens"), ("alibaba", "/api/v1/tasks/tokenhub-probe")],
)  # fmt: skip
def test_a_probe_is_the_cheapest_real_request_of_its_dialect(
    gateway: Gateway, provider: str, path: str
) -> None:
    dialects = {"/v1/models": "openai", "/v1/messages/count_tokens": "anthropic"}
    offering = Offering.objects.filter(
        endpoint__provider__slug=provider, endpoint__dialect=dialects.get(path, "dashscope")
    ).first()
    assert offering is not None
    before = len(gateway.providers.calls(provider=provider))

    seen = probe_now(targets([offering.pk]))[offering.pk]

    assert (seen.successes, seen.failures) == (1, 0)
    asked = gateway.providers.calls(provider=provider)[before:]
    assert path in {call["path"] for call in asked}
    assert not [call for call in asked if call["usage"]]
    row = OfferingHealth.objects.get(offering=offering)
    assert row.last_probe_outcome == "succeeded"
    assert row.last_probe_ms is not None


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "http_error", "status": 401}, "http_401"), ({"mode": "http_error", "status": 404}, "http_404"),
        ({"mode": "http_error"}, "http_500"), ({"mode": "refuse"}, "disconnected"), ({"mode": "html"}, "malformed"),
        ({"mode": "redirect"}, "http_302"), ({"mode": "timeout"}, "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_probe_that_is_not_answered_says_how(
    gateway: Gateway, fault: dict[str, Any], outcome: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tokenhub.probes.TIMEOUT_S", 0.5)
    row = record("sambanova", "llama-3.3-70b")
    gateway.providers.fault("sambanova", **fault)

    probe_now(targets([row.get().pk]))

    assert row.get().last_probe_outcome == outcome
    gateway.providers.lift_faults()
    row.update(status="healthy", failures=0, successes=0, reason="")


def test_probes_that_are_due_run_once_and_set_the_next_time(gateway: Gateway) -> None:
    due = sorted(Offering.objects.filter(enabled=True).values_list("pk", flat=True))
    began = timezone.now()
    OfferingHealth.objects.update(next_probe_at=began)

    probed: list[int] = []
    while len(probed) < len(due):  # what is not well is due again before long, and comes after
        found = list(probe_due())
        assert found
        probed += found

    assert sorted(probed) == due
    for row in OfferingHealth.objects.filter(pk__in=probed):
        assert began <= row.last_probe_at < row.next_probe_at


def test_readiness_says_how_fresh_the_gateway_is(gateway: Gateway) -> None:
    gateway.chat(factories.key(factories.organization(credit_nano=CREDIT)).secret)

    answer = eventually(lambda: gateway.http.get(f"{gateway.url}/readyz"))

    fresh = answer.json()["gateway"]
    assert (fresh["changes"], fresh["billing"]) == ("heard", "ok")
    assert 0 <= fresh["stale_s"] < 60
    assert 0 <= fresh["health_read_s_ago"] < 60
