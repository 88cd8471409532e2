"""Requests for videos as clients send them: flat, in DashScope's shape, or as OpenAI's ``/v1/videos``."""

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

from routing.types import Boundaries
from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.dialects.fields import (
    ProviderOptions,
    read_object,
    take,
    take_model,
    take_routing,
)
from tokenhub.gateway.errors import InvalidRequest
from tokenhub.gateway.media.requests import BOTH, DASHSCOPE, FLAT, OPENAI, check_prompt

MAX_SECONDS = 60
SECONDS = 5
# The shorter side in pixels of what is priced, and the sides' ratios that models make.
LINES = {"720p": 720, "1080p": 1080}
RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4, "21:9": 21 / 9}
_PIXELS = re.compile(r"([0-9]{2,5})[x*]([0-9]{2,5})")
ONLY_DASHSCOPE = frozenset({DASHSCOPE})
# Of the flat shape, what DashScope has a place for.
_ITS_INPUT = frozenset({"negative_prompt", "img_url", "audio_url"})
_ITS_PARAMETERS = frozenset({"seed", "watermark", "prompt_extend"})
_HINTS = frozenset({"user", "safety_identifier"})
_MAY_BE_LEFT_OUT = frozenset({"prompt_extend"})


@dataclass(slots=True)
class VideoRequest:
    """A checked request for one video, whatever its shape was."""

    shape: str
    model: str
    prompt: str
    seconds: int
    resolution: str
    """``720p`` or ``1080p``: what is priced."""
    ratio: str
    extra: Fields
    """What else goes to a provider that speaks OpenAI's dialect."""
    input: Fields
    """What else goes into DashScope's ``input``."""
    parameters: Fields
    """What else goes into DashScope's ``parameters``."""
    dialects: frozenset[str]
    narrowed_by: str
    """What providers of some dialect cannot be told, by its name in the request."""
    options: ProviderOptions
    boundaries: Boundaries | None
    session_id: str
    capabilities: frozenset[str] = frozenset()
    stream: bool = False
    max_tokens: int | None = None
    modality: str = "video"
    conversation: bytes = field(init=False)
    input_bound: int = 0

    def __post_init__(self) -> None:
        text = self.prompt.encode("utf-8", "replace")
        self.conversation = (
            b"session:" + self.session_id.encode()
            if self.session_id
            else hashlib.blake2b(text, digest_size=16).digest()
        )

    @property
    def unit(self) -> str:
        """What a second of it is priced as."""
        return f"video_second_{self.resolution}"

    @property
    def size(self) -> str:
        """``WIDTHxHEIGHT`` of it."""
        short, ratio = LINES[self.resolution], RATIOS[self.ratio]
        wide, high = (short * ratio, short) if ratio >= 1 else (short, short / ratio)
        return f"{_even(wide)}x{_even(high)}"


def parse_video(body: bytes, session_id: str) -> VideoRequest:
    """Read a request in the flat or DashScope's shape; ``InvalidRequest`` names the field that is wrong."""
    fields = read_object(body)
    model = take_model(fields)
    options, boundaries = take_routing(fields)
    del fields["model"]
    read = _dashscope if "input" in fields else _flat
    return read(fields, model, options, boundaries, session_id)


