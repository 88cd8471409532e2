"""Every way a provider can fail: who answers instead, what the client sees, what is billed."""

from collections.abc import Callable
from typing import Any

import pytest

from billing.models import Transfer, Usage
from billing.selectors import balance_of
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually

CREDIT = 1_000_000_000
MODES = ["http_error", "timeout", "refuse", "disconnect", "truncate", "malformed", "no_usage", "empty", "html", "redirect"]  # fmt: skip


def order(*providers: str) -> dict[str, Any]:
    """The request's own order, so that a test knows who is asked first."""
    return {"order": list(providers)}


def healthy(gateway: Gateway, secret: str, *providers: str) -> None:
    """Successes make up for the failures that other tests asked for, here and on record."""

    def first(provider: str) -> bool:
        gateway.chat(secret, f"{provider}/deepseek-v3.2")
        answer = gateway.chat(secret, provider=order(provider))
        return answer.headers.get("x-tokenhub-provider") == provider

    for provider in providers:
        eventually(lambda p=provider: first(p), within_s=20, what=f"{provider} being well")


# Of a stream, a missing usage shows only after its content has gone out: see the next test but two.
@pytest.mark.parametrize(
    ("mode", "streamed"),
    [(mode, False) for mode in MODES] + [(mode, True) for mode in MODES if mode != "no_usage"],
)
def test_a_failed_attempt_is_answered_by_the_next_provider(
    gateway: Gateway, mode: str, streamed: bool
) -> None:
    healthy(
        gateway, factories.key(factories.organization(credit_nano=CREDIT)).secret, "novita", "azure"
    )
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    name = marker()
    gateway.providers.fault("novita", mode, contains=name, after_chunks=0)
    call: Callable[..., Any] = gateway.stream if streamed else gateway.chat

    answer = call(secret, text=f"[[id={name}]]", provider=order("novita", "azure"))

    response = answer.response if streamed else answer
    assert response.status_code == 200
    assert response.headers["x-tokenhub-provider"] == "azure"
    assert response.headers["x-tokenhub-attempts"] == "2"
    usage = Usage.objects.get(organization=tenant)
    assert [attempt["provider"] for attempt in usage.attempts] == ["novita", "azure"]
    assert usage.billed
    assert Transfer.objects.filter(organization=tenant, kind="usage").count() == 1


def test_two_providers_down_and_the_third_answers_with_one_charge(gateway: Gateway) -> None:
    other = factories.key(factories.organization(credit_nano=CREDIT)).secret
    healthy(gateway, other, "novita", "azure", "deepinfra")
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault("novita", "refuse", contains=name)
    gateway.providers.fault("azure", "http_error", status=503, contains=name)

    response = gateway.chat(
        factories.key(tenant).secret,
        text=f"[[id={name}]]",
        provider=order("novita", "azure", "deepinfra"),
    )

    assert response.headers["x-tokenhub-provider"] == "deepinfra"
    assert response.headers["x-tokenhub-attempts"] == "3"
    assert Transfer.objects.filter(organization=tenant, kind="usage").count() == 1


def test_all_down_is_a_502_after_exactly_three_attempts_and_free(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault("*", "http_error", contains=name)

    response = gateway.chat(factories.key(tenant).secret, text=f"[[id={name}]]")

    error = response.json()["error"]
    assert response.status_code == 502
    assert error["code"] == "providers_failed"
    assert [attempt["cause"] for attempt in error["attempts"]] == ["http_500"] * 3
    assert len({attempt["provider"] for attempt in error["attempts"]}) == 3
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-tokenhub-attempts"] == "3"
    assert "secret-upstream-detail" not in response.text
    assert len(gateway.providers.calls(marker=name)) == 3
    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first())
    assert (usage.status, usage.billed, usage.error_code) == ("failed", False, "providers_failed")
    assert balance_of(tenant).balance_nano == CREDIT


