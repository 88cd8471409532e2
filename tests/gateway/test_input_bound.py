"""What a prompt can cost is known before it goes anywhere, however its attachments are written and wherever they are."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.live import Gateway, marker
from tokenhub.gateway.dialects.inbound import chat, messages, responses
from tokenhub.gateway.dialects.request import FILE_TOKENS, IMAGE_TOKENS, TextRequest
from tokenhub.gateway.errors import GatewayError

USD = 1_000_000_000
URL = "https://example.com/a"
Parse = Callable[[bytes, str], TextRequest]


def escaped(body: bytes) -> bytes:
    """The same JSON with every ASCII letter written as an escape."""
    said = json.loads(body)

    def spell(text: str) -> str:
        return "".join(f"\\u{ord(letter):04x}" if letter.isalpha() else letter for letter in text)

    def write(value: Any) -> str:
        if isinstance(value, dict):
            # The names of the request itself are not what is tried here.
            return "{" + ",".join(f"{json.dumps(k)}:{write(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(write, value)) + "]"
        return f'"{spell(value)}"' if isinstance(value, str) else json.dumps(value)

    return write(said).encode()


def of_chat(*parts: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": [*parts]}]}).encode()


def of_messages(*blocks: Any) -> bytes:
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [*blocks]}]}
    return json.dumps(asked).encode()


def of_responses(*parts: Any) -> bytes:
    return json.dumps({"model": "m", "input": [{"role": "user", "content": [*parts]}]}).encode()


IMAGE = {"type": "image", "source": {"type": "url", "url": URL}}
PDF = {"type": "document", "source": {"type": "url", "url": URL}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}
NESTED = {"type": "document", "source": {"type": "content", "content": [IMAGE]}}
SAID = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}}  # fmt: skip
INPUT_FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}  # fmt: skip
ATTACHED: list[tuple[Parse, bytes, int, bool]] = [
    (chat.parse, of_chat({"type": "image_url", "image_url": {"url": URL}}), IMAGE_TOKENS, True),
    (chat.parse, of_chat(FILE), FILE_TOKENS, False),
    (messages.parse, of_messages(IMAGE), IMAGE_TOKENS, True),
    (messages.parse, of_messages(RESULT), IMAGE_TOKENS, True),
    (messages.parse, of_messages(NESTED), IMAGE_TOKENS, True),
    (messages.parse, of_messages(PDF), FILE_TOKENS, False),
    (messages.parse, of_messages(SAID), 0, False),
    (responses.parse, of_responses({"type": "input_image", "image_url": URL}), IMAGE_TOKENS, True),
    (responses.parse, of_responses(INPUT_FILE), FILE_TOKENS, False),
]


@pytest.mark.parametrize("write", [bytes, escaped])
@pytest.mark.parametrize(("parse", "body", "tokens", "vision"), ATTACHED)
def test_what_is_attached_counts_however_it_is_written(
    parse: Parse, body: bytes, tokens: int, vision: bool, write: Callable[[bytes], bytes]
) -> None:
    written = write(body)

    request = parse(written, "")

    assert tokens + len(written) - 50 <= request.input_bound <= tokens + len(written)
    assert ("vision" in request.capabilities) is vision


def test_what_is_nested_is_read_a_few_times_at_most() -> None:
    block: Any = {"type": "text", "text": "x"}
    for _ in range(40):
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}

    with pytest.raises(GatewayError) as refused:
        messages.parse(of_messages(block), "")

    assert refused.value.param == "messages[0].content" + "[0].content" * 4


@pytest.mark.parametrize("parse", [chat.parse, messages.parse])
def test_what_is_not_known_counts_by_its_bytes(parse: Parse) -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x", "of": "y" * 5_000}]}  # fmt: skip

    assert parse(json.dumps({**asked, "documents": ["x" * 50_000]}).encode(), "").input_bound > 55_000  # fmt: skip


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "video_url", "video_url": {"url": URL}}, "messages[0].content[0].type"),
        ({"type": "input_audio", "input_audio": {"data": URL}}, "messages[0].content[0].type"),
        ({"image_url": {"url": URL}}, "messages[0].content"),
        ("text", "messages[0].content"),
        ({"type": "file", "file": {"file_id": "file_1"}}, "messages[0].content[0].file.file_id"),
    ],
)
def test_what_no_price_covers_is_refused_by_its_place(part: Any, param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        chat.parse(of_chat(part), "")

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"web_search_options": {"search_context_size": "high"}}, "web_search_options"),
        ({"enable_search": True}, "enable_search"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search", "web_search": {"enable": True}}]}, "tools[0].type"),
        ({"provider": {"only": ["deepinfra", "\x00"]}}, "provider.only"),
        ({"provider": {"ignore": ["x" * 300]}}, "provider.ignore"),
        ({"provider": {"regions": ["eu"] * 1_000}}, "provider.regions"),
        ({"provider": {"order": ["a\nb"]}}, "provider.order"),
    ],
)
def test_what_costs_beyond_the_price_list_or_floods_the_record_goes_nowhere(
    gateway: Gateway, fields: dict[str, Any], param: str
) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret
    mark = marker()

    refused = gateway.chat(secret, text=f"[[id={mark}]]", **fields)

    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == param
    assert gateway.providers.calls(marker=mark) == []


def test_what_does_not_ask_for_it_passes(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(credit_nano=USD)).secret

    body = b"""{"model": "deepseek-v3.2", "modalities": [ "text" ], "enable_search": false, "audio": null, "plugins": [ ],
                "store": false, "web_search_options": { }, "messages": [{"role": "user", "content": "Hello"}]}"""
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}

    served = gateway.http.post(f"{gateway.url}/v1/chat/completions", headers=headers, content=body)

    assert served.status_code == 200, served.text
