"""A text request in whatever dialect it came: what routing and money need of it, and the fields as they came."""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from routing.types import Boundaries
from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import ProviderOptions, take
from tokenhub.gateway.errors import InvalidRequest

MAX_OUTPUT = 10_000_000
# What a picture or file by URL may cost in prompt tokens, beyond what its bytes in the request say.
IMAGE_TOKENS = 8_192
MESSAGE_TOKENS = 8
_NO_ID = uuid.UUID(int=0)


class TextRequest(msgspec.Struct):
    """A checked request. ``fields`` is what the client sent, in its own dialect."""

    shape: str
    """The dialect it came in."""
    fields: Fields
    chat: "Callable[[TextRequest], dict[str, Any]]"
    """The request in the words of chat completions, into which every dialect can be put.

    Beyond OpenAI's own, messages of the assistant may carry ``thinking_blocks`` (Anthropic's, with
    their signatures). Raises ``InvalidRequest`` naming what cannot be put so.
    """
    model: str
    stream: bool
    max_tokens: int | None
    capabilities: frozenset[str]
    conversation: bytes
    input_bound: int
    """No tokenizer makes more tokens of this request than this."""
    options: ProviderOptions
    boundaries: Boundaries | None
    session_id: str = ""
    max_tokens_field: str = "max_tokens"
    include_usage: bool = False
    choices: int = 1
    beta: str = ""
    """Anthropic's features that the client asked for by header."""
    id: uuid.UUID = _NO_ID

    @property
    def modality(self) -> str:
        """What the model must be for."""
        return "text"

    def limit_output(self, max_tokens: int) -> None:
        """Give the request a limit of the answer that the client did not give; the provider is told."""
        self.max_tokens = max_tokens
        if self.shape == "openai":  # these fields may go upstream as they are
            self.fields[self.max_tokens_field] = msgspec.Raw(b"%d" % max_tokens)


def take_max_tokens(fields: Fields, *names: str) -> tuple[str, int | None]:
    """The limit of the answer, and which of ``names`` it was given by."""
    for name in names:
        value = take(fields, name, int)
        if value is not None:
            check_max_tokens(name, value)
            return name, value
    return names[-1], None


def check_max_tokens(name: str, value: int | None) -> None:
    """``InvalidRequest`` for a limit of the answer that is none."""
    if value is not None and not 1 <= value <= MAX_OUTPUT:
        raise InvalidRequest(f"“{name}” must be between 1 and {MAX_OUTPUT:,}.", param=name)


def conversation_of(session_id: str, cache_key: str | None, beginning: Iterable[bytes]) -> bytes:
    """What names the conversation: the session, the client's cache key, or how it began."""
    if session_id:
        return b"session:" + session_id.encode()
    if cache_key:
        return b"cache:" + cache_key.encode()
    digest = hashlib.blake2b(digest_size=16)
    for part in beginning:
        digest.update(part)
    return digest.digest()


def count_marks(raw: bytes, *marks: bytes) -> int:
    """How often parts of some kind occur in raw JSON, at least: each mark stands for one."""
    return sum(raw.count(mark) for mark in marks)


def forget_old_thinking(messages: list[dict[str, Any]]) -> None:
    """Thinking goes back to a provider of chat completions within a chain of tool calls only.

    DeepSeek and others ask for it there and warn of it elsewhere.
    """
    last_user = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=-1)
    for number, message in enumerate(messages):
        if number < last_user or "tool_calls" not in message:
            message.pop("reasoning_content", None)
