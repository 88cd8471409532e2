"""Chat completions answered by providers that speak Anthropic's Messages."""

from typing import Any

import pytest
from openai import OpenAI

from billing.models import Usage, UsageDay
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    },
}


def client(gateway: Gateway) -> tuple[Any, OpenAI]:
    tenant = factories.organization(credit_nano=10_000_000_000)
    return tenant, OpenAI(base_url=f"{gateway.url}/v1", api_key=factories.key(tenant).secret)


@pytest.mark.parametrize(
    "model", ["claude-haiku-4.5", "vertex/claude-haiku-4.5", "tokenhub/claude"]
)
def test_a_plain_call(gateway: Gateway, model: str) -> None:
    tenant, openai = client(gateway)

    answer = openai.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "[[tokens=6]]"},
        ],
    )

    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert Usage.objects.get(organization=tenant).billed


def test_a_stream_with_its_cost(gateway: Gateway) -> None:
    tenant, openai = client(gateway)

    chunks = list(
        openai.chat.completions.create(
            model="claude-haiku-4.5",
            messages=[{"role": "user", "content": "[[tokens=6]] [[reason]]"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 6
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 14  # eight of reasoning
    assert Usage.objects.get(organization=tenant).units["output"] == 14


def test_tools_there_and_back(gateway: Gateway) -> None:
    _, openai = client(gateway)
    messages: list[Any] = [{"role": "user", "content": "[[tool=2]]"}]

    asked = openai.chat.completions.create(
        model="claude-haiku-4.5", messages=messages, tools=[TOOL]
    )
    calls = asked.choices[0].message.tool_calls or []
    messages.append(asked.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in calls]
    answer = openai.chat.completions.create(
        model="claude-haiku-4.5", messages=messages[1:], tools=[TOOL]
    )

    assert asked.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["look_up", "look_up"]
    assert answer.choices[0].message.content


def test_streamed_tool_arguments_arrive_in_pieces(gateway: Gateway) -> None:
    _, openai = client(gateway)

    with openai.chat.completions.stream(
        model="claude-haiku-4.5", messages=[{"role": "user", "content": "[[tool]]"}], tools=[TOOL]
    ) as stream:
        final = stream.get_final_completion()

    calls = final.choices[0].message.tool_calls or []
    assert calls[0].function.arguments.startswith('{"query"')


@pytest.mark.parametrize("mode", ["truncate", "malformed", "no_usage", "empty", "disconnect"])
def test_an_incomplete_answer_fails_over(gateway: Gateway, mode: str) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    assert gateway.chat(secret, "anthropic/claude-haiku-4.5").status_code == 200
    name = marker()
    gateway.providers.fault("anthropic", mode, contains=name)

    response = gateway.chat(
        secret, "claude-haiku-4.5", f"[[id={name}]]", provider={"order": ["anthropic"]}
    )

    assert response.status_code == 200
    assert response.headers["x-tokenhub-provider"] == "vertex"


@pytest.mark.parametrize(
    ("param", "value"), [("n", 2), ("response_format", {"type": "json_object"})]
)
def test_what_messages_cannot_express_is_a_400_naming_it(
    gateway: Gateway, param: str, value: Any
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.chat(factories.key(tenant).secret, "claude-haiku-4.5", **{param: value})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("route", ["chat/completions", "messages"])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_cached_for_an_hour_is_metered_and_priced_apart(
    gateway: Gateway, route: str, streamed: bool
) -> None:
    tenant = factories.organization(credit_nano=10_000_000_000)
    name = marker()
    used = {
        "input_tokens": 20, "cache_creation_input_tokens": 120, "cache_read_input_tokens": 0, "output_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 100},
    }  # fmt: skip
    gateway.providers.fault("anthropic", "bad_usage", contains=name, usage=used)
    text = f"{'word ' * 2_000}[[id={name}]]"
    body = {
        "model": "anthropic/claude-haiku-4.5", "max_tokens": 64, "stream": streamed,
        "messages": [{"role": "user", "content": text}],
    }  # fmt: skip

    answer = gateway.post(factories.key(tenant).secret, route, body)

    assert answer.status_code == 200
    usage = eventually(lambda: Usage.objects.filter(organization=tenant, billed=True).first())
    assert usage.units == {"input": 20, "cache_write": 20, "cache_write_1h": 100, "output": 5}
    assert {line["unit"]: line["fee"] for line in usage.lines} == {
        "input": 20_000, "cache_write": 25_000, "cache_write_1h": 200_000, "output": 25_000,
    }  # fmt: skip
    day = UsageDay.objects.get(organization=tenant)
    assert (day.input_tokens, day.output_tokens) == (140, 5)
    if not streamed and route == "messages":
        assert answer.json()["usage"]["cache_creation_input_tokens"] == 120


def test_more_cached_for_an_hour_than_in_all_is_no_usage(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=10_000_000_000)
    name = marker()
    used = {
        "input_tokens": 20, "cache_creation_input_tokens": 10, "output_tokens": 5,
        "cache_creation": {"ephemeral_1h_input_tokens": 100},
    }  # fmt: skip
    gateway.providers.fault("anthropic", "bad_usage", contains=name, usage=used)

    answer = gateway.chat(
        factories.key(tenant).secret, "anthropic/claude-haiku-4.5", f"[[id={name}]]"
    )

    assert answer.status_code == 502
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()
