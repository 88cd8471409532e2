"""LangChain's ``ChatOpenAI``: tools, structured output, streaming, over both kinds of provider and both APIs."""

from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests import factories
from tests.live import Gateway

pytestmark = [
    pytest.mark.parametrize("model", ["deepseek-v3.2", "claude-haiku-4.5"]),
    pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"]),
]


class Answer(BaseModel):
    """An answer."""

    answer: str


def look_up(query: str) -> str:
    """Look something up."""
    return query


def chat(gateway: Gateway, model: str, responses: bool) -> ChatOpenAI:
    secret = factories.key(factories.organization(credit_nano=10_000_000_000)).secret
    return ChatOpenAI(
        model=model, base_url=f"{gateway.url}/v1", api_key=SecretStr(secret), max_retries=0,
        use_responses_api=responses, stream_usage=True,
    )  # fmt: skip


def test_tools_there_and_back(gateway: Gateway, model: str, responses: bool) -> None:
    bound = chat(gateway, model, responses).bind_tools([look_up])
    messages: list[Any] = [HumanMessage("[[tool=2]]")]

    asked = bound.invoke(messages)
    messages += [asked, *(ToolMessage("42", tool_call_id=call["id"]) for call in asked.tool_calls)]
    answer = bound.invoke([*messages, HumanMessage("And?")])

    assert [call["args"] for call in asked.tool_calls] == [{"query": "[[tool=2]]"}] * 2
    assert answer.text


def test_structured_output(gateway: Gateway, model: str, responses: bool) -> None:
    structured = chat(gateway, model, responses).with_structured_output(Answer)

    assert structured.invoke("Yes?") == Answer(answer="yes")


class Person(BaseModel):
    """Somebody."""

    name: str
    born: int
    friends: list[str]
    kind: Literal["adult", "child"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_of_any_shape(
    gateway: Gateway, model: str, responses: bool, method: Any
) -> None:
    structured = chat(gateway, model, responses).with_structured_output(Person, method=method)

    assert isinstance(structured.invoke("Who is it?"), Person)


@pytest.mark.parametrize("choice", ["any", "look_up", "look_further"])
def test_a_tool_that_must_be_called_is(
    gateway: Gateway, model: str, responses: bool, choice: str
) -> None:
    @tool
    def look_further(place: str, depth: int) -> str:
        """Look elsewhere."""
        return place + str(depth)

    bound = chat(gateway, model, responses).bind_tools([look_up, look_further], tool_choice=choice)

    (called,) = bound.invoke("Hello").tool_calls

    assert called["name"] == ("look_up" if choice == "any" else choice)
    assert isinstance(called["args"].get("depth", 1), int)


def test_streaming_with_usage(gateway: Gateway, model: str, responses: bool) -> None:
    pieces = list(chat(gateway, model, responses).stream("[[tokens=6]]"))

    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    assert len(pieces) > 3
    assert len(whole.text.split()) == 6
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 6
