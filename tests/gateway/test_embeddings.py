"""Embeddings with OpenAI's own client: every kind of input and encoding, metered and failed over like all else."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from billing.models import Transfer, Usage
from tests import factories
from tests.live import Gateway, marker

MODEL = "text-embedding-3-small"


def client(gateway: Gateway) -> tuple[Any, OpenAI]:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    return tenant, OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)


@pytest.mark.parametrize(
    ("given", "count"),
    [("Hello", 1), (["Hello", "Hej"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_every_kind_of_input_and_encoding(
    gateway: Gateway, given: Any, count: int, encoding: Any
) -> None:
    tenant, api = client(gateway)

    answer = api.embeddings.create(model=MODEL, input=given, encoding_format=encoding)

    usage = Usage.objects.get(organization=tenant)
    assert len(answer.data) == count
    assert answer.model == MODEL
    assert answer.data[0].embedding
    assert usage.units == {"input": answer.usage.prompt_tokens}
    assert (usage.modality, usage.dialect, usage.billed) == ("embedding", "openai", True)
    assert Transfer.objects.get(organization=tenant, reference=usage.id).amount_nano > 0


def test_the_client_decodes_what_it_asked_for_by_default(gateway: Gateway) -> None:
    _, api = client(gateway)

    answer = api.embeddings.create(model=MODEL, input="Hello", dimensions=16)

    assert len(answer.data[0].embedding) == 16
    assert all(isinstance(number, float) for number in answer.data[0].embedding)


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("input", {"input": ""}),
        ("input", {"input": []}),
        ("input", {"input": ["x", ""]}),
        ("input", {"input": ["x", 1]}),
        ("input", {"input": [1, "x"]}),
        ("input", {"input": ["x"] * 2_049}),
        ("input", {"input": None}),
        ("input", {"input": {"a": 1}}),
        ("dimensions", {"dimensions": 0}),
        ("encoding_format", {"encoding_format": "hex"}),
    ],
)
def test_what_is_no_request_is_a_400_naming_it(
    gateway: Gateway, param: str, body: dict[str, Any]
) -> None:
    _, api = client(gateway)

    with pytest.raises(openai.BadRequestError) as caught:
        api.embeddings.create(model=MODEL, input="x", extra_body=body)

    assert caught.value.param == param


def test_a_model_that_does_not_embed_is_refused_with_its_rule(gateway: Gateway) -> None:
    _, api = client(gateway)

    with pytest.raises(openai.PermissionDeniedError) as caught:
        api.embeddings.create(model="deepseek-v3.2", input="x")

    body: Any = caught.value.body
    assert {one["rule"] for one in body["excluded"]} == {"wrong_modality"}


@pytest.mark.parametrize(
    "mode", ["http_error", "truncate", "malformed", "no_usage", "empty", "disconnect"]
)
def test_an_incomplete_answer_fails_over(gateway: Gateway, mode: str) -> None:
    tenant, api = client(gateway)
    name = marker()
    gateway.providers.fault("openai", mode, contains=name)

    answer = api.embeddings.with_raw_response.create(
        model=MODEL, input=f"[[id={name}]]", extra_body={"provider": {"order": ["openai"]}}
    )

    assert answer.headers["x-tokenhub-provider"] == "azure"
    assert Usage.objects.get(organization=tenant).billed


def test_many_long_texts_are_no_long_context(gateway: Gateway) -> None:
    _, api = client(gateway)

    answer = api.embeddings.create(model=MODEL, input=["word " * 1_000] * 100)

    assert len(answer.data) == 100
