"""Videos in the dialects of providers: how one is begun, and what is said of it until it ends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from tokenhub.gateway.dialects.base import Fields, InvalidResult
from tokenhub.gateway.media.video_requests import VideoRequest

# What stands in a path as it is, and leads nowhere else in it.
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
MAX_WORDS = 300
# The worst that a number of a provider is believed to be.
MAX_SECONDS = 36_000


@dataclass(frozen=True, slots=True)
class Progress:
    """What a provider says of a video."""

    status: str
    """``pending``, ``running``, ``succeeded`` or ``failed``."""
    url: str = ""
    """Where a video is that succeeded; empty where only the provider's own key opens it."""
    ours: bool = False
    """Whether the video is to be had through us only."""
    seconds: int | None = None
    """How long it is, where it says so."""
    resolution: str | None = None
    words: str = ""
    """Why it failed, in the provider's words."""


class VideoDialect(Protocol):
    """What both kinds of provider are asked by."""

    def path(self) -> str:
        """Where a video is begun, after the base URL."""

    def poll_path(self, upstream_id: str) -> str:
        """Where it is asked about."""

    def headers(self, credential: str) -> Mapping[str, str]:
        """How the credential is presented."""

    def create_headers(self) -> Mapping[str, str]:
        """What else a creation needs."""

    def body(self, request: VideoRequest, upstream_model: str) -> bytes:
        """The request to begin one."""

    def begun(self, body: bytes) -> str:
        """The provider's name for what it began; ``InvalidResult`` where it has none."""

    def progress(self, body: bytes) -> Progress:
        """How it stands; ``InvalidResult`` where that is not to be understood."""


class _Output(msgspec.Struct):
    task_id: str = ""
    task_status: str = ""
    video_url: str | None = None
    code: str | None = None
    message: str | None = None


class _Answer(msgspec.Struct):
    output: _Output = msgspec.field(default_factory=_Output)
    usage: dict[str, Any] | None = None


_DASHSCOPE_STATUS = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUSPENDED": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
    "UNKNOWN": "failed",
}
_answer = msgspec.json.Decoder(_Answer)


class DashScope:
    """``POST …/services/aigc/video-generation/video-synthesis``, then ``GET …/tasks/{id}``."""

    def path(self) -> str:
        return "/services/aigc/video-generation/video-synthesis"

    def poll_path(self, upstream_id: str) -> str:
        return f"/tasks/{upstream_id}"

    def headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def create_headers(self) -> Mapping[str, str]:
        return {"x-dashscope-async": "enable"}

    def body(self, request: VideoRequest, upstream_model: str) -> bytes:
        parameters: Fields = {
            **request.parameters,
            "resolution": _raw(request.resolution.upper()),
            "ratio": _raw(request.ratio),
            "duration": _raw(request.seconds),
        }
        return msgspec.json.encode(
            {
                "model": upstream_model,
                "input": {**request.input, "prompt": request.prompt},
                "parameters": parameters,
            }
        )

    def begun(self, body: bytes) -> str:
        return _named(_decode(_answer, body).output.task_id)

    def progress(self, body: bytes) -> Progress:
        answer: _Answer = _decode(_answer, body)
        output, usage = answer.output, answer.usage or {}
        status = _DASHSCOPE_STATUS.get(output.task_status)
        if status is None:
            raise InvalidResult("malformed")
        lines = _count(usage.get("SR"))
        return Progress(
            status=status,
            url=output.video_url or "",
            seconds=_count(usage.get("output_video_duration", usage.get("duration"))),
            resolution=f"{lines}p" if lines else None,
            words=_words(output.message),
        )


class _Error(msgspec.Struct):
    message: str | None = None


class _Video(msgspec.Struct):
    id: str = ""
    status: str = ""
    seconds: int | str | None = None
    error: _Error | None = None


_OPENAI_STATUS = {
    "queued": "pending",
    "in_progress": "running",
    "completed": "succeeded",
    "failed": "failed",
}
_video = msgspec.json.Decoder(_Video)


class OpenAI:
    """``POST …/videos``, then ``GET …/videos/{id}``; the bytes are at ``…/content``, for its own key."""

    def path(self) -> str:
        return "/videos"

    def poll_path(self, upstream_id: str) -> str:
        return f"/videos/{upstream_id}"

    def headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def create_headers(self) -> Mapping[str, str]:
        return {}

    def body(self, request: VideoRequest, upstream_model: str) -> bytes:
        return msgspec.json.encode(
            {
                **request.extra,
                "model": upstream_model,
                "prompt": request.prompt,
                "seconds": str(request.seconds),
                "size": request.size,
            }
        )

    def begun(self, body: bytes) -> str:
        return _named(_decode(_video, body).id)

    def progress(self, body: bytes) -> Progress:
        video: _Video = _decode(_video, body)
        status = _OPENAI_STATUS.get(video.status)
        if status is None:
            raise InvalidResult("malformed")
        return Progress(
            status=status,
            ours=True,
            seconds=_count(video.seconds),
            words=_words(video.error.message if video.error else None),
        )


DIALECTS: dict[str, VideoDialect] = {"openai": OpenAI(), "dashscope": DashScope()}


def _named(upstream_id: str) -> str:
    """An id that can stand in a path."""
    if ID.fullmatch(upstream_id) is None:
        raise InvalidResult("malformed" if upstream_id else "empty")
    return upstream_id


def _count(value: object) -> int | None:
    """A whole number of something, where it is one; a begun second counts as none."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 8:
        value = int(value)
    if isinstance(value, float) and value == value and abs(value) < MAX_SECONDS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SECONDS:
        return None
    return value


def _words(message: str | None) -> str:
    return " ".join((message or "").replace("\x00", "").split())[:MAX_WORDS]


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResult("malformed") from None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
