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
# What these may cost in prompt tokens beyond what their bytes in the request say. Of a PDF providers read up to
# a hundred pages, each as its text and as a picture (Anthropic's and OpenAI's guides to PDFs: up to 3,000 a page).
IMAGE_TOKENS = 8_192
FILE_TOKENS = 300_000
TEMPLATE_TOKENS = 16
_UNREAD = frozenset(
    {"model", "provider", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens",
     "temperature", "top_p", "top_k", "n", "seed", "stop", "user", "metadata", "prompt_cache_key", "tool_choice"}
)  # fmt: skip
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
    narrowed_by: str = ""

    @property
    def modality(self) -> str:
        """What the model must be for."""
        return "text"

    def limit_output(self, max_tokens: int | None) -> None:
        """Give the request a limit of the answer that the client did not give; the provider is told."""
        self.max_tokens = max_tokens
        if self.shape != "openai":
            return
        # These fields may go upstream as they are.
        self.fields.pop(self.max_tokens_field, None)
        if max_tokens is not None:
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


def begins_with(raw: msgspec.Raw) -> bytes:
    """The first byte of JSON, which says what kind it is of."""
    return bytes(memoryview(raw)[:1])


def bound_of(fields: Fields, *, pictures: int, files: int) -> int:
    """No tokenizer makes more tokens of a request than this.

    Of text none makes more than it has bytes, and a message has more bytes around it than a model's template has
    tokens. All fields count but those that no model reads: a provider may read what is not known here. What is only
    referred to counts as the most that it may be.
    """
    text = sum([memoryview(raw).nbytes for name, raw in fields.items() if name not in _UNREAD])
    return TEMPLATE_TOKENS + text + IMAGE_TOKENS * pictures + FILE_TOKENS * files


def forget_old_thinking(messages: list[dict[str, Any]]) -> None:
    """Thinking goes back to a provider of chat completions within a chain of tool calls only.

    DeepSeek and others ask for it there and warn of it elsewhere.
    """
    last_user = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=-1)
    for number, message in enumerate(messages):
        if number < last_user or "tool_calls" not in message:
            message.pop("reasoning_content", None)
