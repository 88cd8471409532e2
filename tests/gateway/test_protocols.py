"""What the official clients rely on, on every route: credentials, ids, retries, silence, faults, hostile bodies."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel

from billing.models import Usage
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tokenhub.gateway.app import ROUTES

POSTS = [path for path, route in ROUTES.items() if route.method == "POST"]
TEXT = ["/v1/chat/completions", "/v1/messages", "/v1/responses"]
MESSAGES = [{"role": "user", "content": "x"}]
BODIES = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 16},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 16},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/v1/responses": {"input": "x"},
    "/v1/embeddings": {"input": "x"},
}
NESTED = b"[" * 100_000 + b"]" * 100_000
HOSTILE = {
    "empty": b"",
    "not json": b"hello",
    "array": b"[]",
    "number": b"7",
    "null": b"null",
    "trailing garbage": b'{"model":"x"} x',
    "not a number": b'{"model":"x","temperature":NaN}',
    "byte order mark": b'\xef\xbb\xbf{"model":"x"}',
    "latin-1": '{"model":"é"}'.encode("latin-1"),
    "utf-16": '{"model":"x"}'.encode("utf-16"),
    "lone surrogate": b'{"model":"\\ud800"}',
    "lone surrogate in a part that passes": b'{"model":"x","extra":{"a":["\\udc00"]}}',
    "encoded surrogate": b'{"model":"\xed\xa0\x80"}',
    "nested": b'{"model":"x","extra":' + NESTED + b"}",
    "twice": b'{"model":"x","model":"deepseek-v3.2"}',
    "twice, spaced": b' { "model" : "x" , "stream" : true , "stream":true } ',
    "model of a wrong kind": b'{"model":["x"]}',
}


def tenant_key(**limits: Any) -> tuple[Any, str]:
    tenant = factories.organization(credit_nano=1_000_000_000)
    return tenant, factories.key(tenant, **limits).secret


def said(path: str, response: Any) -> dict[str, Any]:
    """The error in the shape of the route's protocol."""
    body = response.json()
    if path.startswith("/v1/messages"):
        assert body["type"] == "error"
        assert body["request_id"] == response.headers["request-id"]
        assert body["error"]["type"].endswith("_error")
    else:
        assert body["error"].keys() >= {"message", "type", "param", "code"}
    return dict(body["error"])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", BODIES)
def test_a_hostile_body_is_a_400_in_the_protocols_shape(
    gateway: Gateway, path: str, name: str
) -> None:
    _, secret = tenant_key()

    response = gateway.http.post(
        gateway.url + path,
        headers={"x-api-key": secret, "content-type": "application/json"},
        content=HOSTILE[name],
    )

    assert response.status_code == 400, response.text
    assert said(path, response)["code"] == "invalid_request"


@pytest.mark.parametrize("spaced", [False, True])
def test_a_body_with_or_without_spaces_is_the_same(gateway: Gateway, spaced: bool) -> None:
    _, secret = tenant_key()
    body = {"model": "deepseek-v3.2", "messages": MESSAGES, "metadata": {"a": "é", "b": [1, {}]}}

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
        content=json.dumps(
            body, indent=2 if spaced else None, separators=None if spaced else (",", ":")
        ).encode(),
    )

    assert response.status_code == 200, response.text


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", [*BODIES, "/v1/models", "/v1/models/deepseek-v3.2"])
def test_both_credentials_and_both_spellings_work_everywhere(
    gateway: Gateway, path: str, slash: str, header: str
) -> None:
    _, secret = tenant_key()
    model = "text-embedding-3-small" if path == "/v1/embeddings" else "deepseek-v3.2"
    method = "GET" if path.startswith("/v1/models") else "POST"

    response = gateway.http.request(
        method,
        f"{gateway.url}{path}{slash}?beta=true",
        headers={
            header: f"Bearer {secret}" if header == "authorization" else secret,
            "anthropic-version": "2042-12-24",
        },
        json={"model": model, **BODIES[path]} if method == "POST" else None,
    )

    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"] == response.headers["request-id"]
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", POSTS)
def test_without_a_key_every_route_says_401_in_its_shape(gateway: Gateway, path: str) -> None:
    response = gateway.http.post(gateway.url + path, json={})

    assert response.status_code == 401
    assert said(path, response)["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", TEXT)
