"""``POST /v1/images/generations`` and ``/v1/images/edits``."""

from tokenhub.gateway.call import Call
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.endpoints.begin import begin
from tokenhub.gateway.media import images
from tokenhub.gateway.media.forms import MAX_UPLOAD_BYTES
from tokenhub.gateway.media.requests import ImageRequest, parse_edit, parse_images


async def generate(call: Call) -> None:
    """Make pictures of a prompt."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = parse_images(await call.read_json(), call.session_id())
        await _answer(call, caller, secret, request)


async def edit(call: Call) -> None:
    """Make pictures of pictures, sent as a form."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller), await call.read_form(MAX_UPLOAD_BYTES) as form:
        await _answer(call, caller, secret, parse_edit(form, call.session_id()))


async def _answer(call: Call, caller: Caller, secret: str, request: ImageRequest) -> None:
    exchange = await begin(call, caller, secret, request)
    answer = await images.answer(call.runtime, exchange)
    await call.respond(200, answer.headers, answer.body, slot=answer.slot)
