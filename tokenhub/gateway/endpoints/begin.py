"""Where every call of a model begins: the first of its ``Idempotency-Key``, if it has one."""

from tokenhub.gateway import chat
from tokenhub.gateway.call import Call
from tokenhub.gateway.chat.exchange import AnyRequest, Exchange
from tokenhub.gateway.directory import Caller


async def begin(
    call: Call, caller: Caller, secret: str, request: AnyRequest
) -> Exchange[AnyRequest]:
    """The request on its way; nothing of it has been sent to anybody before."""
    claimed = await call.claim(caller, secret)
    exchange = chat.begin(call.request_id, caller, secret, request)
    exchange.claimed = claimed
    return exchange
