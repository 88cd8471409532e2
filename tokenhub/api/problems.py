"""Errors as ``application/problem+json`` (RFC 9457): one place that turns whatever went wrong into a problem."""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions

from accounts.errors import AccountError, CannotClose, InvalidName, InvitationUnusable
from accounts.ids import uuid7
from accounts.webhooks.errors import InvalidEndpoint
from billing.errors import (
    BillingError,
    BudgetChanged,
    InsufficientBalance,
    InvalidAmount,
    InvalidBudget,
    PaymentRefused,
    PaymentsAway,
)
from keys.errors import ApiKeyError, InvalidKeyLimits, StrongerThanItsMaker
from routing.errors import (
    InvalidPreferences,
    PlanRequired,
    PreferencesChanged,
    RoutingError,
    UnknownModel,
)
from tokenhub.web.contact import TooMany

MEDIA_TYPE = "application/problem+json"
DOCUMENTED_AT = "/docs/rest-api/"
# An answer is not many times what was sent: so many errors are named, each in so many characters.
MOST_ERRORS, MAX_MESSAGE = 100, 300

# What each code is called; each is explained on the documentation's page, which a test compares.
TITLES = {
    "invalid_request": "The request cannot be read",
    "invalid_cursor": "The cursor is none of this list",
    "organization_required": "Say which organization is meant",
    "invalid_api_key": "The key is missing or not valid",
    "payment_refused": "The payment was refused",
    "insufficient_balance": "The balance does not suffice",
    "insufficient_scope": "The key may not do this",
    "budget_given_out": "The management key has no such budget left",
    "insufficient_role": "The role may not do this",
    "address_not_allowed": "The key may not be used from here",
    "reauthentication_required": "Sign in again",
    "csrf_failed": "The request did not come from our own pages",
    "organization_suspended": "The organization is suspended",
    "plan_required": "The plan does not include this",
    "not_allowed": "This is not allowed",
    "not_found": "There is no such thing",
    "model_not_found": "There is no such model",
    "method_not_allowed": "The method is not allowed",
    "not_acceptable": "It cannot be had in that format",
    "conflict": "It cannot be done as things stand",
    "idempotency_in_progress": "The first request is under way",
    "secret_not_replayable": "A secret is shown once",
    "precondition_failed": "It was changed meanwhile",
    "request_too_large": "The body is too large",
    "unsupported_media_type": "The body is not plain JSON",
    "validation_failed": "Some fields are not valid",
    "idempotency_key_reused": "The idempotency key is in use",
    "rate_limit_exceeded": "Too many requests",
    "internal_error": "Something went wrong on our side",
    "payments_away": "The payment service does not answer",
    "service_unavailable": "The service is not available",
}
_BY_STATUS = {
    400: "invalid_request", 401: "invalid_api_key", 402: "payment_refused", 403: "insufficient_scope",
    404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 409: "conflict",
    412: "precondition_failed", 413: "request_too_large", 415: "unsupported_media_type",
    422: "idempotency_key_reused", 429: "rate_limit_exceeded", 503: "service_unavailable",
}  # fmt: skip
_SENTENCES = {
    404: "There is no such address.",
    405: "The method is not allowed here.",
    400: "The request cannot be read.",
    403: "This is not allowed.",
}


class Problem(exceptions.APIException):
    """An error with its status, its code and the sentence to act on; ``more`` are further members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.more = more


def invalid(field: str, message: str, code: str = "invalid") -> Problem:
    """A field, or a parameter of the query, that is not valid."""
    return Problem(
        400, "validation_failed", message, errors=[{"field": field, "code": code, "message": message}]
    )  # fmt: skip


def not_found(what: str) -> Problem:
    """Nothing of that name in this organization; the same for what is somebody else's."""
    return Problem(404, "not_found", f"There is no such {what}.")


def name_request(request: HttpRequest) -> str:
    """Give a request the id that its answer has."""
    request_id = f"req_{uuid7().hex}"
    request.request_id = request_id  # type: ignore[attr-defined]
    return request_id


def handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler: the problem's response, or ``None`` for what nobody expected."""
    problem = as_problem(error)
    if problem is None:
        return None
    return response(problem, context["request"])


