"""Deterministic text and exact counts: what every text dialect answers from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tokenhub.stack.providers.schema import example

WORDS = (  # noqa: SIM905  (a sentence reads better than a list of its words)
    "the gateway routes each call inside your boundaries and bills what completed while every "
    "number adds up to the ledger so a quiet answer comes back word by word from one provider"
).split()
DEFAULT_TOKENS = 24
_MARK = re.compile(r"\[\[(\w+)(?:=([^\]]*))?\]\]")


def tokens(text: str) -> int:
    """A quarter of the characters, rounded up: never more than the text's bytes."""
    return (len(text) + 3) // 4


def text_of(content: Any) -> str:
    """The text of a message's content, whatever its shape."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


@dataclass(slots=True)
class Reply:
    """What will be answered, before a dialect gives it its shape. Pieces are one token each."""

    pieces: list[str]
    prompt_tokens: int
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning: list[str] = field(default_factory=list)
    tools: list[tuple[str, str]] = field(default_factory=list)
    finish: str = "stop"

    @property
    def completion_tokens(self) -> int:
        """Answer, reasoning and tool calls together."""
        calls = sum(tokens(name) + tokens(arguments) for name, arguments in self.tools)
        return len(self.pieces) + len(self.reasoning) + calls


def marks(text: str) -> dict[str, str]:
    """The ``[[name=value]]`` marks of a text."""
    return dict(_MARK.findall(text))


def words(count: int, seed: int) -> list[str]:
    """``count`` words, one token each; the same for the same seed."""
    return [(" " if index else "") + WORDS[(seed + index) % len(WORDS)] for index in range(count)]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call."""

    name: str
    schema: Any = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request wants of its answer, whatever the dialect."""

    limit: int | None = None
    tools: Sequence[Tool] = ()
    must_call: bool = False
    """Whether one of the tools has to be called."""
    as_json: bool = False
    schema: Any = None
    """What the JSON has to satisfy; ``None`` where any will do."""


def reply(prompt: str, last: str, messages: int, wishes: Wishes) -> Reply:
    """The answer to a prompt whose last user message is ``last``.

    A tool is called where the request demands it, or the message asks for it with ``[[tool=n]]``.
    """
    asked = marks(last)
    prompt_tokens = tokens(prompt) + 3 * messages
    seed = len(prompt)
    if wishes.tools and (wishes.must_call or "tool" in asked):
        tool = wishes.tools[0]
        calls = [(tool.name, _arguments(tool, last))] * int(asked.get("tool") or 1)
        return Reply([], prompt_tokens, tools=calls, finish="tool_calls")
    pieces = _json(wishes.schema) if wishes.as_json else words(_count(asked.get("tokens")), seed)
    reasoning = words(8, seed + 3) if "reason" in asked else []
    finish = "stop"
    if wishes.limit is not None and len(pieces) > wishes.limit:
        pieces, finish = pieces[: wishes.limit], "length"
    return Reply(pieces, prompt_tokens, reasoning=reasoning, finish=finish)


def _arguments(tool: Tool, last: str) -> str:
    schema = tool.schema if isinstance(tool.schema, dict) else {}
    given = example(schema, last[:40]) if schema.get("properties") else {"query": last[:40]}
    return msgspec.json.encode(given).decode()


def _json(schema: Any) -> list[str]:
    """A value of the schema as JSON, in pieces of a token each."""
    if schema is None:
        return ['{"answer"', ":", ' "', "yes", '"}']
    text = msgspec.json.encode(example(schema)).decode()
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def _count(value: str | None) -> int:
    return max(1, min(int(value), 200_000)) if value and value.isdigit() else DEFAULT_TOKENS
