"""A call as it arrived, and what can be read off it whatever its dialect."""

import re
from typing import Any

import msgspec

MARKER = re.compile(rb"\[\[id=([^\]]{1,80})\]\]")
FILE = re.compile(rb'name="image(?:\[\])?"; filename=')
_MODEL = re.compile(rb'name="model"\r\n\r\n([^\r]+)')
_FIELD = re.compile(rb'name="([^"]+)"\r\n\r\n([^\r]*)\r\n')


class Call(msgspec.Struct):
    """One call that arrived, as ``GET /_control/calls`` lists it."""

    id: str
    provider: str
    region: str
    model: str
    path: str
    bytes_received: int
    request_id: str | None
    marker: str | None
    created_at: float
    status: int = 0
    stream: bool = False
    usage: Any = None
    completed: bool = False


def credential(headers: dict[bytes, bytes]) -> str:
    """The credential that was presented."""
    given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    return (given or headers.get(b"x-api-key", b"")).decode("latin-1")


def task_of(route: str) -> str:
    """The task a poll is about."""
    for prefix in ("/api/v1/tasks/", "/v1/videos/"):
        if route.startswith(prefix):
            return route.removeprefix(prefix).removesuffix("/content")
    return ""


def form_of(body: bytes) -> dict[str, Any]:
    """The plain fields of a form."""
    return {name.decode(): value.decode("utf-8", "replace") for name, value in _FIELD.findall(body)}


class _Named(msgspec.Struct):
    model: str = ""


_named = msgspec.json.Decoder(_Named)


def model_of(body: bytes, headers: dict[bytes, bytes]) -> str:
    """The model that is asked, or empty."""
    if headers.get(b"content-type", b"").startswith(b"multipart/"):
        found = _MODEL.search(body)
        return found.group(1).decode("utf-8", "replace") if found else ""
    try:
        return _named.decode(body).model
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
