"""Pictures: both shapes over both kinds of provider, priced by picture or by token, and every fault."""

import base64
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from django.db import connections

from billing.audit import audit
from billing.models import Transfer, Usage
from billing.selectors import balance_of
from tests import factories
from tests.live import Gateway, Providers, marker
from tests.processes import eventually

CREDIT = 10_000_000_000
PATH = "images/generations"
# Three providers in both dialects, so that fail-over crosses from one to the other.
PLACES = [("alibaba", "sg", "dashscope"), ("azure", "eu", "openai"), ("novita", "us", "openai")]
PICTURE_NANO = 30_000_001


@pytest.fixture(scope="module", autouse=True)
def pictures(catalogue: None, providers: Providers, django_db_blocker: Any) -> Iterator[None]:
    """``sim-picture`` at three providers, priced by picture."""
    with django_db_blocker.unblock():
        for place in PLACES:
            factories.offering(
                "sim-picture", "image", place, providers.url, amounts={"image": PICTURE_NANO}
            )
            # Of its own, so that what it fails with is not held against the other.
            factories.offering(
                "sim-hostile", "image", place, providers.url, amounts={"image": PICTURE_NANO}
            )
        yield
        factories.withdraw("sim-picture")
        factories.withdraw("sim-hostile")
        connections.close_all()


@pytest.fixture
def secret(gateway: Gateway) -> str:
    """A key of an organization with money; the new model is known to the gateway."""
    minted = factories.key(factories.organization(credit_nano=CREDIT))
    eventually(
        lambda: gateway.get(minted.secret, "models/sim-picture").status_code == 200,
        what="the catalogue with sim-picture",
    )
    return str(minted.secret)


def healthy(gateway: Gateway, secret: str, *providers: str) -> None:
    """Successes make up for the failures that other tests asked for, here and on record."""

    def first(provider: str) -> bool:
        gateway.post(secret, PATH, {"model": f"{provider}/sim-picture", "prompt": "A fox"})
        body = {"model": "sim-picture", "prompt": "A fox", "provider": {"order": [provider]}}
        answer = gateway.post(secret, PATH, body)
        return answer.headers.get("x-tokenhub-provider") == provider

    for provider in providers:
        eventually(lambda p=provider: first(p), within_s=20, what=f"{provider} being well")


def usage_of(response: Any) -> Usage:
    return Usage.objects.get(id=response.headers["x-request-id"])  # type: ignore[no-any-return]


def fee(model_fee_nano: int) -> int:
    """With the service fee of 3 %."""
    return model_fee_nano + (model_fee_nano * 300 + 5_000) // 10_000


FLAT = {"prompt": "A red fox", "n": 2, "size": "1024x1024"}
NATIVE = {
    "input": {"messages": [{"role": "user", "content": [{"text": "A red fox"}]}]},
    "parameters": {"n": 2, "size": "1024*1024", "prompt_extend": True, "watermark": False},
}


@pytest.mark.parametrize("provider", ["alibaba", "azure"])
@pytest.mark.parametrize("body", [FLAT, NATIVE], ids=["flat", "dashscope"])
def test_both_shapes_reach_both_kinds_of_provider(
    gateway: Gateway, secret: str, provider: str, body: dict[str, Any]
) -> None:
    response = gateway.post(secret, PATH, {"model": f"{provider}/sim-picture", **body})

    answer = response.json()
    assert response.status_code == 200, answer
    assert answer["model"] == f"{provider}/sim-picture"
    assert len(answer["data"]) == 2
    for datum in answer["data"]:
        assert gateway.http.get(datum["url"]).content.startswith(b"\x89PNG")
    if "input" in body:
        choices = answer["output"]["choices"]
        assert [choice["message"]["content"][0]["image"] for choice in choices] == [
            datum["url"] for datum in answer["data"]
        ]
        assert answer["usage"]["image_count"] == 2
        assert answer["request_id"] == response.headers["x-request-id"]
    assert response.headers["x-tokenhub-provider"] == provider
    assert response.headers["x-tokenhub-attempts"] == "1"