def parse_openai(fields: Fields, session_id: str) -> VideoRequest:
    """Read a request of OpenAI's ``/v1/videos``: ``seconds`` and ``size`` instead."""
    model = take_model(fields)
    options, boundaries = take_routing(fields)
    seconds = take(fields, "seconds", int | str | None)
    if isinstance(seconds, str):
        seconds = int(seconds) if seconds.isdecimal() and len(seconds) < 4 else 0
    size = take(fields, "size", str | None)
    resolution, ratio = (None, None) if size is None else _of_size(size, "size")
    if "input_reference" in fields:
        raise InvalidRequest("A reference picture is not supported here.", param="input_reference")
    rest = {
        name: value
        for name, value in fields.items()
        if name not in ("model", "seconds", "size", "prompt")
    }
    return VideoRequest(
        shape=FLAT,
        model=model,
        prompt=check_prompt(take(fields, "prompt", str, required=True), "prompt"),
        seconds=_check_seconds(seconds, "seconds"),
        resolution=resolution or "720p",
        ratio=ratio or "9:16",  # OpenAI's own default is upright
        extra=rest,
        input={},
        parameters={},
        dialects=OPENAI if set(rest) - _HINTS else BOTH,
        narrowed_by=min(set(rest) - _HINTS, default=""),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


def _flat(
    fields: Fields,
    model: str,
    options: ProviderOptions,
    boundaries: Boundaries | None,
    session_id: str,
) -> VideoRequest:
    prompt = check_prompt(take(fields, "prompt", str, required=True), "prompt")
    seconds = _check_seconds(take(fields, "duration", int | None), "duration")
    width = take(fields, "width", int | None)
    height = take(fields, "height", int | None)
    resolution = take(fields, "resolution", str | None)
    ratio = take(fields, "ratio", str | None)
    if (width is None) != (height is None):
        raise InvalidRequest("“width” and “height” go together.", param="width")
    if width is not None and height is not None:
        if resolution is not None or ratio is not None:
            raise InvalidRequest(
                "Send “width” and “height”, or “resolution” and “ratio”.", param="resolution"
            )
        resolution, ratio = _of_pixels(width, height, "width")
    for name in ("prompt", "duration", "width", "height", "resolution", "ratio"):
        fields.pop(name, None)
    its_input = {name: value for name, value in fields.items() if name in _ITS_INPUT}
    its_parameters = {name: value for name, value in fields.items() if name in _ITS_PARAMETERS}
    others = set(fields) - set(its_input) - set(its_parameters) - _HINTS
    if others and (its_input or set(its_parameters) - _MAY_BE_LEFT_OUT):
        raise InvalidRequest(
            f"“{min(others)}” and “{min({*its_input, *its_parameters})}” go to different kinds of provider.",
            param=min(others),
        )
    beyond = its_input or set(its_parameters) - _MAY_BE_LEFT_OUT
    return VideoRequest(
        shape=FLAT,
        model=model,
        prompt=prompt,
        seconds=seconds,
        resolution=_check_resolution(resolution, "resolution"),
        ratio=_check_ratio(ratio, "ratio"),
        extra={name: fields[name] for name in others},
        input=its_input,
        parameters=its_parameters,
        dialects=OPENAI if others else ONLY_DASHSCOPE if beyond else BOTH,
        narrowed_by=min(others or beyond, default=""),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


def _dashscope(
    fields: Fields,
    model: str,
    options: ProviderOptions,
    boundaries: Boundaries | None,
    session_id: str,
) -> VideoRequest:
    given: Fields = take(fields, "input", dict[str, msgspec.Raw], required=True)
    parameters: Fields = take(fields, "parameters", dict[str, msgspec.Raw] | None) or {}
    prompt = check_prompt(take(given, "prompt", str, required=True, within="input"), "input.prompt")
    seconds = _check_seconds(
        take(parameters, "duration", int | None, within="parameters"), "parameters.duration"
    )
    resolution = take(parameters, "resolution", str | None, within="parameters")
    ratio = take(parameters, "ratio", str | None, within="parameters")
    size = take(parameters, "size", str | None, within="parameters")
    if size is not None:
        resolution, ratio = _of_size(size, "parameters.size")
    for name in ("duration", "resolution", "ratio", "size"):
        parameters.pop(name, None)
    given.pop("prompt")
    unmarked = bytes(parameters.get("watermark", msgspec.Raw(b"false"))).strip() == b"false"
    beyond = set(parameters) - _MAY_BE_LEFT_OUT - ({"watermark"} if unmarked else set())
    narrowing = [*(f"input.{name}" for name in given), *(f"parameters.{name}" for name in beyond)]
    return VideoRequest(
        shape=DASHSCOPE,
        model=model,
        prompt=prompt,
        seconds=seconds,
        resolution=_check_resolution(resolution, "parameters.resolution"),
        ratio=_check_ratio(ratio, "parameters.ratio"),
        extra={},
        input=given,
        parameters=parameters,
        dialects=ONLY_DASHSCOPE if narrowing else BOTH,
        narrowed_by=min(narrowing, default=""),
        options=options,
        boundaries=boundaries,
        session_id=session_id,
    )


def _check_seconds(seconds: int | None, param: str) -> int:
    if seconds is None:
        return SECONDS
    if not 1 <= seconds <= MAX_SECONDS:
        raise InvalidRequest(
            f"“{param}” is a whole number of seconds from 1 to {MAX_SECONDS}.", param=param
        )
    return seconds


def _check_resolution(resolution: str | None, param: str) -> str:
    found = (resolution or "720p").lower()
    if found not in LINES:
        raise InvalidRequest(f"“{param}” must be 720P or 1080P.", param=param)
    return found


def _check_ratio(ratio: str | None, param: str) -> str:
    found = ratio or "16:9"
    if found not in RATIOS:
        raise InvalidRequest(f"“{param}” must be one of {', '.join(RATIOS)}.", param=param)
    return found


def _of_size(size: str, param: str) -> tuple[str, str]:
    found = _PIXELS.fullmatch(size)
    if found is None:
        raise InvalidRequest(f"“{param}” is like 1280x720.", param=param)
    return _of_pixels(int(found[1]), int(found[2]), param)


def _of_pixels(width: int, height: int, param: str) -> tuple[str, str]:
    """What a size in pixels is priced as; only sizes that models make."""
    short = min(width, height)
    resolution = next((name for name, lines in LINES.items() if short == lines), None)
    ratio = next(
        (
            name
            for name, ratio in RATIOS.items()
            if height and abs(width / height / ratio - 1) < 0.02
        ),
        None,
    )
    if resolution is None or ratio is None:
        raise InvalidRequest(
            f"{width}x{height} is no size that is offered: the shorter side is 720 or 1080, the ratio one of"
            f" {', '.join(RATIOS)}.",
            param=param,
        )
    return resolution, ratio


def _even(length: float) -> int:
    """Encoders want even sides."""
    return round(length / 2) * 2