def test_what_trying_again_cannot_help_says_so(gateway: Gateway, path: str) -> None:
    poor = factories.key(factories.organization()).secret
    _, rich = tenant_key()
    name = marker()
    gateway.providers.fault("*", "http_error", status=500, contains=name)
    failing = json.loads(json.dumps(BODIES[path]).replace('"x"', f'"[[id={name}]]"'))

    def status(secret: str, body: dict[str, Any]) -> tuple[int, str | None]:
        answer = gateway.http.post(gateway.url + path, headers={"x-api-key": secret}, json=body)
        said(path, answer)
        return answer.status_code, answer.headers.get("x-should-retry")

    assert status(poor, {"model": "deepseek-v3.2", **BODIES[path]}) == (402, "false")
    assert status(rich, {"model": "wan2.6-t2i", **BODIES[path]}) == (403, "false")
    assert status(rich, {"model": "deepseek-v3.2", **failing}) == (502, "false")


def test_the_clients_do_not_try_again_what_we_did(gateway: Gateway) -> None:
    tenant, secret = tenant_key()
    name = marker()
    gateway.providers.fault("*", "http_error", status=500, contains=name)
    prompt: list[Any] = [{"role": "user", "content": f"[[id={name}]]"}]

    with pytest.raises(openai.InternalServerError) as by_openai:
        OpenAI(base_url=f"{gateway.url}/v1", api_key=secret).chat.completions.create(
            model="deepseek-v3.2", messages=prompt
        )
    with pytest.raises(anthropic.InternalServerError):
        Anthropic(base_url=gateway.url, api_key=secret).messages.create(
            model="deepseek-v3.2", max_tokens=8, messages=prompt
        )

    assert by_openai.value.code == "providers_failed"
    assert len(gateway.providers.calls(marker=name)) <= 6  # three by each client's one request
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()


def test_retry_after_is_a_whole_number_that_the_client_heeds(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant, rpm=1).secret
    gateway.chat(secret)

    refused = gateway.chat(secret)

    assert refused.status_code == 429
    assert refused.headers["retry-after"].isdigit()


def test_a_fault_in_a_stream_is_a_chunk_with_an_error_that_the_client_raises(
    gateway: Gateway,
) -> None:
    tenant, secret = tenant_key()
    name = marker()
    gateway.providers.fault("*", "disconnect", contains=name, after_chunks=6)
    text = f"[[id={name}]]"

    raw = gateway.stream(secret, text=text)
    with pytest.raises(openai.APIError) as caught:
        list(
            OpenAI(base_url=f"{gateway.url}/v1", api_key=secret).chat.completions.create(
                model="deepseek-v3.2", stream=True, messages=[{"role": "user", "content": text}]
            )
        )

    last = json.loads(raw.events[-1])
    assert last["object"] == "chat.completion.chunk"
    assert last["choices"] == []
    assert last["id"] == raw.chunks[0]["id"]
    assert last["error"]["code"] == "providers_failed"
    assert caught.value.code == "providers_failed"
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()


def test_a_providers_words_reach_the_client_without_addresses_and_keys(gateway: Gateway) -> None:
    _, secret = tenant_key()
    name = marker()
    gateway.providers.fault("deepseek", "http_error", status=400, contains=name)

    response = gateway.chat(secret, "deepseek/deepseek-v3.2", f"[[id={name}]]")

    assert response.status_code == 400
    assert "sim-deepseek" not in response.text


def test_anthropics_client_lists_and_retrieves_models(gateway: Gateway) -> None:
    _, secret = tenant_key()
    client = Anthropic(base_url=gateway.url, api_key=secret)

    listed = {model.id: model for model in client.models.list(limit=1000)}
    one = client.models.retrieve("claude-haiku-4.5")

    assert listed["deepseek-v3.2"].type == "model"
    assert listed["deepseek-v3.2"].display_name == "DeepSeek V3.2"
    assert one.created_at.tzinfo is not None
    assert one.display_name == "Claude Haiku 4.5"


