"""Each event of the log says which request, person and organization it belongs to; never a credential.

``RequestLog`` binds that for pages, ``tokenhub.gateway.app`` for calls, ``django_structlog`` for jobs.
"""

import time
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from tokenhub import metrics, tracing

REQUEST_ID = "x-request-id"


class RequestLog(RequestMiddleware):
    """Logs each page with its route; a path has tokens of invitations in it, and a query anything."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """The method, and the pattern of the address rather than the address."""
        match = request.resolver_match
        return f"{request.method} {match.route if match is not None else '(not resolved)'}"

    def prepare(self, request: HttpRequest) -> None:
        request._began_s = time.monotonic()  # type: ignore[attr-defined]
        super().prepare(request)
        organization = getattr(request, "organization", None)
        if organization is not None:
            structlog.contextvars.bind_contextvars(organization=organization.id)

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Who asks, if that can be known. A database that is away is waited for once, and is the page's to tell."""
        if hasattr(request, "_unknown"):
            return
        try:
            RequestMiddleware.bind_user_id(request)
        except (OperationalError, InterfaceError):
            request._unknown = True  # type: ignore[attr-defined]

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        organization = getattr(request, "organization", None)
        if organization is not None:
            structlog.contextvars.bind_contextvars(organization=organization.id)
        bound: dict[str, Any] = structlog.contextvars.get_contextvars()
        response.headers.setdefault(REQUEST_ID, str(bound.get("request_id", "")))
        took_s = time.monotonic() - request._began_s  # type: ignore[attr-defined]
        metrics.page_answered(str(request.method), response.status_code, took_s)
        told = {"http.response.status_code": response.status_code, **bound}
        tracing.record(self.format_request(request), took_s, told)
        super().handle_response(request, response)
