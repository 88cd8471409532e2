"""Pictures as the client wants them: looked at; a link of ours, or bytes where it asked for them."""

import base64
import binascii

from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.media.dialects import Picture
from tokenhub.gateway.media.urls import checked
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Client, UpstreamError

# How a picture begins, and what it then is.
KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
)


async def deliverable(runtime: Runtime, picture: Picture, wants: str | None) -> Picture:
    """The picture in the form that was asked for; ``InvalidResult`` where it is none, or leads nowhere."""
    if picture.b64_json is not None:
        kind = _kind(_decoded(picture.b64_json))
        if wants == "url":
            url = f"data:{kind};base64,{picture.b64_json}"
            return Picture(url=url, revised_prompt=picture.revised_prompt)
        return Picture(b64_json=picture.b64_json, revised_prompt=picture.revised_prompt)
    if picture.url is None:
        raise InvalidResult("empty")
    if wants != "b64_json":
        await checked(picture.url)
        return Picture(
            url=runtime.links.picture(picture.url), revised_prompt=picture.revised_prompt
        )
    content = await _fetch(runtime, picture.url)
    _kind(content)
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(b64_json=encoded, revised_prompt=picture.revised_prompt)


async def _fetch(runtime: Runtime, url: str) -> bytes:
    place = await checked(url)
    # A client of its own: the connection to wherever this leads is kept for nobody.
    client = Client()
    try:
        response = await client.get(
            place.origin, place.path, {}, first_byte_timeout_s=runtime.timeouts.plain_s
        )
        async with response:
            if response.status != 200:
                raise UpstreamError("media_unreachable")
            return await response.read(runtime.timeouts.plain_s)
    finally:
        client.close()


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidResult("malformed") from None


def _kind(content: bytes) -> str:
    for beginning, kind in KINDS:
        if content.startswith(beginning):
            return kind
    raise InvalidResult("malformed")
