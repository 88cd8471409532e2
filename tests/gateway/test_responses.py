"""OpenAI's Responses for every text model, with OpenAI's own client."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from billing.models import Usage
from tests import factories
from tests.live import Gateway, marker

OVER_BOTH = pytest.mark.parametrize("model", ["deepseek-v3.2", "claude-haiku-4.5"])
TOOL: Any = {
    "type": "function",
    "name": "look_up",
    "description": "Look something up",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


def client(gateway: Gateway) -> tuple[Any, OpenAI]:
    tenant = factories.organization(credit_nano=10_000_000_000)
    secret = factories.key(tenant).secret
    return tenant, OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)


@OVER_BOTH
def test_a_plain_response(gateway: Gateway, model: str) -> None:
    tenant, api = client(gateway)

    answer = api.responses.create(
        model=model, instructions="Be brief.", input="[[tokens=6]]", metadata={"a": "b"}
    )

    usage = Usage.objects.get(organization=tenant)
    assert answer.status == "completed"
    assert answer.model == model
    assert answer.metadata == {"a": "b"}
    assert len(answer.output_text.split()) == 6
    assert answer.usage is not None
    assert answer.usage.output_tokens == usage.units["output"] == 6
    assert (usage.dialect, usage.billed) == ("responses", True)


@OVER_BOTH
def test_events_come_in_the_order_of_the_protocol(gateway: Gateway, model: str) -> None:
    tenant, api = client(gateway)

    events = list(api.responses.create(model=model, input="[[tokens=2]] [[reason]]", stream=True))

    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert list(dict.fromkeys(kinds[2:])) == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    final: Any = events[-1]
    assert [item.type for item in final.response.output] == ["reasoning", "message"]
    assert final.response.usage.model_extra["cost_usd"]
    assert Usage.objects.get(organization=tenant).billed


@OVER_BOTH
def test_the_stream_helper_ends_with_the_whole_response(gateway: Gateway, model: str) -> None:
    _, api = client(gateway)

    with api.responses.stream(model=model, input="[[tool=2]]", tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    calls = [item for item in final.output if item.type == "function_call"]
    assert kinds.count("response.function_call_arguments.delta") > 2
    assert [call.name for call in calls] == ["look_up", "look_up"]
    assert calls[0].arguments == '{"query":"[[tool=2]]"}'


@OVER_BOTH
def test_tools_there_and_back(gateway: Gateway, model: str) -> None:
    _, api = client(gateway)
    history: list[Any] = [{"role": "user", "content": "[[tool=2]]"}]

    asked = api.responses.create(model=model, input=history, tools=[TOOL])
    history += [item.model_dump(exclude_none=True) for item in asked.output]
    history += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "42"}
        for item in asked.output
        if item.type == "function_call"
    ]
    history.append({"role": "user", "content": [{"type": "input_text", "text": "And?"}]})
    answer = api.responses.create(model=model, input=history, tools=[TOOL])

    assert len(history) == 6
    assert answer.output_text


def test_the_seal_of_claudes_thinking_comes_and_goes_back(gateway: Gateway) -> None:
    _, api = client(gateway)

    asked = api.responses.create(
        model="claude-haiku-4.5", input="[[reason]]", reasoning={"effort": "low"}
    )
    history: list[Any] = [{"role": "user", "content": "[[reason]]"}]
    history += [item.model_dump(exclude_none=True) for item in asked.output]
    history.append({"role": "user", "content": "And?"})

    reasoning: Any = asked.output[0]
    assert reasoning.encrypted_content == "sim"
    assert api.responses.create(model="claude-haiku-4.5", input=history).output_text


class Answer(BaseModel):
    answer: str


@OVER_BOTH
def test_structured_output_is_parsed(gateway: Gateway, model: str) -> None:
    _, api = client(gateway)

    parsed = api.responses.parse(model=model, input="Yes?", text_format=Answer)

    assert parsed.output_parsed == Answer(answer="yes")


@pytest.mark.parametrize("model", ["claude-haiku-4.5", "kimi-k2.5"])
def test_pictures_are_seen_by_models_that_can(gateway: Gateway, model: str) -> None:
    _, api = client(gateway)
    content = [
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        {"type": "input_text", "text": "What is it?"},
    ]

    answer = api.responses.create(model=model, input=[{"role": "user", "content": content}])  # type: ignore[list-item]

    assert answer.output_text


@OVER_BOTH
def test_an_answer_that_is_cut_is_incomplete(gateway: Gateway, model: str) -> None:
    _, api = client(gateway)

    answer = api.responses.create(model=model, input="[[tokens=50]]", max_output_tokens=3)

    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("store", True),
        ("background", True),
        ("prompt", {"id": "pmpt_1"}),
        ("truncation", "auto"),
        ("tools[0].type", [{"type": "web_search"}]),
        ("input[0]", [{"type": "item_reference", "id": "msg_1"}]),
        ("input[0].type", [{"type": "computer_call_output"}]),
        ("input", {"a": 1}),
        ("input", []),
        ("input", None),
        ("nonsense", 1),
    ],
)
def test_what_cannot_be_done_is_a_400_naming_it(gateway: Gateway, param: str, value: Any) -> None:
    _, api = client(gateway)
    body = {param.split("[")[0]: value}

    with pytest.raises(openai.BadRequestError) as caught:
        api.responses.create(model="deepseek-v3.2", input="Hello", extra_body=body)

    assert caught.value.param == param
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [{"store": False}, {"service_tier": "auto"}, {"include": ["reasoning.encrypted_content"]}],
)
def test_what_changes_nothing_is_accepted(gateway: Gateway, body: Any) -> None:
    _, api = client(gateway)

    assert api.responses.create(model="deepseek-v3.2", input="Hello", extra_body=body).output_text


@OVER_BOTH
def test_a_stream_that_breaks_ends_as_failed_and_is_not_billed(
    gateway: Gateway, model: str
) -> None:
    tenant, api = client(gateway)
    name = marker()
    gateway.providers.fault("*", "disconnect", contains=name, after_chunks=8)

    events: list[Any] = list(api.responses.create(model=model, input=f"[[id={name}]]", stream=True))

    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2].code == "providers_failed"
    assert events[-1].response.error.code == "providers_failed"
    assert not Usage.objects.filter(organization=tenant, billed=True).exists()
