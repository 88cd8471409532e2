"""Versions of what is changed by several: ``ETag`` says which one was read, ``If-Match`` which one is meant.

RFC 9110 §13.1, but for one thing: in ``If-Match`` a weak tag counts as its strong one. Compression on the way
makes ours weak, and both name one version.
"""

import re

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.request import Request

from tokenhub.api.problems import invalid

_EXAMPLE = '"7"'
_EXAMPLES = [OpenApiExample("a version", _EXAMPLE)]
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, examples=_EXAMPLES,
    description="The `ETag` that was read, several with commas, or `*` for any. If it was changed meanwhile, nothing"
    " is done and the answer is 412.",
)  # fmt: skip
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, examples=_EXAMPLES,
    description="The `ETag` that was read. If it is still the one, the answer is 304 without a body.",
)  # fmt: skip
ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 304], examples=_EXAMPLES,
    description="The version that this is.",
)  # fmt: skip
UNCHANGED = {304: OpenApiResponse(description="It is still what was read.")}
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
# What ``etag`` writes, and no other spelling of the number.
_VERSION = re.compile(r'"(0|[1-9][0-9]{0,17})"')


def etag(version: int) -> str:
    """The tag of a version."""
    return f'"{version}"'


def versions_meant(request: Request) -> frozenset[int] | None:
    """The versions a change is for; ``None`` for any. A tag that is none of ours is no version there ever was."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    if not _TAGS.fullmatch(header):
        raise invalid(
            "If-Match", f"Send the ETag as it was given, in its quotes: {_EXAMPLE}. Or *."
        )
    return _versions(header)


def is_known(request: Request, version: int) -> bool:
    """Whether who reads has this version already. A header that cannot be read asks for nothing."""
    header = request.headers.get("If-None-Match", "")
    if header.strip() == "*":
        return True
    return bool(_TAGS.fullmatch(header)) and version in _versions(header)


def _versions(header: str) -> frozenset[int]:
    tags = re.findall(_TAG, header)
    matches = (_VERSION.fullmatch(tag.removeprefix("W/")) for tag in tags)
    return frozenset(int(match[1]) for match in matches if match)
