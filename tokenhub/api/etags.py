"""Versions of what is changed by several: ``ETag`` says which one was read, ``If-Match`` which one is meant."""

import re

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER,
    description="The `ETag` that was read. If it was changed meanwhile, nothing is done and the answer is 412.",
)  # fmt: skip
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def etag(version: int) -> str:
    """The tag of a version."""
    return f'"{version}"'


def versions_meant(request: Request) -> frozenset[int] | None:
    """The versions a change is for; ``None`` for any. A tag that is none of ours is no version there ever was.

    A weak tag counts as its strong one: compression on the way makes it weak, and both name one version.
    """
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(int(version) for version in _TAG.findall(header))
