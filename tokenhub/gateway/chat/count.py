"""Count the tokens of a prompt before it is sent: free, and nothing of it is put on record."""

import msgspec

from tokenhub.gateway.chat.decide import decide_route
from tokenhub.gateway.chat.exchange import Exchange
from tokenhub.gateway.chat.provider import check_status
from tokenhub.gateway.credentials import with_credential
from tokenhub.gateway.dialects.request import IMAGE_TOKENS, TextRequest
from tokenhub.gateway.dialects.upstream import anthropic
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response, UpstreamError

PATH = anthropic.PATH + "/count_tokens"
# What an API of Anthropic's counts.
COUNTED = ("messages", "system", "tools", "tool_choice", "thinking")
TIMEOUT_S = 10.0


class _Count(msgspec.Struct):
    input_tokens: int


async def count_tokens(runtime: Runtime, exchange: Exchange[TextRequest]) -> tuple[int, str]:
    """The tokens, and whether that is the ``provider``'s own count or an ``estimate``.

    Only a provider that the request itself could go to is asked.
    """
    request = exchange.request
    candidates = decide_route(runtime, exchange, cost_nano=lambda *_: 0)
    for candidate in candidates:
        offering = candidate.offering
        if offering.dialect != "anthropic":
            continue
        asked = {name: request.fields[name] for name in COUNTED if name in request.fields}
        asked["model"] = msgspec.Raw(msgspec.json.encode(offering.upstream_model))
        question = msgspec.json.encode(asked)

        async def ask(access: Access, credential: str, question: bytes = question) -> Response:
            headers = dict(anthropic.headers(credential))
            if request.beta:
                headers["anthropic-beta"] = request.beta
            return await runtime.client.post(
                access.origin, PATH, headers, question, first_byte_timeout_s=TIMEOUT_S
            )

        try:
            response = await with_credential(runtime, offering, ask)
            async with response:
                await check_status(runtime, response, offering)
                body = await response.read(TIMEOUT_S)
            return msgspec.json.decode(body, type=_Count).input_tokens, "provider"
        except (UpstreamError, msgspec.DecodeError):
            continue
    return estimate(request), "estimate"


def estimate(request: TextRequest) -> int:
    """About the tokens of a prompt: four letters of a Latin script make one, a letter of others is one.

    Pictures count as what a large one costs, whatever their bytes.
    """
    latin = others = pictures = 0
    waiting: list[object] = [
        msgspec.json.decode(request.fields[name]) for name in COUNTED if name in request.fields
    ]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            few = len(value.encode()) - len(value)
            others += min(few, len(value))
            latin += len(value) - min(few, len(value))
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if value.get("type") in ("image", "document"):
                pictures += 1
                continue
            waiting += [part for name, part in value.items() if name not in ("type", "role")]
            latin += 12
    return -(-latin // 4) + others + pictures * IMAGE_TOKENS // 4 + 3