def test_openais_client_lists_every_modality_there_is_an_endpoint_for(gateway: Gateway) -> None:
    _, secret = tenant_key()
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=secret)

    modalities = {(model.model_extra or {})["modality"] for model in client.models.list()}

    assert modalities >= {"text", "embedding"}


# silence


@pytest.fixture(scope="module")
def nervous(gateway_environ: dict[str, str]) -> Iterator[str]:
    """A gateway that lets no stream be silent for long."""
    server = new_gateway(gateway_environ, TOKENHUB_KEEP_ALIVE_S="0.2").start()
    yield server.url
    server.stop()


def streamed(url: str, path: str, secret: str, text: str) -> tuple[Any, str]:
    body = json.loads(json.dumps(BODIES[path]).replace('"x"', json.dumps(text)))
    with Gateway(url, Providers(url)).http.stream(
        "POST",
        url + path,
        headers={"x-api-key": secret},
        json={"model": "deepseek/deepseek-v3.2", "stream": True, **body},
    ) as response:
        return response, response.read().decode()


@pytest.mark.parametrize("path", TEXT)
def test_a_silent_stream_is_kept_alive_by_comments(
    committed: None, nervous: str, providers: Providers, path: str
) -> None:
    tenant, secret = tenant_key()
    name = marker()
    providers.fault("*", "slow", contains=name, delay_ms=500)

    response, text = streamed(nervous, path, secret, f"[[id={name}]] [[tokens=2]]")

    providers.lift_faults()
    frames = [frame for frame in text.split("\n\n") if frame]
    assert response.status_code == 200
    assert frames[0] == ": keep-alive"  # before anything came
    assert ": keep-alive" in frames[frames.index(next(f for f in frames if "data:" in f)) :]
    assert frames[-1] != ": keep-alive"
    assert Usage.objects.get(organization=tenant).billed


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/v1/chat/completions", '"error":{'),
        ("/v1/messages", "event: error"),
        ("/v1/responses", "event: response.failed"),
    ],
)
def test_an_error_after_the_first_comment_is_a_fault_in_the_stream(
    committed: None, nervous: str, providers: Providers, path: str, end: str
) -> None:
    tenant, secret = tenant_key()
    name = marker()
    providers.fault("*", "timeout", contains=name)

    response, text = streamed(nervous, path, secret, f"[[id={name}]]")

    providers.lift_faults()
    assert response.status_code == 200
    assert text.startswith(": keep-alive")
    assert end in text.strip().split("\n\n")[-1]
    assert "[DONE]" not in text
    assert "providers_failed" in text
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()


class Step(BaseModel):
    explanation: str
    result: float


class Solution(BaseModel):
    steps: list[Step]
    answer: int


@pytest.mark.parametrize("model", ["deepseek-v3.2", "claude-haiku-4.5"])
def test_openais_client_parses_what_it_gave_a_schema_for(gateway: Gateway, model: str) -> None:
    secret = factories.key(factories.organization(credit_nano=10_000_000_000)).secret
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)
    messages: Any = [{"role": "user", "content": "Solve it."}]

    whole = client.chat.completions.parse(model=model, messages=messages, response_format=Solution)
    with client.chat.completions.stream(
        model=model, messages=messages, response_format=Solution
    ) as stream:
        streamed = stream.get_final_completion()
    tool = openai.pydantic_function_tool(Solution)
    called = client.chat.completions.parse(
        model=model, messages=messages, tools=[tool], tool_choice="required"
    )

    assert isinstance(whole.choices[0].message.parsed, Solution)
    assert streamed.choices[0].message.parsed == whole.choices[0].message.parsed
    calls = called.choices[0].message.tool_calls
    assert calls is not None
    assert isinstance(calls[0].function.parsed_arguments, Solution)
