"""No byte of a request reaches a provider, region or model outside the boundaries (promise 3)."""

import threading
from typing import Any

import pytest

from accounts.audit import SYSTEM
from routing.services import set_preferences
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually


def prefer(tenant: Any, **changes: Any) -> None:
    set_preferences(tenant, changes, actor=SYSTEM, compliance_extension=True)


@pytest.mark.parametrize(
    ("preferences", "allowed"),
    [
        ({"allowed_regions": ["eu"]}, {("azure", "eu")}),
        ({"allowed_providers": ["novita", "deepinfra"]}, {("novita", "us"), ("deepinfra", "us")}),
        (
            {"denied_providers": ["novita", "deepinfra", "sambanova"], "allowed_regions": ["us"]},
            set(),
        ),
        ({"denied_models": ["deepseek-v3.2"]}, set()),
        ({"require": ["hipaa"]}, {("azure", "eu")}),
    ],
    ids=["one region", "two providers", "nothing left", "no model", "a certification"],
)
def test_no_provider_outside_the_preferences_ever_receives_a_byte(
    gateway: Gateway, preferences: dict[str, list[str]], allowed: set[tuple[str, str]]
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    prefer(tenant, **preferences)
    name = marker()
    # Everyone fails, so that failover goes as far as it may.
    gateway.providers.fault("*", "http_error", contains=name)

    for model in (
        "deepseek-v3.2",
        "alibaba/deepseek-v3.2",
        "sambanova/deepseek-v3.2",
        "azure/deepseek-v3.2",
    ):
        gateway.chat(secret, model, f"[[id={name}]]")
        gateway.stream(secret, model, f"[[id={name}]]", provider={"order": ["deepseek", "novita"]})

    met = {(call["provider"], call["region"]) for call in gateway.providers.calls(marker=name)}
    assert met == allowed


def test_a_model_outside_says_which_rule_and_what_to_change(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    prefer(tenant, allowed_regions=["eu"])

    response = gateway.chat(factories.key(tenant).secret, "qwen-plus")

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (403, "outside_boundaries")
    assert {(e["provider"], e["rule"], e["origin"]) for e in error["excluded"]} == {
        ("alibaba", "region_not_allowed", "organization")
    }
    assert "preferences" in error["message"]


@pytest.mark.parametrize(
    "wish",
    [{"only": ["novita"]}, {"regions": ["us"]}, {"order": ["novita"]}],
    ids=str,
)
def test_a_request_can_only_narrow(gateway: Gateway, wish: dict[str, list[str]]) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    prefer(tenant, allowed_regions=["eu"])
    name = marker()

    gateway.chat(factories.key(tenant).secret, text=f"[[id={name}]]", provider=wish)

    met = {call["region"] for call in gateway.providers.calls(marker=name)}
    assert met <= {"eu"}


def test_a_keys_own_limits_narrow_further(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant, allowed_models=["qwen-plus"], allowed_regions=["sg"]).secret

    assert gateway.chat(secret, "deepseek-v3.2").status_code == 403
    assert gateway.chat(secret, "qwen-plus").headers["x-tokenhub-region"] == "sg"


def test_a_changed_preference_counts_within_a_second(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    assert gateway.chat(secret, "qwen-plus").status_code == 200

    prefer(tenant, allowed_regions=["eu"])

    eventually(lambda: gateway.chat(secret, "qwen-plus").status_code == 403, within_s=1)


def test_a_plan_model_needs_its_plan_and_never_widens(gateway: Gateway) -> None:
    tenant = factories.organization(plan="starter", credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret

    refused = gateway.chat(secret, "tokenhub/reasoning")

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "plan_required"
    prefer(tenant, denied_models=["deepseek-v3.2", "qwen-plus", "gpt-4o-mini"])
    assert gateway.chat(secret, "tokenhub/auto").json()["error"]["code"] == "outside_boundaries"


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_forbidden_between_two_attempts_is_not_attempted(
    gateway: Gateway, streamed: bool
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    name = marker()
    # Whoever is asked first stays silent until its time is up; left alone, three would be asked.
    gateway.providers.fault("*", "timeout", contains=name)
    answers: list[Any] = []
    ask = gateway.stream if streamed else gateway.chat
    caller = threading.Thread(target=lambda: answers.append(ask(secret, text=f"[[id={name}]]")))

    caller.start()
    [first] = eventually(lambda: gateway.providers.calls(marker=name), what="the first attempt")
    prefer(tenant, allowed_providers=[first["provider"]])
    caller.join(30)

    response = answers[0].response if streamed else answers[0]
    assert response.status_code == 502
    assert gateway.providers.calls(marker=name) == [first]
