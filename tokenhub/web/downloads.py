"""Files that are sent while they are read, whatever their size."""

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

LINES_AT_ONCE = 1_000


def csv_response(request: HttpRequest, lines: Iterable[str], name: str) -> StreamingHttpResponse:
    """``lines`` as a CSV file to save, never whole in memory."""
    pieces = _pieces(iter(lines))
    response = StreamingHttpResponse(
        # Under ASGI Django would read a plain iterator to its end before sending the first byte.
        _slowly(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type="text/csv; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    while piece := "".join(islice(lines, LINES_AT_ONCE)):
        yield piece


async def _slowly(pieces: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(pieces, ""))
    while piece := await following():
        yield piece
