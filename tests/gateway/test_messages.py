"""Anthropic's Messages for every text model, with Anthropic's own client."""

import json
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from billing.models import Usage
from tests import factories
from tests.live import Gateway, marker

OVER_BOTH = pytest.mark.parametrize("model", ["claude-haiku-4.5", "deepseek-v3.2"])
TOOL: Any = {
    "name": "look_up",
    "description": "Look something up",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def client(gateway: Gateway, **limits: Any) -> tuple[Any, Anthropic]:
    tenant = factories.organization(credit_nano=10_000_000_000)
    secret = factories.key(tenant, **limits).secret
    return tenant, Anthropic(base_url=gateway.url, api_key=secret, max_retries=0)


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@OVER_BOTH
def test_a_plain_message(gateway: Gateway, model: str) -> None:
    tenant, messages = client(gateway)

    answer = messages.messages.create(
        model=model, max_tokens=64, system="Be brief.", messages=ask("[[tokens=6]]")
    )

    usage = Usage.objects.get(organization=tenant)
    assert answer.type == "message"
    assert answer.model == model
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"
    assert answer.usage.output_tokens == usage.units["output"] == 6
    assert answer.usage.input_tokens == usage.units["input"]
    assert (usage.dialect, usage.billed) == ("anthropic", True)


@OVER_BOTH
def test_the_stream_helper_collects_text_and_usage(gateway: Gateway, model: str) -> None:
    tenant, messages = client(gateway)

    with messages.messages.stream(
        model=model, max_tokens=64, messages=ask("[[tokens=6]]")
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()

    usage = Usage.objects.get(organization=tenant)
    assert len("".join(pieces).split()) == 6
    assert len(pieces) > 1
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 6
    assert final.usage.input_tokens == usage.units["input"]
    assert usage.billed


@OVER_BOTH
def test_events_come_in_the_order_of_the_protocol(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)

    events = [
        event.type
        for event in messages.messages.create(
            model=model, max_tokens=64, messages=ask("[[tokens=2]] [[reason]]"), stream=True
        )
        if event.type != "ping"
    ]

    assert events[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert events.count("content_block_start") == events.count("content_block_stop") == 2
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@OVER_BOTH
def test_the_limit_ends_with_max_tokens(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)

    answer = messages.messages.create(model=model, max_tokens=3, messages=ask("[[tokens=50]]"))

    assert answer.stop_reason == "max_tokens"


@OVER_BOTH
def test_thinking_is_a_block_before_the_text(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)

    answer = messages.messages.create(model=model, max_tokens=64, messages=ask("[[reason]]"))

    assert [block.type for block in answer.content] == ["thinking", "text"]


@OVER_BOTH
def test_tools_there_and_back(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)
    history = ask("[[tool=2]] [[reason]]")

    asked = messages.messages.create(model=model, max_tokens=64, messages=history, tools=[TOOL])
    uses = [block for block in asked.content if block.type == "tool_use"]
    history.append({"role": "assistant", "content": [b.model_dump() for b in asked.content]})
    results = [
        {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "42"}]}
        for use in uses
    ]
    history.append({"role": "user", "content": [*results, {"type": "text", "text": "Go on"}]})
    answer = messages.messages.create(model=model, max_tokens=64, messages=history, tools=[TOOL])

    assert asked.stop_reason == "tool_use"
    assert [use.name for use in uses] == ["look_up", "look_up"]
    assert uses[0].input["query"].startswith("[[tool")
    assert answer.content[0].type == "text"


@OVER_BOTH
def test_parallel_tool_calls_are_streamed_in_pieces(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)

    with messages.messages.stream(
        model=model, max_tokens=64, messages=ask("[[tool=3]]"), tools=[TOOL]
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()

    assert len(pieces) > 3
    uses = [block for block in final.content if block.type == "tool_use"]
    assert len({use.id for use in uses}) == 3
    assert all(use.input["query"] == "[[tool=3]]" for use in uses)


@pytest.mark.parametrize("model", ["claude-haiku-4.5", "kimi-k2.5"])
def test_pictures_are_seen_by_models_that_can(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]

    answer = messages.messages.create(
        model=model, max_tokens=64, messages=[{"role": "user", "content": content}]
    )

    assert answer.content[0].type == "text"


@OVER_BOTH
def test_an_answer_by_a_schema(gateway: Gateway, model: str) -> None:
    _, messages = client(gateway)
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}

    answer = messages.messages.create(
        model=model, max_tokens=64, messages=ask("Yes?"),
        extra_body={"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    )  # fmt: skip

    assert answer.content[0].type == "text"
    assert json.loads(answer.content[0].text) == {"answer": "yes"}


def test_count_tokens_is_the_providers_own_where_it_has_one(gateway: Gateway) -> None:
    tenant, messages = client(gateway)

    exact = messages.messages.with_raw_response.count_tokens(
        model="claude-haiku-4.5", messages=ask("Hello there, how are you?")
    )
    about = messages.messages.with_raw_response.count_tokens(
        model="deepseek-v3.2", messages=ask("Hello there, how are you?")
    )

    answer = messages.messages.create(
        model="claude-haiku-4.5", max_tokens=8, messages=ask("Hello there, how are you?")
    )
    assert exact.headers["x-tokenhub-count"] == "provider"
    assert exact.parse().input_tokens == answer.usage.input_tokens
    assert about.headers["x-tokenhub-count"] == "estimate"
    assert 5 <= about.parse().input_tokens <= 30
    assert Usage.objects.filter(organization=tenant).count() == 1  # counting is free


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("nope", 404, anthropic.NotFoundError),
        ("wan2.6-t2i", 403, anthropic.PermissionDeniedError),
    ],
)
def test_errors_are_those_of_anthropics_client(
    gateway: Gateway, model: str, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    _, messages = client(gateway)

    with pytest.raises(kind) as caught:
        messages.messages.create(model=model, max_tokens=8, messages=ask("Hello"))

    body: Any = caught.value.body
    assert caught.value.status_code == status
    assert body["type"] == "error"
    assert body["request_id"] == caught.value.request_id
    assert body["error"]["message"]


def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    messages = Anthropic(base_url=gateway.url, api_key="thk_wrong", max_retries=0)

    with pytest.raises(anthropic.AuthenticationError) as caught:
        messages.messages.create(model="deepseek-v3.2", max_tokens=8, messages=ask("Hello"))

    assert caught.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]


@OVER_BOTH
def test_a_stream_that_breaks_is_an_error_event_and_not_billed(
    gateway: Gateway, model: str
) -> None:
    tenant, messages = client(gateway)
    name = marker()
    gateway.providers.fault("*", "disconnect", contains=name, after_chunks=8)

    with pytest.raises(anthropic.APIStatusError) as caught:
        list(
            messages.messages.create(
                model=model, max_tokens=64, messages=ask(f"[[id={name}]]"), stream=True
            )
        )

    assert caught.value.body["error"]["code"] == "providers_failed"  # type: ignore[index]
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()


@pytest.mark.parametrize("mode", ["truncate", "malformed", "no_usage", "empty", "disconnect"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_incomplete_answer_fails_over_before_its_first_word(
    gateway: Gateway, mode: str, stream: bool
) -> None:
    tenant, messages = client(gateway)
    name = marker()
    gateway.providers.fault("anthropic", mode, contains=name)

    answer = messages.messages.with_raw_response.create(
        model="claude-haiku-4.5", max_tokens=8, messages=ask(f"[[id={name}]]"), stream=stream,
        extra_body={"provider": {"order": ["anthropic"]}},
    )  # fmt: skip

    if mode == "no_usage" and stream:
        return  # known only at the end, when the words are out: an error in the stream
    assert answer.headers["x-tokenhub-provider"] == "vertex"
    if stream:
        assert b"message_stop" in b"".join(answer.http_response.iter_bytes())
    assert Usage.objects.get(organization=tenant).provider == "vertex"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("container", "abc"),
        ("mcp_servers", [{"type": "url", "url": "https://example.com", "name": "x"}]),
        ("inference_geo", "us"),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}]),
    ],
)
@OVER_BOTH
def test_what_cannot_be_expressed_is_a_400_naming_it(
    gateway: Gateway, model: str, param: str, value: Any
) -> None:
    _, messages = client(gateway)

    with pytest.raises(anthropic.BadRequestError) as caught:
        messages.messages.create(
            model=model, max_tokens=8, messages=ask("Hello"), extra_body={param: value}
        )

    assert caught.value.body["error"]["param"].startswith(param)  # type: ignore[index]


