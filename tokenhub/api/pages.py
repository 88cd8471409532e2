"""Lists a page at a time, by cursor: stable however much is added meanwhile.

A cursor names the last row that was seen, by a column that only grows or never changes; it is no offset.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tokenhub.api.fields import Answer, Number, Query
from tokenhub.api.problems import Problem

DEFAULT, MOST = 50, 100
Row = TypeVar("Row")


class PageQuery(Query):
    """Which page."""

    limit = Number(
        required=False, min_value=1, max_value=MOST, default=DEFAULT, help_text="How many at most."
    )
    cursor = serializers.CharField(
        required=False, max_length=400, help_text="The `next_cursor` of the page before."
    )


def paged(answer: type[Answer]) -> serializers.Serializer[Any]:
    """The envelope of a list of ``answer``, for the documentation."""
    name = answer.__name__.removesuffix("Serializer")
    envelope: serializers.Serializer[Any] = inline_serializer(
        f"{name}Page",
        {
            "data": answer(many=True),
            "has_more": serializers.BooleanField(),
            "next_cursor": serializers.CharField(allow_null=True),
        },
    )
    envelope.example = {"data": [answer.example], "has_more": False, "next_cursor": None}  # type: ignore[attr-defined]
    return envelope


def page(
    request: Request,
    query: dict[str, Any],
    rows: QuerySet[Any],
    answer: type[Answer],
    by: str = "-id",
) -> Response:
    """A page of ``rows``, in the order of the unique column ``by``; newest first with a minus."""
    column, descending = by.removeprefix("-"), by.startswith("-")
    if query.get("cursor"):
        try:
            last = rows.model._meta.get_field(column).to_python(_read(query["cursor"], column))
        except (ValidationError, FieldDoesNotExist):
            raise _invalid() from None
        rows = rows.filter(**{f"{column}__{'lt' if descending else 'gt'}": last})
    limit: int = query["limit"]
    found = list(rows.order_by(by)[: limit + 1])
    following = getattr(found[limit - 1], column) if len(found) > limit else None
    return _envelope(request, found[:limit], answer, column, following)


def page_of(
    request: Request,
    query: dict[str, Any],
    rows: Sequence[Row],
    answer: type[Answer],
    key: Callable[[Row], str],
) -> Response:
    """The same of a short list in memory; ``key`` is unique and the list is put in its order."""
    ordered = sorted(rows, key=key)
    if query.get("cursor"):
        last = _read(query["cursor"], "key")
        ordered = [row for row in ordered if key(row) > last]
    limit: int = query["limit"]
    following = key(ordered[limit - 1]) if len(ordered) > limit else None
    return _envelope(request, ordered[:limit], answer, "key", following)


def _envelope(
    request: Request, rows: Sequence[Any], answer: type[Answer], column: str, following: Any
) -> Response:
    cursor = None if following is None else _write(column, following)
    body = {
        "data": answer(rows, many=True, context={"request": request}).data,
        "has_more": cursor is not None,
        "next_cursor": cursor,
    }
    headers = {}
    if cursor is not None:
        parameters = urlencode({**request.GET.dict(), "cursor": cursor})
        headers["Link"] = f'<{settings.PUBLIC_URL}{request.path}?{parameters}>; rel="next"'
    return Response(body, headers=headers)


def _write(column: str, value: Any) -> str:
    return urlsafe_b64encode(f"{column}:{value}".encode()).decode().rstrip("=")


def _read(cursor: str, column: str) -> str:
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise _invalid() from None
    name, _, value = text.partition(":")
    if name != column or not value or "\0" in value:
        raise _invalid()
    return value


def _invalid() -> Problem:
    return Problem(
        400, "invalid_cursor", "Use the next_cursor of the page before, as it was given."
    )
