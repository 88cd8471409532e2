"""The bytes of a result, through us: from the provider's storage, or its API where only our key opens it.

What is passed on is the kind, the length and the range, looked at first; no other header of the provider's is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from routing.credentials import secret_of
from tokenhub.gateway.call import Call
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.errors import InvalidRequest, NotFound, ServiceUnavailable
from tokenhub.gateway.media.links import LIVES_S, PictureLink
from tokenhub.gateway.media.urls import checked
from tokenhub.gateway.media.video_dialects import DIALECTS
from tokenhub.gateway.taskbook import Task
from tokenhub.gateway.upstream import Client, Origin, Response, UpstreamError

MAX_VIDEO_BYTES = 4 * 1024**3
MAX_PICTURE_BYTES = 64 * 1024**2
ANYTHING = "application/octet-stream"
VIDEOS = {name: name for name in ("video/mp4", "video/webm", "video/quicktime")}
PICTURES = {name: name for name in ("image/png", "image/jpeg", "image/webp", "image/gif")}
_UNNAMED = {ANYTHING: ANYTHING, "binary/octet-stream": ANYTHING, "": ANYTHING}
# Whatever the bytes are, a browser shows a picture or a video of it, or nothing: never a page of our origin.
HARMLESS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "content-disposition": "inline",
    "referrer-policy": "no-referrer",
    "cache-control": f"private, max-age={LIVES_S}",
}
_RANGE = re.compile(rb"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})")
_CONTENT_RANGE = re.compile(rb"bytes (\d{1,15}-\d{1,15}|\*)/(\d{1,15}|\*)")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where bytes are, what opens them, and what they may be."""

    origin: Origin
    path: str
    kinds: Mapping[str, str]
    most_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def show(call: Call) -> None:
    """``/v1/media/…``: what a link leads to. The link is the permission; it needs no key."""
    target = call.runtime.links.open(call.tail)
    if target is None:
        raise NotFound(
            "This link is no link of ours, or older than an hour. Ask for the task again for a new one."
        )
    if isinstance(target, PictureLink):
        await _from_storage(call, target.url, PICTURES, MAX_PICTURE_BYTES)
        return
    task_id = f"task_{UUID(bytes=target.task.bytes).hex}"
    await stream_video(call, await call.runtime.tasks.find(str(target.organization), task_id))


async def stream_video(call: Call, task: Task) -> None:
    """Answer with the bytes of a task that succeeded."""
    if task.status in ("pending", "running"):
        raise InvalidRequest("The video is not ready yet; ask for its status first.", param="id")
    if task.status == "failed" or not task.media_url:
        raise NotFound("There is no video: the task failed, or its result is gone.")
    if not task.media_url.endswith(f"/{task.public_id}/content"):
        await _from_storage(call, task.media_url, VIDEOS, MAX_VIDEO_BYTES)
        return
    access = call.runtime.snapshot().access.get(task.offering or 0)
    if access is None:
        raise NotFound("The provider of this video is gone, and the video with it.")
    dialect = DIALECTS[task.dialect]
    headers = dialect.headers(secret_of(access.secrets, task.credential))
    path = f"{dialect.poll_path(task.upstream_id)}/content"
    place = _Place(access.origin, path, VIDEOS, MAX_VIDEO_BYTES, headers)
    await _pass_on(call, call.runtime.client, place)


async def _from_storage(call: Call, url: str, kinds: Mapping[str, str], most_bytes: int) -> None:
    try:
        # Once more: a name may lead elsewhere by now.
        found = await checked(url)
    except InvalidResult:
        raise _gone() from None
    # A client of its own: the connection to wherever this leads is kept for nobody.
    client = Client()
    try:
        await _pass_on(call, client, _Place(found.origin, found.path, kinds, most_bytes))
    finally:
        client.close()


async def _pass_on(call: Call, client: Client, place: _Place) -> None:
    wanted = call.header(b"range")
    ranged = {"range": wanted.decode()} if _RANGE.fullmatch(wanted) else {}
    timeouts = call.runtime.timeouts
    try:
        response = await client.get(
            place.origin,
            place.path,
            {**place.headers, **ranged},
            first_byte_timeout_s=timeouts.plain_s,
            stream_up_to_bytes=place.most_bytes,
        )
    except UpstreamError:
        raise _away() from None
    async with response:
        if response.status == 416 and ranged:
            await call.respond(416, {**HARMLESS, **_range_of(response)}, b"")
            return
        if response.status >= 500 or response.status == 429:
            raise _away()
        if response.status != 200 and not (response.status == 206 and ranged):
            raise _gone()
        headers = _headers(response, place)
        await call.pass_on(headers, response.chunks(timeouts.stream_s), response.status)


def _headers(response: Response, place: _Place) -> dict[str, str]:
    """What may be said of the bytes; ``NotFound`` for what is no picture or video, or too large."""
    said = response.header(b"content-type").split(b";")[0].strip().lower().decode("latin-1")
    kind = {**_UNNAMED, **place.kinds}.get(said)
    if kind is None:
        raise _gone()
    headers = {**HARMLESS, "content-type": kind, **_range_of(response)}
    length = response.header(b"content-length")
    if length.isdigit():
        if int(length) > place.most_bytes:
            raise _gone()
        headers["content-length"] = length.decode()
    if response.status == 206 or response.header(b"accept-ranges").lower() == b"bytes":
        headers["accept-ranges"] = "bytes"
    return headers


def _range_of(response: Response) -> dict[str, str]:
    said = response.header(b"content-range")
    return {"content-range": said.decode()} if _CONTENT_RANGE.fullmatch(said) else {}


def _gone() -> NotFound:
    return NotFound("The provider does not have this result any more, or it is none.")


def _away() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The provider of this result does not answer now. Retry shortly.",
        headers={"retry-after": "5"},
    )