def test_what_only_tunes_is_dropped_where_it_cannot_be_said(gateway: Gateway) -> None:
    _, messages = client(gateway)
    part: Any = {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}

    answer = messages.messages.create(
        model="deepseek-v3.2", max_tokens=8, messages=[{"role": "user", "content": [part]}],
        metadata={"user_id": "someone"},
        extra_body={"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    )  # fmt: skip

    assert answer.content


def test_the_way_claude_code_calls_is_understood(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=10_000_000_000)
    secret = factories.key(tenant).secret

    response = gateway.http.post(
        f"{gateway.url}/v1/messages/?beta=true",
        headers={
            "authorization": f"Bearer {secret}",
            "anthropic-version": "2099-01-01",
            "anthropic-beta": "interleaved-thinking-2025-05-14",
        },
        json={
            "model": "claude-haiku-4.5",
            "max_tokens": 32,
            "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            "messages": ask("Hello"),
        },
    )

    assert response.status_code == 200
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert "sim" not in response.json()["id"]


def test_the_price_is_the_same_in_every_dialect(gateway: Gateway) -> None:
    tenant, messages = client(gateway)
    secret = factories.key(tenant).secret
    text = "[[tokens=9]]"

    messages.messages.create(model="deepseek/deepseek-v3.2", max_tokens=64, messages=ask(text))
    gateway.chat(secret, "deepseek/deepseek-v3.2", text)

    first, second = Usage.objects.filter(organization=tenant).order_by("created_at")
    assert first.total_nano == second.total_nano > 0
    assert (first.dialect, second.dialect) == ("anthropic", "openai")
