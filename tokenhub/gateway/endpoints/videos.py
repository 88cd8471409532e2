"""``/v1/video/generations``, ``/v1/video/tasks/{id}``, and ``/v1/videos`` for OpenAI's clients."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from billing.money import usd_from_nano
from tokenhub.gateway.call import Call
from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import read_object
from tokenhub.gateway.endpoints.begin import begin
from tokenhub.gateway.errors import InvalidRequest
from tokenhub.gateway.media import shapes, videos
from tokenhub.gateway.media.content import stream_video
from tokenhub.gateway.media.video_requests import VideoRequest, parse_openai, parse_video
from tokenhub.gateway.taskbook import Task

MAX_FORM_BYTES = 1024 * 1024
CONTENT = "/content"


async def generate(call: Call) -> None:
    """Begin a video."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = parse_video(await call.read_json(), call.session_id())
        await _create(
            call, caller, secret, request, lambda task: shapes.generation(task, fresh=True)
        )


async def create(call: Call) -> None:
    """Begin a video, for a client of OpenAI's."""
    caller, secret = await call.authenticate(count=True)
    with call.under_way(caller):
        request = parse_openai(await _fields(call), call.session_id())
        await _create(call, caller, secret, request, shapes.video)


async def task(call: Call) -> None:
    """How a video stands. The provider is not asked: whoever follows tasks does that."""
    caller, _ = await call.authenticate(count=False)
    found = await call.runtime.tasks.find(caller.organization_id, call.tail)
    link = ""
    if found.media_url:
        link = call.runtime.links.video(found.id, UUID(caller.organization_id))
    await _tell(call, found, shapes.generation(found, link=link))


async def show(call: Call) -> None:
    """The same for a client of OpenAI's, and the bytes below ``/content``."""
    caller, _ = await call.authenticate(count=False)
    found = await call.runtime.tasks.find(caller.organization_id, call.tail.removesuffix(CONTENT))
    if call.tail.endswith(CONTENT):
        await stream_video(call, found)
    else:
        await _tell(call, found, shapes.video(found))


async def _create(
    call: Call,
    caller: Any,
    secret: str,
    request: VideoRequest,
    shape: Callable[[Task], dict[str, Any]],
) -> None:
    exchange = await begin(call, caller, secret, request)
    headers = await videos.create(call.runtime, exchange)
    await call.respond(200, headers, msgspec.json.encode(shape(videos.created(exchange))))


async def _tell(call: Call, found: Task, answer: dict[str, Any]) -> None:
    headers = {}
    if found.provider:
        headers = {
            "x-tokenhub-provider": found.provider,
            "x-tokenhub-region": found.region,
            "x-tokenhub-cost-usd": usd_from_nano(found.total_nano),
        }
    await call.respond(200, headers, msgspec.json.encode(answer))


async def _fields(call: Call) -> Fields:
    """OpenAI's own client sends a form here, also without a file."""
    content_type = call.header(b"content-type")
    if not content_type.lower().startswith(b"multipart/form-data"):
        return read_object(await call.read_json())
    with await call.read_form(MAX_FORM_BYTES) as form:
        if form.files:
            raise InvalidRequest(
                "A reference picture is not supported here.", param=form.files[0].name
            )
        return {
            name: msgspec.Raw(text.encode() if name == "provider" else msgspec.json.encode(text))
            for name, text in form.fields.items()
        }
