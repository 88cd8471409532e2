"""What OpenAPI cannot guess from the views: who may call, how errors look, which headers there are."""

from typing import Any

from tokenhub.api.authentication import ORGANIZATION_HEADER
from tokenhub.api.problems import DOCUMENTED_AT, MEDIA_TYPE, TITLES, of_status

_ALWAYS = (400, 401, 403, 406, 429, 500, 503)
_WRITES = (402, 409, 413, 415)
_WORDS = {
    400: "The request cannot be read, or fields are not valid; `errors` names them.",
    401: "The key is missing, unknown, expired or revoked.",
    402: "A payment was refused.",
    403: "The key's scope, or the role, does not allow this.",
    404: "There is no such thing in this organization.",
    405: "The method is not allowed.",
    406: "It cannot be had in that format.",
    409: "It cannot be done as things stand.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON, or is compressed.",
    422: "The `Idempotency-Key` was used with another body.",
    429: "Too many requests; `Retry-After` says when to go on.",
    500: "Something went wrong on our side.",
    503: "Something we need does not answer now.",
}
_HEADERS = {
    "RequestId": {
        "description": "The id of this request. Quote it when you write to us.",
        "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
        "example": "req_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    },
    "RateLimit": {
        "description": "What is left of the limit, as draft-ietf-httpapi-ratelimit-headers has it.",
        "schema": {"type": "string"},
        "example": '"credential";r=1199;t=42',
    },
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "A name of your choice for this request. Sent again within 24 hours, it does nothing again"
    " and is answered the same.",
    "example": "order-1042",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
}  # fmt: skip
_ORGANIZATION = {
    "name": ORGANIZATION_HEADER, "in": "header", "required": False,
    "description": "With a session only: the organization that is meant, by slug or id. Not needed where one is"
    " a member of one.",
    "example": "acme",
    "schema": {"type": "string"},
}  # fmt: skip
# What the placeholders of addresses stand for.
_PLACES = {
    "key_id": "key_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    "request_id": "req_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    "top_up_id": "top_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    "number": "INV-000042",
    "member_id": "mem_12",
    "invitation_id": "invite_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    "webhook_id": "whk_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
    "delivery_id": "dlv_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong, and what to do about it."},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": sorted(TITLES)},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


_SECURITY = {
    "managementKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A management key (`thm_…`), made on the keys page of the console. Its scopes are `read`,"
        " `write` and `billing`; it never does more than the role of who made it allows.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "Somebody signed in to the console, with the `X-CSRFToken` header for what changes anything."
        " The role decides what is allowed.",
    },
}


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Errors, headers and the parameters that every operation has, as shared components."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["headers"] = _HEADERS
    components["securitySchemes"] = _SECURITY
    components["parameters"] = {"IdempotencyKey": _IDEMPOTENCY, "Organization": _ORGANIZATION}
    components["responses"] = {
        f"Problem{status}": {
            "description": words,
            "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": _example(status, words),
                }
            },
        }
        for status, words in _WORDS.items()
    }
    for path, methods in result["paths"].items():
        for method, described in methods.items():
            _complete(path, method, described)
    return result


def _example(status: int, words: str) -> dict[str, Any]:
    code, errors = of_status(status).code, []
    if status == 400:
        code, words = "validation_failed", "Ensure this value is greater than or equal to 1."
        errors = [{"field": "rpm", "code": "min_value", "message": words}]
    return {
        "type": f"https://tokenhub.example{DOCUMENTED_AT}#{code}", "title": TITLES[code],
        "status": status, "detail": words, "instance": "/api/v1/keys/", "code": code,
        "request_id": _HEADERS["RequestId"]["example"], "errors": errors,
    }  # fmt: skip


def _complete(path: str, method: str, described: dict[str, Any]) -> None:
    statuses = set(_ALWAYS)
    if method != "get":
        statuses.update(_WRITES)
    if "{" in path or method == "post":
        statuses.add(404)
    if method == "post":
        statuses.add(422)
    if any(each.get("name") == "If-Match" for each in described.get("parameters", [])):
        statuses.add(412)
    for answer in described["responses"].values():
        answer["headers"] = answer.get("headers", {}) | {
            "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
            "RateLimit": {"$ref": "#/components/headers/RateLimit"},
        }
    for status in sorted(statuses):
        described["responses"].setdefault(
            str(status), {"$ref": f"#/components/responses/Problem{status}"}
        )
    parameters = described.setdefault("parameters", [])
    for each in parameters:
        if each.get("in") == "path":
            each["example"] = _PLACES[each["name"]]
    if method == "put":
        described["requestBody"]["required"] = True
    if method == "post":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if described.get("security"):
        parameters.append({"$ref": "#/components/parameters/Organization"})
