"""``POST /v1/embeddings``."""

from tokenhub.gateway import embeddings
from tokenhub.gateway.call import Call
from tokenhub.gateway.endpoints.begin import begin


async def create(call: Call) -> None:
    """Embed texts."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = embeddings.parse(await call.read_json(), call.session_id())
        exchange = await begin(call, caller, secret, request)
        answer = await embeddings.answer(call.runtime, exchange)
        await call.respond(200, answer.headers, answer.body, slot=answer.slot)
