"""A request's own highest cost, and answers that are limited instead of refused where money is short."""

import pytest

from keys.budgets import Budget
from tests import factories
from tests.live import Gateway, marker

USD = 1_000_000_000


def untold(gateway: Gateway, secret: str, **body: object) -> object:
    """A chat call without ``max_tokens``."""
    return gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}"},
        json={
            "model": "deepseek-v3.2",
            "messages": [{"role": "user", "content": body.pop("text", "Hello")}],
            **body,
        },
    )


def test_what_can_cost_more_than_max_cost_is_excluded_with_that_rule(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    refused = gateway.chat(secret, max_tokens=4_000, provider={"max_cost": "0.000001"})

    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "outside_boundaries")
    assert {(one["rule"], one["origin"]) for one in error["excluded"]} >= {("max_cost", "request")}
    assert "raise “provider.max_cost”" in error["message"]
    assert "widen" not in error["message"]


def test_a_boundary_of_the_request_is_not_blamed_on_its_price(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    refused = gateway.chat(secret, provider={"only": ["openai"]})

    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "outside_boundaries")
    assert "widen “provider”" in error["message"]
    assert "max_cost" not in error["message"]


def test_only_the_dear_offerings_are_excluded(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret
    mark = marker()
    # deepseek charges 0.40 USD a million tokens of answer; others for the same model more.
    served = gateway.chat(
        secret, text=f"[[id={mark}]]", max_tokens=1_000,
        provider={"max_cost": 0.00045, "order": ["novita", "alibaba"]},
    )  # fmt: skip

    assert served.status_code == 200
    assert float(served.headers["x-tokenhub-cost-usd"]) <= 0.00045


@pytest.mark.parametrize("value", ["x", 0, -1, "0.0000000001", True, []])
def test_a_max_cost_that_is_no_amount_is_refused(gateway: Gateway, value: object) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    refused = gateway.chat(secret, provider={"max_cost": value})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("provider")


def test_a_max_cost_in_the_wrong_place_is_refused_not_ignored(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret
    mark = marker()

    refused = gateway.chat(secret, text=f"[[id={mark}]]", max_cost=0.05)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "max_cost"
    assert "provider" in refused.json()["error"]["message"]
    assert gateway.providers.calls(marker=mark) == []


@pytest.mark.parametrize("stream", [False, True])
def test_where_max_tokens_is_not_given_max_cost_limits_the_answer(
    gateway: Gateway, stream: bool
) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret
    mark = marker()

    served = untold(
        gateway, secret, text=f"[[id={mark}]] [[tokens=2000]]", stream=stream,
        provider={"max_cost": "0.0003", "only": ["deepseek"]},
    )  # fmt: skip

    limit = int(served.headers["x-tokenhub-max-tokens"])
    assert 256 <= limit < 1_000
    (call,) = gateway.providers.calls(marker=mark)
    assert call["usage"]["completion_tokens"] == limit  # the provider was told
    if not stream:
        assert served.json()["choices"][0]["finish_reason"] == "length"
        assert float(served.headers["x-tokenhub-cost-usd"]) <= 0.0003


def test_a_short_balance_limits_the_answer_instead_of_refusing_it(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=200_000)
    secret = factories.key(tenant).secret

    served = untold(gateway, secret, provider={"only": ["deepseek"]})
    too_short = untold(
        gateway, factories.key(factories.organization(credit_nano=20_000)).secret,
        provider={"only": ["deepseek"]},
    )  # fmt: skip

    assert served.status_code == 200
    assert 256 <= int(served.headers["x-tokenhub-max-tokens"]) < 500
    assert (too_short.status_code, too_short.json()["error"]["code"]) == (
        402,
        "insufficient_balance",
    )


def test_a_short_budget_limits_the_answer_too(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=USD)
    secret = factories.key(tenant, budget=Budget(200_000, "day")).secret

    served = untold(gateway, secret, provider={"only": ["deepseek"]})

    assert served.status_code == 200
    assert 256 <= int(served.headers["x-tokenhub-max-tokens"]) < 500


def test_more_money_never_makes_a_shorter_answer(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    # From some of these on, dearer providers come into reach too: they limit nobody but themselves.
    answers = [
        untold(gateway, secret, provider={"max_cost": cost, "sort": "price"})
        for cost in (0.0003, 0.00045, 0.000495, 0.0005, 0.00055, 0.001)
    ]
    limits = [int(one.headers["x-tokenhub-max-tokens"]) for one in answers]

    assert limits == sorted(limits)


def test_a_budget_that_covers_a_useful_answer_somewhere_is_enough(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=USD)
    secret = factories.key(tenant, budget=Budget(300_000, "total")).secret

    served = untold(gateway, secret)

    assert served.status_code == 200, served.text
    assert int(served.headers["x-tokenhub-max-tokens"]) >= 256


def test_what_a_budget_does_not_cover_is_told_by_the_least_that_would_do(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=USD)
    secret = factories.key(tenant, budget=Budget(1_000, "total")).secret

    refused = untold(gateway, secret, provider={"only": ["deepseek"]})

    assert refused.status_code == 402
    # 256 tokens at 0.40 USD a million and the fee, and the prompt.
    assert "cost of this request, 0.0001" in refused.json()["error"]["message"]


def test_an_answer_that_fails_over_has_the_limit_of_who_gives_it(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret
    mark = marker()
    gateway.providers.fault("novita", "http_error", status=500, contains=mark)

    served = untold(
        gateway, secret, text=f"[[id={mark}]] [[tokens=2000]]",
        provider={"max_cost": 0.0006, "order": ["novita", "azure"], "only": ["novita", "azure"]},
    )  # fmt: skip

    assert served.headers["x-tokenhub-provider"] == "azure"
    told = int(served.headers["x-tokenhub-max-tokens"])
    (call,) = [one for one in gateway.providers.calls(marker=mark) if one["status"] == 200]
    assert call["usage"]["completion_tokens"] == told
    assert float(served.headers["x-tokenhub-cost-usd"]) <= 0.0006


def test_what_was_asked_for_is_never_limited(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    plain = gateway.chat(secret)
    short = gateway.chat(
        factories.key(factories.organization(credit_nano=20_000)).secret, max_tokens=60_000
    )

    assert "x-tokenhub-max-tokens" not in plain.headers
    assert short.status_code == 402
