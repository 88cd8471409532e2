"""Refusals in the shape of Stripe's error object."""

from typing import Any


class Refused(Exception):
    """A request that is answered with an error; ``body`` is what goes over the wire."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        error: dict[str, Any] = {"message": message, "type": kind, **more}
        if code is not None:
            error["code"] = code
            error.setdefault(
                "doc_url", f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
            )
        if param is not None:
            error["param"] = param
        self.body: dict[str, Any] = {"error": error}


def invalid(message: str, *, code: str | None = None, param: str | None = None) -> Refused:
    """A request that makes no sense: 400."""
    return Refused(400, "invalid_request_error", message, code=code, param=param)


def missing(param: str) -> Refused:
    """A parameter that must be there and is not: 400."""
    return invalid(f"Missing required param: {param}.", code="parameter_missing", param=param)


def no_such(kind: str, name: str, param: str, *, status: int = 404) -> Refused:
    """An object nobody made: 404 when the address names it, 400 when a parameter does."""
    return Refused(
        status,
        "invalid_request_error",
        f"No such {kind}: '{name}'",
        code="resource_missing",
        param=param,
    )