def test_a_picture_is_charged_to_the_nano(gateway: Gateway, secret: str) -> None:
    response = gateway.post(secret, PATH, {"model": "sim-picture", **FLAT, "n": 3})

    usage = usage_of(response)
    total = fee(3 * PICTURE_NANO)
    assert usage.total_nano == total
    assert usage.units == {"image": 3}
    assert usage.lines == [
        {"unit": "image", "count": 3, "price": PICTURE_NANO, "fee": 3 * PICTURE_NANO}
    ]
    assert (usage.modality, usage.dialect, usage.status) == ("image", "openai", "succeeded")
    assert response.headers["x-tokenhub-cost-usd"] == f"0.{total:09d}".rstrip("0")
    assert balance_of(usage.organization).balance_nano == CREDIT - total
    assert audit(usage.organization) == []


def test_tokens_are_charged_to_the_nano_from_the_providers_own_usage(
    gateway: Gateway, secret: str
) -> None:
    response = gateway.post(secret, PATH, {"model": "gpt-image-2", "prompt": "A fox!", "n": 2})

    answer, usage = response.json(), usage_of(response)
    assert [base64.b64decode(datum["b64_json"])[:4] for datum in answer["data"]] == [b"\x89PNG"] * 2
    assert answer["usage"]["input_tokens_details"]["text_tokens"] == 2
    assert usage.units == {"input": 2, "output": 2 * 1_056}
    assert usage.total_nano == fee(2 * 5_000 + 2 * 1_056 * 30_000)
    assert audit(usage.organization) == []


@pytest.mark.parametrize(("model", "wants"), [("sim-picture", "b64_json"), ("gpt-image-2", "url")])
def test_a_picture_comes_in_the_form_that_was_asked_for(
    gateway: Gateway, secret: str, model: str, wants: str
) -> None:
    """From a provider that has only the other form: DashScope's addresses, GPT image models' bytes."""
    pinned = f"alibaba/{model}" if model == "sim-picture" else model

    response = gateway.post(
        secret, PATH, {"model": pinned, "prompt": "A fox", "response_format": wants}
    )

    datum = response.json()["data"][0]
    assert set(datum) == {wants}
    encoded = datum[wants].removeprefix("data:image/png;base64,")
    assert base64.b64decode(encoded, validate=True).startswith(b"\x89PNG")


def test_fewer_pictures_than_asked_are_charged_as_they_are(gateway: Gateway, secret: str) -> None:
    response = gateway.post(
        secret, PATH, {"model": "sim-picture", "prompt": "[[images=2]]", "n": 4}
    )

    assert len(response.json()["data"]) == 2
    assert usage_of(response).total_nano == fee(2 * PICTURE_NANO)


def test_more_pictures_than_asked_are_neither_delivered_nor_charged(
    gateway: Gateway, secret: str
) -> None:
    response = gateway.post(secret, PATH, {"model": "sim-picture", "prompt": "[[images=5]]"})

    assert len(response.json()["data"]) == 1
    assert usage_of(response).total_nano == fee(PICTURE_NANO)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "file:///etc/passwd", "http://10.0.0.1/x.png", "https://192.168.1.1/x.png",
     "https://user:pass@example.com/x.png", "http://169.254.169.254/latest", "https://metadata.internal/x",
     "data:text/html,<script>", "//example.com/x.png", "https://2130706433/x.png"],
)  # fmt: skip
@pytest.mark.parametrize("model", ["alibaba/sim-hostile", "azure/sim-hostile"])
def test_a_hostile_address_is_no_result(
    gateway: Gateway, secret: str, url: str, model: str
) -> None:
    response = gateway.post(secret, PATH, {"model": model, "prompt": f"[[url={url}]]"})

    error = response.json()["error"]
    assert response.status_code in (502, 503)
    if response.status_code == 502:
        assert [attempt["cause"] for attempt in error["attempts"]] == ["unsafe_url"]
    assert url not in response.text
    usage = eventually(lambda: Usage.objects.filter(id=response.headers["x-request-id"]).first())
    assert not usage.billed


FAULTS = {
    # mode: whether pictures, priced by picture, are still a valid result
    "http_error": False, "timeout": False, "refuse": False, "disconnect": False, "truncate": False,
    "malformed": False, "empty": False, "html": False, "redirect": False, "no_usage": True, "slow": True,
}  # fmt: skip


