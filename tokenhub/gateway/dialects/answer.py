"""An answer in neutral words: what a translation reads from one dialect and writes in another."""

import msgspec


class Text(msgspec.Struct, frozen=True):
    """What the model says."""

    text: str


class Refusal(msgspec.Struct, frozen=True):
    """What it says instead of an answer."""

    text: str


class Thinking(msgspec.Struct, frozen=True):
    """How it came to it. ``signature`` is the provider's seal, without which it does not take it back."""

    text: str
    signature: str = ""


class Redacted(msgspec.Struct, frozen=True):
    """Thinking that only the provider can read."""

    data: str


class ToolUse(msgspec.Struct, frozen=True):
    """A tool the model wants called; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


Block = Text | Refusal | Thinking | Redacted | ToolUse


class Ending(msgspec.Struct, frozen=True):
    """How an answer ended: OpenAI's word for it, and what was used in disjoint units."""

    finish: str
    units: dict[str, int]
    stop_sequence: str | None = None


class Said(msgspec.Struct, frozen=True):
    """A whole answer."""

    id: str
    blocks: list[Block]
    ending: Ending


# The events of a stream, beside whole blocks of ``Redacted``.


class TextPiece(msgspec.Struct, frozen=True):
    """More of the text."""

    text: str


class RefusalPiece(msgspec.Struct, frozen=True):
    """More of a refusal."""

    text: str


class ThinkingPiece(msgspec.Struct, frozen=True):
    """More of the thinking."""

    text: str


class Signature(msgspec.Struct, frozen=True):
    """The seal of the thinking so far; what follows is other thinking."""

    signature: str


class ToolBegan(msgspec.Struct, frozen=True):
    """A tool call begins; ``index`` counts the answer's calls from 0."""

    index: int
    id: str
    name: str


class ToolPiece(msgspec.Struct, frozen=True):
    """More of a call's arguments."""

    index: int
    arguments: str


Event = TextPiece | RefusalPiece | ThinkingPiece | Signature | Redacted | ToolBegan | ToolPiece


def openai_usage(units: dict[str, int]) -> dict[str, object]:
    """Disjoint units as clients of chat completions read them."""
    cached, written = units.get("cached_input", 0), _written(units)
    reasoning = units.get("reasoning", 0)
    prompt = units.get("input", 0) + cached + written
    completion = units.get("output", 0) + reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def anthropic_usage(units: dict[str, int]) -> dict[str, object]:
    """Disjoint units as clients of Messages read them."""
    return {
        "input_tokens": units.get("input", 0),
        "cache_creation_input_tokens": _written(units),
        "cache_read_input_tokens": units.get("cached_input", 0),
        "output_tokens": units.get("output", 0) + units.get("reasoning", 0),
    }


def responses_usage(units: dict[str, int]) -> dict[str, object]:
    """Disjoint units as clients of Responses read them."""
    cached, reasoning = units.get("cached_input", 0), units.get("reasoning", 0)
    prompt = units.get("input", 0) + cached + _written(units)
    completion = units.get("output", 0) + reasoning
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def _written(units: dict[str, int]) -> int:
    """Tokens written to the cache, for however long."""
    return units.get("cache_write", 0) + units.get("cache_write_1h", 0)