def as_problem(error: Exception) -> Problem | None:
    """What went wrong, as a problem; ``None`` for what nobody expected."""
    match error:
        case Problem():
            return error
        case exceptions.ValidationError():
            found = list(islice(_flat(error.get_full_details()), MOST_ERRORS))
            detail = found[0]["message"] if len(found) == 1 else TITLES["validation_failed"] + "."
            return Problem(400, "validation_failed", detail, errors=found)
        case exceptions.UnsupportedMediaType():
            return Problem(415, "unsupported_media_type", "Send the body as application/json.")
        case exceptions.Throttled():
            return _of_rest(error, wait_s=getattr(error, "wait", None))
        case exceptions.APIException():
            return _of_rest(error)
        case Http404():
            return Problem(404, "not_found", str(error) or _SENTENCES[404])
        case DjangoPermissionDenied():
            return Problem(403, "not_allowed", str(error) or _SENTENCES[403])
        case AccountError() | ApiKeyError() | RoutingError() | BillingError() | TooMany():
            return _of_domain(error)
        case OperationalError() | InterfaceError():
            return Problem(
                503, "service_unavailable", "The database does not answer. Try again shortly.",
                headers={"Retry-After": "2"},
            )  # fmt: skip
    return None


def response(problem: Problem, request: HttpRequest) -> HttpResponse:
    """The HTTP response of a problem."""
    body = {
        "type": f"{settings.PUBLIC_URL}{DOCUMENTED_AT}#{problem.code}",
        "title": TITLES[problem.code],
        "status": problem.status_code,
        "detail": str(problem.detail),
        "instance": request.path,
        "code": problem.code,
        "request_id": getattr(request, "request_id", ""),
        "errors": problem.errors,
        **problem.more,
    }
    return HttpResponse(
        json.dumps(body, ensure_ascii=False).encode(errors="replace"),
        status=problem.status_code,
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def of_status(status: int) -> Problem:
    """The problem of a bare status, for answers that were made outside of DRF."""
    code = _BY_STATUS.get(status, "internal_error" if status >= 500 else "invalid_request")
    return Problem(status, code, _SENTENCES.get(status, TITLES[code] + "."))


def _of_rest(error: exceptions.APIException, wait_s: float | None = None) -> Problem:
    status = error.status_code
    headers = {}
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        status = 401
        headers["WWW-Authenticate"] = getattr(error, "auth_header", "Bearer")
    if wait_s is not None:
        headers["Retry-After"] = str(math.ceil(wait_s))
    code = _BY_STATUS.get(status, "internal_error")
    return Problem(status, code, str(error.detail), headers=headers)


def _of_domain(error: Exception) -> Problem:
    message = str(error)
    match error:
        case InvalidKeyLimits() | InvalidPreferences() | InvalidBudget():
            return invalid(error.field, message)
        case InvalidEndpoint() if error.field:
            return invalid(error.field, message)
        case InvalidName():
            return invalid("name", message)
        case InvalidAmount():
            return invalid("amount", message)
        case StrongerThanItsMaker():
            return Problem(403, "insufficient_scope", message)
        case InvitationUnusable() | CannotClose() | InvalidEndpoint():
            return Problem(409, "conflict", message)
        case AccountError():
            return Problem(403, "not_allowed", message)
        case PreferencesChanged() | BudgetChanged():
            return Problem(412, "precondition_failed", message)
        case UnknownModel():
            return Problem(404, "model_not_found", f"There is no model “{message[:80]}”.")
        case PlanRequired():
            return Problem(403, "plan_required", message)
        case PaymentRefused():
            return Problem(402, "payment_refused", message)
        case InsufficientBalance():
            return Problem(402, "insufficient_balance", message)
        case PaymentsAway():
            return Problem(503, "payments_away", message, headers={"Retry-After": "5"})
        case TooMany():
            return Problem(
                429, "rate_limit_exceeded", "Five messages an hour are taken. Write again later.",
                headers={"Retry-After": "3600"},
            )  # fmt: skip
    return Problem(409, "conflict", message)


def _flat(details: Any, field: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested details as a flat list; the field's place is written ``a.b.0``."""
    if isinstance(details, list):
        for number, each in enumerate(details):
            # Errors of a field are a list; so are the places of a list field, as dicts by number.
            yield from _flat(each, field if "message" in each or not field else f"{field}.{number}")
    elif "message" in details and isinstance(details["message"], str):
        message = details["message"][:MAX_MESSAGE]
        yield {"field": field, "code": details["code"], "message": message}
    else:
        for name, each in details.items():
            name = "" if name == "non_field_errors" else str(name)
            yield from _flat(each, ".".join(filter(None, (field, name))))
