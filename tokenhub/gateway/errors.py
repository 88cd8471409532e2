"""Every refusal of the gateway: its status, its code, and a sentence a person can act on (INTERFACE.md §2)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec


class GatewayError(Exception):
    """Base of what the gateway answers instead of a result."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "api_error"
    should_retry: ClassVar[bool | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.details = details

    def body(self) -> bytes:
        """The OpenAI error shape."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error | self.details})


ErrorShape = Callable[[GatewayError, str], bytes]
"""How a protocol says an error: the error and the request's public id to a body."""


def openai_shape(error: GatewayError, _request_id: str) -> bytes:
    """OpenAI's: ``{"error": {"message", "type", "param", "code"}}``."""
    return error.body()


# Anthropic names the kind of an error by its status.
_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def anthropic_shape(error: GatewayError, request_id: str) -> bytes:
    """Anthropic's: ``{"type": "error", "error": {"type", "message"}, "request_id"}``, and our details."""
    said = {"type": _ANTHROPIC_KINDS.get(error.status, "api_error"), "message": error.message}
    said |= {"code": error.code, **({"param": error.param} if error.param else {})}
    return msgspec.json.encode(
        {"type": "error", "error": said | error.details, "request_id": request_id}
    )


class InvalidRequest(GatewayError):
    status, code, kind = 400, "invalid_request", "invalid_request_error"


class InvalidApiKey(GatewayError):
    status, code, kind = 401, "invalid_api_key", "authentication_error"


class InsufficientBalance(GatewayError):
    status, code, kind, should_retry = 402, "insufficient_balance", "billing_error", False


class KeyBudgetExceeded(GatewayError):
    status, code, kind, should_retry = 402, "key_budget_exceeded", "billing_error", False


class BudgetExceeded(GatewayError):
    status, code, kind, should_retry = 402, "budget_exceeded", "billing_error", False


class PlanRequired(GatewayError):
    status, code, kind, should_retry = 403, "plan_required", "permission_error", False


class InsufficientScope(GatewayError):
    status, code, kind, should_retry = 403, "insufficient_scope", "permission_error", False


class OrganizationSuspended(GatewayError):
    status, code, kind, should_retry = 403, "organization_suspended", "permission_error", False


class OutsideBoundaries(GatewayError):
    status, code, kind, should_retry = 403, "outside_boundaries", "permission_error", False


class ModelNotFound(GatewayError):
    status, code, kind = 404, "model_not_found", "invalid_request_error"


class NotFound(GatewayError):
    status, code, kind = 404, "not_found", "invalid_request_error"


class MethodNotAllowed(GatewayError):
    status, code, kind = 405, "method_not_allowed", "invalid_request_error"


class IdempotencyInProgress(GatewayError):
    status, code, kind, should_retry = 409, "idempotency_in_progress", "invalid_request_error", True

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"{request_id} with this Idempotency-Key is under way. Ask again in a moment.",
            headers={"retry-after": "1"},
            original_request_id=request_id,
        )


class IdempotencyReplayed(GatewayError):
    status, code, kind, should_retry = 409, "idempotency_replayed", "invalid_request_error", False

    def __init__(self, request_id: str, **details: Any) -> None:
        super().__init__(
            f"{request_id} with this Idempotency-Key was answered and charged; its answer is not kept. See"
            " the request in the console's log. To ask anew, use a new key.",
            original_request_id=request_id,
            **details,
        )


class IdempotencyKeyReused(GatewayError):
    status, code, kind, should_retry = 422, "idempotency_key_reused", "invalid_request_error", False

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"This Idempotency-Key was used by {request_id} with another body. Use a new one for a new request.",
            param="Idempotency-Key",
            original_request_id=request_id,
        )


class RequestTooLarge(GatewayError):
    status, code, kind = 413, "request_too_large", "invalid_request_error"


class UnsupportedMediaType(GatewayError):
    status, code, kind = 415, "unsupported_media_type", "invalid_request_error"


class RateLimitExceeded(GatewayError):
    status, code, kind = 429, "rate_limit_exceeded", "rate_limit_error"


class ProvidersFailed(GatewayError):
    status, code, kind, should_retry = 502, "providers_failed", "provider_error", False


class NoProviderAvailable(GatewayError):
    status, code, kind = 503, "no_provider_available", "provider_error"


class ServiceUnavailable(GatewayError):
    status, code, kind = 503, "service_unavailable", "api_error"


class CannotBill(ServiceUnavailable):
    """The database is away: nothing may go upstream that could not be charged."""

    def __init__(self) -> None:
        super().__init__(
            "The platform cannot bill safely at this moment, so nothing was sent to a provider. Retry shortly.",
            headers={"retry-after": "2"},
        )


class InternalError(GatewayError):
    """A fault of ours; the message never says more than the request id can."""


class UnbillableResult(ServiceUnavailable):
    """The result could not be made durable, so it must not be delivered."""

    def __init__(self) -> None:
        super().__init__(
            "The answer could not be recorded safely, so it was not delivered and nothing was billed. Retry."
        )