@pytest.mark.parametrize("mode", FAULTS)
def test_a_fault_is_answered_by_the_next_provider_and_charged_once(
    gateway: Gateway, secret: str, mode: str
) -> None:
    healthy(gateway, secret, "alibaba", "azure")
    name = marker()
    gateway.providers.fault("alibaba", mode, contains=name, delay_ms=50)

    response = gateway.post(
        secret,
        PATH,
        {
            "model": "sim-picture",
            "prompt": f"A fox [[id={name}]]",
            "provider": {"order": ["alibaba", "azure"]},
        },
    )

    assert response.status_code == 200, response.text
    first = response.headers["x-tokenhub-provider"]
    assert first == ("alibaba" if FAULTS[mode] else "azure")
    assert response.headers["x-tokenhub-attempts"] == ("1" if FAULTS[mode] else "2")
    usage = usage_of(response)
    assert usage.total_nano == fee(PICTURE_NANO)
    transfers = Transfer.objects.filter(reference=usage.id)
    assert [transfer.amount_nano for transfer in transfers] == [usage.total_nano]


@pytest.mark.parametrize("mode", ["no_usage", "bad_usage"])
def test_tokens_that_nobody_counted_are_no_result(gateway: Gateway, secret: str, mode: str) -> None:
    name = marker()
    gateway.providers.fault("*", mode, contains=name, usage={"output_tokens": -5})

    response = gateway.post(
        secret, PATH, {"model": "gpt-image-2", "prompt": f"A fox [[id={name}]]"}
    )

    assert response.status_code == 502
    assert len(response.json()["error"]["attempts"]) == 2
    usage = eventually(lambda: Usage.objects.filter(id=response.headers["x-request-id"]).first())
    assert not usage.billed
    assert balance_of(usage.organization).balance_nano == CREDIT


def test_the_boundaries_hold_for_pictures(gateway: Gateway, secret: str) -> None:
    name = marker()
    response = gateway.post(
        secret,
        PATH,
        {
            "model": "sim-picture",
            "prompt": f"[[id={name}]]",
            "provider": {"only": ["azure"], "regions": ["us"]},
        },
    )

    error = response.json()["error"]
    assert response.status_code == 403
    assert error["code"] == "outside_boundaries"
    assert {exclusion["rule"] for exclusion in error["excluded"]} >= {"region_not_allowed"}
    assert gateway.providers.calls(marker=name) == []


def test_the_worst_case_is_held_and_refused_where_the_balance_is_short(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=fee(2 * PICTURE_NANO) - 1)
    poor = factories.key(tenant).secret

    refused = gateway.post(poor, PATH, {"model": "sim-picture", **FLAT})
    served = gateway.post(poor, PATH, {"model": "sim-picture", **FLAT, "n": 1})

    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_balance")
    assert served.status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ""}, "prompt"), ({}, "prompt"), ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": 11}, "n"), ({"prompt": "x", "n": "2"}, "n"),
        ({"prompt": "x", "size": "huge"}, "size"), ({"prompt": "x", "response_format": "svg"}, "response_format"),
        ({"prompt": "x", "stream": True}, "stream"), ({"prompt": "x" * 32_001}, "prompt"),
        ({"input": {}}, "input"), ({"input": {"messages": []}}, "input.messages"),
        ({"input": {"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "parameters": {"n": 99}}, "parameters.n"),
        ({"prompt": 7}, "prompt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    gateway: Gateway, secret: str, body: dict[str, Any], param: str
) -> None:
    response = gateway.post(secret, PATH, {"model": "sim-picture", **body})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_model_for_text_makes_no_pictures(gateway: Gateway, secret: str) -> None:
    response = gateway.post(secret, PATH, {"model": "deepseek-v3.2", "prompt": "A fox"})

    assert response.status_code == 403
    assert response.json()["error"]["excluded"][0]["rule"] == "wrong_modality"


def test_models_lists_pictures_with_their_price(gateway: Gateway, secret: str) -> None:
    models = {entry["id"]: entry for entry in gateway.get(secret, "models").json()["data"]}

    assert models["wan2.6-t2i"]["modality"] == "image"
    assert models["wan2.6-t2i"]["pricing"] == {"image": "0.03"}
    assert models["gpt-image-2"]["pricing"]["output"] == "30"


def test_the_openai_sdk_generates_pictures(gateway: Gateway, secret: str) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)

    by_url = client.images.generate(model="wan2.6-t2i", prompt="A fox", n=2, size="1024x1024")
    by_bytes = client.images.generate(model="gpt-image-2", prompt="A fox", quality="low")

    assert by_url.data is not None
    assert all(image.url and "/v1/media/" in image.url for image in by_url.data)
    assert by_bytes.data is not None
    assert by_bytes.data[0].b64_json
    assert by_bytes.usage is not None
    assert by_bytes.usage.output_tokens == 1_056
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="no-such-model", prompt="A fox")
