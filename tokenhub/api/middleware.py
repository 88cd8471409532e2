"""What holds for every answer below ``/api/v1``, whoever made it: a request id, and errors as problems."""

import re

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import is_valid_path
from django.utils.deprecation import MiddlewareMixin

from tokenhub.api import problems

PREFIX = "/api/v1/"
_NUL = re.compile(r"%00", re.IGNORECASE)


class ApiMiddleware(MiddlewareMixin):
    """First of all: no other middleware's answer leaves without it."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Name the request; take addresses without their last slash; refuse what no text has in it."""
        if not request.path_info.startswith(PREFIX):
            return None
        request_id = problems.name_request(request)
        # What the log binds is what the customer is told; their own idea of it is not trusted.
        request.META["HTTP_X_REQUEST_ID"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if "\0" in request.path_info or _NUL.search(request.META.get("QUERY_STRING", "")):
            return problems.response(
                problems.Problem(400, "invalid_request", "There is a NUL in the address."), request
            )
        if not request.path_info.endswith("/") and not is_valid_path(request.path_info):
            request.path_info += "/"
            request.path += "/"
        try:
            _measure(request)
        except RequestDataTooBig:
            return problems.response(problems.of_status(413), request)
        return None

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Make a page of Django's a problem, and name the request in the answer."""
        request_id = getattr(request, "request_id", None)
        if request_id is None:
            return response
        status = response.status_code
        if status >= 400 and response.get("Content-Type", "") != problems.MEDIA_TYPE:
            response = problems.response(problems.of_status(status), request)
        response["X-Request-Id"] = request_id
        return response


def too_large(path: str) -> HttpResponse:
    """The answer to a body that the server did not read to its end."""
    request = HttpRequest()
    request.path = path
    request_id = problems.name_request(request)
    answer = problems.response(problems.of_status(413), request)
    answer["X-Request-Id"] = request_id
    return answer


def _measure(request: HttpRequest) -> None:
    """Say how long a body is that was sent in chunks: REST framework takes one without a length for none."""
    if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
        request.META["CONTENT_LENGTH"] = str(len(request.body))
