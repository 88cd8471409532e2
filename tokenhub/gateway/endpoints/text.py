"""Text in the three dialects of clients: chat completions, Messages, Responses. One way for them all."""

from collections.abc import Callable
from functools import partial

import msgspec

from tokenhub.gateway import chat
from tokenhub.gateway.call import Call
from tokenhub.gateway.chat.count import count_tokens as counted
from tokenhub.gateway.dialects import table
from tokenhub.gateway.dialects.inbound import chat as completions
from tokenhub.gateway.dialects.inbound import messages, responses
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.endpoints.begin import begin

MAX_BETA = 1_000

Parse = Callable[[bytes, str], TextRequest]


async def create_completion(call: Call) -> None:
    """``POST /v1/chat/completions``."""
    await _answer(call, completions.parse)


async def create_message(call: Call) -> None:
    """``POST /v1/messages``."""
    await _answer(call, messages.parse)


async def create_response(call: Call) -> None:
    """``POST /v1/responses``."""
    await _answer(call, responses.parse)


async def count_tokens(call: Call) -> None:
    """``POST /v1/messages/count_tokens``: the provider's own count where it has one, else an estimate."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = messages.parse(await call.read_json(), call.session_id(), needs_limit=False)
        request.id, request.beta = call.request_id, _beta(call)
        exchange = chat.begin(call.request_id, caller, secret, request)
        tokens, source = await counted(call.runtime, exchange)
        body = msgspec.json.encode({"input_tokens": tokens})
        await call.respond(200, {"x-tokenhub-count": source}, body)


async def _answer(call: Call, parse: Parse) -> None:
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = parse(await call.read_json(), call.session_id())
        request.id, request.beta = call.request_id, _beta(call)
        exchange = await begin(call, caller, secret, request)
        if request.stream:
            call.keep_alive(partial(table.fault, request))
        answer = await chat.answer(call.runtime, exchange)
        if answer.frames is None:
            await call.respond(200, answer.headers, answer.body, slot=answer.slot)
        else:
            await call.stream(answer.headers, answer.frames, lambda: exchange.slot)


def _beta(call: Call) -> str:
    """Anthropic's features by name, for providers that speak Messages too."""
    value = call.header(b"anthropic-beta")[:MAX_BETA]
    return value.decode("ascii", "ignore")
