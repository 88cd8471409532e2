"""What a page says while the database does not answer: 503, and that it is worth trying again."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import server_error

RETRY_AFTER_S = "5"


class Outage(MiddlewareMixin):
    """Answers for a view that did not reach the database, whether or not errors are shown in full."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """None leaves every other error to Django."""
        return _away() if isinstance(exception, OperationalError | InterfaceError) else None


def failed(request: HttpRequest) -> HttpResponse:
    """What nobody caught: of the database, where a middleware needed it, or a fault of ours."""
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return _away()
    return server_error(request)


def _away() -> HttpResponse:
    # Without the request: what a page's frame shows is in the database.
    headers = {"Retry-After": RETRY_AFTER_S, "Cache-Control": "no-store"}
    return HttpResponse(render_to_string("503.html"), status=503, headers=headers)
