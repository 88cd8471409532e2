"""Malformed, oversized and misdirected requests: refused fast, in the protocol's shape."""

from typing import Any

import pytest

from tests import factories
from tests.live import Gateway

NESTED = "[" * 100_000 + "]" * 100_000
BODIES = {
    "empty": b"",
    "not json": b"hello",
    "array": b"[]",
    "number": b"7",
    "trailing": b'{"model":"x"} x',
    "nan": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    "bom": b'\xef\xbb\xbf{"model":"x"}',
    "latin-1": '{"model":"é"}'.encode("latin-1"),
    "nested": b'{"model":"deepseek-v3.2","messages":' + NESTED.encode() + b"}",
    "no model": b'{"messages":[{"role":"user","content":"x"}]}',
    "no messages": b'{"model":"deepseek-v3.2"}',
    "no message": b'{"model":"deepseek-v3.2","messages":[]}',
    "messages of text": b'{"model":"deepseek-v3.2","messages":["x"]}',
    "max_tokens text": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"max_tokens":"5"}',
    "max_tokens negative": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"max_tokens":-1}',
    "n huge": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"n":1000}',
    "stream text": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"stream":"yes"}',
    "unknown wish": b'{"model":"deepseek-v3.2","messages":[{"role":"user","content":"x"}],"provider":{"always":["x"]}}',
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_chat_request_is_a_400(gateway: Gateway, name: str) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers={
            "authorization": f"Bearer {factories.key(tenant).secret}",
            "content-type": "application/json",
        },
        content=BODIES[name],
    )

    assert response.status_code == 400, response.text
    assert response.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    "model",
    ["nope", "nope/deepseek-v3.2", "azure/nope", "tokenhub/nope", "tokenhub/", "DeepSeek-V3.2",
     " deepseek-v3.2", "../deepseek-v3.2", "deepseek-v3.2/", "a/b/c", "模型", "\x00"],
)  # fmt: skip
def test_an_unknown_model_is_a_404(gateway: Gateway, model: str) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.chat(factories.key(tenant).secret, model)

    assert response.status_code == 404, response.text
    assert response.json()["error"]["code"] == "model_not_found"


def test_a_model_of_another_modality_is_refused_with_its_rule(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.chat(factories.key(tenant).secret, "wan2.6-t2i")

    assert response.status_code == 403
    error = response.json()["error"]
    assert {e["rule"] for e in error["excluded"]} == {"wrong_modality"}
    assert "/v1/images/generations" in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("images/generations", {"model": "wan2.6-t2i", "foo": 1}, "foo"),
        ("video/generations", {"model": "wan2.7-t2v", "seconds": 3}, "seconds"),
        ("videos", {"model": "wan2.7-t2v", "duration": 3}, "duration"),
        ("chat/completions", {"model": "claude-haiku-4.5", "functions": [{"name": "f"}]}, "functions"),
        ("chat/completions", {"model": "deepseek-v3.2", "store": True}, "store"),
    ],
)  # fmt: skip
def test_a_parameter_that_the_providers_of_a_model_do_not_know_is_named(
    gateway: Gateway, path: str, body: dict[str, Any], param: str
) -> None:
    secret = factories.key(factories.organization(credit_nano=1_000_000_000)).secret
    asked = {"prompt": "A fox"} if path != "chat/completions" else {"messages": [{"role": "user", "content": "x"}]}  # fmt: skip

    refused = gateway.post(secret, path, {**asked, **body})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text


def test_what_only_tunes_an_answer_is_left_out_where_it_is_not_known(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=1_000_000_000)).secret

    tuned = gateway.chat(
        secret, "claude-haiku-4.5", seed=1, frequency_penalty=0.5, logit_bias={"1": 1}, store=False,
        metadata={"a": "b"}, service_tier="auto", functions=[], user="u", verbosity="low", unknown=[1],
    )  # fmt: skip

    assert tuned.status_code == 200, tuned.text


def test_a_name_of_ten_kilobytes_is_a_400(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    assert gateway.chat(factories.key(tenant).secret, "x" * 10_000).status_code == 400


def test_a_body_beyond_the_limit_is_a_413(gateway: Gateway) -> None:
    secret = factories.key(factories.organization()).secret

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
        content=b" " * (33 * 1024 * 1024),
    )

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
    ],
)
def test_a_wrong_method_or_path_is_said_so(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    response = gateway.http.request(method, gateway.url + path)

    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_another_content_type_is_a_415(gateway: Gateway) -> None:
    secret = factories.key(factories.organization()).secret

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}", "content-type": "text/plain"},
        content=b"{}",
    )

    assert response.status_code == 415
