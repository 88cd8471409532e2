"""A text call through the whole way: routed, answered, metered, charged once, on record."""

import pytest
from openai import OpenAI

from billing.models import Transfer, Usage
from billing.money import usd_from_nano
from billing.selectors import balance_of
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually


def test_a_call_costs_usage_times_price_plus_fee_everywhere_the_same(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret

    response = gateway.chat(secret, "deepseek/deepseek-v3.2", "[[tokens=7]]")

    used = response.json()["usage"]
    model_fee = (
        used["prompt_tokens"] * 280_000_000 + used["completion_tokens"] * 400_000_000 + 500_000
    ) // 1_000_000
    total = model_fee + (model_fee * 300 + 5_000) // 10_000
    usage = Usage.objects.get(id=response.headers["x-request-id"])
    assert used["completion_tokens"] == 7
    assert response.headers["x-tokenhub-cost-usd"] == usd_from_nano(total)
    assert (usage.model_fee_nano, usage.total_nano) == (model_fee, total)
    assert Transfer.objects.get(organization=tenant, reference=usage.id).amount_nano == total
    assert balance_of(tenant).balance_nano == 1_000_000_000 - total


@pytest.mark.parametrize("model", ["deepseek-v3.2", "alibaba/deepseek-v3.2", "tokenhub/auto"])
def test_the_official_client_completes_every_kind_of_model_name(
    gateway: Gateway, model: str
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=factories.key(tenant).secret)

    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}]
    )

    assert answer.choices[0].message.content
    assert answer.model == ("deepseek-v3.2" if model == "tokenhub/auto" else model)


def test_the_official_client_streams_and_gets_the_cost(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=factories.key(tenant).secret)

    chunks = list(
        client.chat.completions.create(
            model="deepseek-v3.2",
            messages=[{"role": "user", "content": "[[tokens=5]]"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    usage = Usage.objects.get(organization=tenant)
    assert len("".join(c.choices[0].delta.content or "" for c in chunks if c.choices).split()) == 5
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_extra == {"cost_usd": usd_from_nano(usage.total_nano)}
    assert usage.stream
    assert usage.billed


def test_usage_is_not_streamed_to_a_client_that_did_not_ask(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    stream = gateway.stream(factories.key(tenant).secret)

    assert stream.done
    assert all("usage" not in chunk for chunk in stream.chunks)
    assert Usage.objects.get(organization=tenant).billed


def test_nothing_of_the_provider_reaches_the_client(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.chat(factories.key(tenant).secret, "deepseek/deepseek-v3.2")

    assert "set-cookie" not in response.headers
    assert "server" not in response.headers
    assert response.headers["x-request-id"].startswith("req_")
    assert "deepseek-chat" not in response.text
    assert "sim-deepseek" not in response.text


def test_a_client_that_hangs_up_is_billed_for_what_completes(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    name = marker()
    gateway.providers.fault("*", "slow", contains=name, delay_ms=20)

    with gateway.http.stream(
        "POST",
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}"},
        json={
            "model": "deepseek-v3.2",
            "stream": True,
            "messages": [{"role": "user", "content": f"[[id={name}]]"}],
        },
    ) as response:
        next(response.iter_lines())

    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first())
    assert usage.billed
    assert usage.status == "succeeded"


def test_a_conversation_keeps_its_provider(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret

    met = {
        gateway.chat(secret, headers={"x-session-id": "one"}).headers["x-tokenhub-provider"]
        for _ in range(8)
    }

    assert len(met) == 1


def test_models_lists_what_the_key_may_call(gateway: Gateway) -> None:
    tenant = factories.organization()
    secret = factories.key(tenant, allowed_regions=["eu"]).secret
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=secret)

    listed = {model.id: model.model_extra for model in client.models.list()}

    assert listed["deepseek-v3.2"]["providers"] == ["azure"]
    assert "tools" in listed["deepseek-v3.2"]["capabilities"]
    assert listed["deepseek-v3.2"]["max_output_tokens"] > 0
    assert "qwen-plus" not in listed
    assert "tokenhub/sovereign-eu" in listed
    assert client.models.retrieve("glm-5").id == "glm-5"