@pytest.mark.parametrize("mode", ["disconnect", "truncate", "malformed", "no_usage"])
def test_a_stream_that_breaks_after_content_says_so_and_is_free(
    gateway: Gateway, mode: str
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault("*", mode, contains=name, after_chunks=3)

    stream = gateway.stream(factories.key(tenant).secret, text=f"[[id={name}]]")

    assert stream.response.status_code == 200
    assert stream.text
    assert not stream.done
    assert stream.chunks[-1]["error"]["code"] == "providers_failed"
    assert len(gateway.providers.calls(marker=name)) == 1
    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first())
    assert not usage.billed
    assert balance_of(tenant).balance_nano == CREDIT


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 500, 503])
def test_a_fault_of_ours_or_theirs_fails_over(gateway: Gateway, status: int) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    healthy(gateway, secret, "novita")
    name = marker()
    gateway.providers.fault("novita", "http_error", status=status, contains=name)

    response = gateway.chat(secret, text=f"[[id={name}]]", provider=order("novita"))

    assert response.status_code == 200
    assert response.headers["x-tokenhub-attempts"] == "2"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_fault_of_the_client_does_not_fail_over(gateway: Gateway, status: int) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault("*", "http_error", status=status, contains=name)

    response = gateway.chat(factories.key(tenant).secret, text=f"[[id={name}]]")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert "sim-" not in response.text
    assert len(gateway.providers.calls(marker=name)) == 1
    assert balance_of(tenant).balance_nano == CREDIT


BAD_USAGE = [
    None, "many", 7, [], {}, {"prompt_tokens": -1, "completion_tokens": 5},
    {"prompt_tokens": 5, "completion_tokens": -5}, {"prompt_tokens": 1.5, "completion_tokens": 2},
    {"prompt_tokens": "5", "completion_tokens": 2}, {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": 10**15, "completion_tokens": 1}, {"prompt_tokens": 5, "completion_tokens": 10**9},
    {"prompt_tokens": True, "completion_tokens": 2}, {"prompt_tokens": 10**30, "completion_tokens": 2},
    {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
]  # fmt: skip


@pytest.mark.parametrize("usage", BAD_USAGE, ids=str)
def test_a_usage_that_cannot_be_is_a_failed_attempt(gateway: Gateway, usage: object) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault("*", "bad_usage", usage=usage, contains=name)

    response = gateway.chat(factories.key(tenant).secret, text=f"[[id={name}]]")

    assert response.status_code == 502
    assert balance_of(tenant).balance_nano == CREDIT


def test_a_usage_beyond_the_hold_is_charged_no_more_than_the_hold(gateway: Gateway) -> None:
    other = factories.key(factories.organization(credit_nano=CREDIT)).secret
    healthy(gateway, other, "deepseek")
    tenant = factories.organization(credit_nano=CREDIT)
    name = marker()
    gateway.providers.fault(
        "*", "bad_usage", usage={"prompt_tokens": 5_000, "completion_tokens": 60}, contains=name
    )

    response = gateway.chat(
        factories.key(tenant).secret, "deepseek/deepseek-v3.2", f"[[id={name}]]"
    )

    assert response.status_code == 200
    usage = Usage.objects.get(organization=tenant)
    assert usage.capped
    assert usage.total_nano < 200_000


def test_a_provider_that_keeps_failing_is_left_alone_for_a_while(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    name = marker()
    gateway.providers.fault("scaleway", "http_error", contains=name)
    body = {"model": "scaleway/llama-3.3-70b", "text": f"[[id={name}]]"}

    codes = [gateway.chat(secret, **body).status_code for _ in range(14)]

    assert codes[:10] == [502] * 10
    assert 503 in codes[10:]
    assert len(gateway.providers.calls(marker=name)) < 14
    gateway.providers.lift_faults()
    eventually(
        lambda: gateway.chat(secret, **body).status_code == 200, what="a probe that heals it"
    )
