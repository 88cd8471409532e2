"""The base of every operation, and ``operation``: who may call it and how it is documented, said once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import roles_with, signed_in_recently
from accounts.models import TenantQuerySet
from accounts.roles import Permission
from keys.models import ApiKey
from tokenhub.api import limits
from tokenhub.api.authentication import Caller
from tokenhub.api.etags import etag, is_known
from tokenhub.api.fields import Answer, Body, Query
from tokenhub.api.idempotency import once
from tokenhub.api.problems import Problem, not_found

READ = (ApiKey.Scope.READ.value,)
WRITE = (ApiKey.Scope.WRITE.value,)
BILLING = (ApiKey.Scope.BILLING.value,)
READ_OR_BILLING = (*READ, *BILLING)
ANY = tuple(ApiKey.Scope.values)
Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an operation: a key with one of ``scopes``, whose role, like a member's, has ``permission``.

    ``recent``: somebody signed in must have signed in a short while ago.
    """

    scopes: tuple[str, ...]
    permission: Permission | None
    recent: bool


def operation(
    name: str,
    summary: str,
    *,
    scopes: tuple[str, ...],
    permission: Permission | None = None,
    recent: bool = False,
    answer: Any = None,
    body: type[Body] | None = None,
    query: type[Query] | None = None,
    status: int = 200,
    extra: Iterable[Any] = (),
    responses: dict[Any, Any] | None = None,
) -> Callable[[Handler], Handler]:
    """Declare a view's method: its rule, and what OpenAPI says of it. Its docstring is for customers."""

    def declare(handler: Handler) -> Handler:
        rule = Rule(scopes, permission, recent)
        examples = []
        if example := getattr(answer, "example", None):
            examples.append(
                OpenApiExample("answer", example, response_only=True, status_codes=[str(status)])
            )
        if body is not None and body.example:
            examples.append(OpenApiExample("request", body.example, request_only=True))
        documented = extend_schema(
            operation_id=name,
            summary=summary,
            description=f"{handler.__doc__}\n\n{_who(rule)}",
            parameters=[*([query] if query else []), *extra],
            request=body,
            responses=responses or {status: answer or OpenApiResponse(description="Done.")},
            examples=examples,
            auth=_security(rule),  # type: ignore[arg-type]  # a list of names in the stubs alone
            extensions={"x-scopes": list(scopes)},
        )(handler)
        documented.rule = rule  # type: ignore[attr-defined]
        return documented

    return declare


class MayCall(BasePermission):
    """The rule of the operation at hand, for keys and members alike."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        rule = rule_of(view, request.method or "GET")
        caller = _caller(request)
        if caller is None or rule is None:
            return False
        if caller.key is not None and not caller.scopes & set(rule.scopes):
            raise Problem(
                403, "insufficient_scope", f"The key needs the scope {' or '.join(rule.scopes)}."
            )
        if rule.permission is not None and rule.permission not in caller.permissions:
            whose = "who made the key" if caller.key else "you"
            raise Problem(
                403, "insufficient_role", f"The role of {whose} does not allow this; it takes"
                f" {roles_with(rule.permission)}.",
            )  # fmt: skip
        if rule.recent and caller.user is not None and not _is_recent(request, caller):
            raise Problem(
                403, "reauthentication_required",
                "You signed in a while ago. Sign in again in the console, then repeat this.",
            )  # fmt: skip
        return True


def rule_of(view: Any, method: str) -> Rule | None:
    """The rule of a view's method; HEAD is GET."""
    name = "get" if method == "HEAD" else method.lower()
    return getattr(getattr(view, name, None), "rule", None)


class ApiView(APIView):
    """An operation's home. Every ``post`` is done once per ``Idempotency-Key``."""

    permission_classes = [MayCall]
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    standing: limits.Standing | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "post" in vars(cls):
            cls.post = once(vars(cls)["post"])  # type: ignore[attr-defined]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # The log's own middleware has named the request since: the customer's name of it is what counts.
        named = getattr(request._request, "request_id", "")
        structlog.contextvars.bind_contextvars(request_id=named)
        address = request.META.get("REMOTE_ADDR") or ""
        limits.guesses(address).check()
        self.standing = limits.by_address(address).check()
        # An unknown method is told so before anybody is asked who they are.
        if rule_of(self, request.method or "GET") is None:
            self.http_method_not_allowed(request, *args, **kwargs)
        super().initial(request, *args, **kwargs)
        if caller := _caller(request):
            structlog.contextvars.bind_contextvars(
                organization=caller.organization.id, caller=caller.name
            )
            self.standing = limits.by_credential(caller.name).check()

    def finalize_response(  # type: ignore[override]  # problems are no DRF responses
        self, request: Any, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        final: HttpResponse = super().finalize_response(request, response, *args, **kwargs)
        if self.standing is not None:
            for name, value in self.standing.headers().items():
                final.setdefault(name, value)
        final.setdefault("Cache-Control", "private, no-store")
        return final

    @property
    def caller(self) -> Caller:
        """Who calls."""
        caller = _caller(self.request)
        assert caller is not None
        return caller

    def asked(self, query: type[Query]) -> dict[str, Any]:
        """The query's parameters, checked."""
        parsed = query(data=self.request.GET.dict())
        parsed.is_valid(raise_exception=True)
        return dict(parsed.validated_data)

    def sent(self, body: type[Body]) -> dict[str, Any]:
        """The request's body, checked. A replacement says by what: without a body, everything would be gone."""
        if self.request.method == "PUT" and self.request.stream is None:
            raise Problem(400, "invalid_request", "Send what it is to be replaced by, as JSON.")
        parsed = body(data=self.request.data)
        parsed.is_valid(raise_exception=True)
        return dict(parsed.validated_data)

    def one(self, rows: TenantQuerySet, public_id: str, what: str) -> Any:
        """The organization's own row of this id; anybody else's is not found."""
        found = rows.for_organization(self.caller.organization).by_id(public_id)
        if found is None:
            raise not_found(what)
        return found

    def answer(self, kind: type[Answer], value: Any, status: int = 200, **headers: str) -> Response:
        """An object as JSON."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return Response(kind(value, context={"request": self.request}).data, status, headers=named)

    def versioned(self, kind: type[Answer], value: Any, version: int) -> Response:
        """An object with its ``ETag``; to who reads a version again, only that it is still the one."""
        tag = etag(version)
        if self.request.method in ("GET", "HEAD") and is_known(self.request, version):
            return Response(status=304, headers={"ETag": tag})
        return self.answer(kind, value, ETag=tag)


def _caller(request: Request) -> Caller | None:
    caller: Any = request.auth
    return caller if isinstance(caller, Caller) else None


def _is_recent(request: Request, caller: Caller) -> bool:
    inner: HttpRequest = request._request
    assert caller.user is not None
    return signed_in_recently(inner, caller.user)


def _security(rule: Rule) -> list[dict[str, list[str]]]:
    if not rule.scopes:
        return []
    return [*({"managementKey": [scope]} for scope in rule.scopes), {"session": []}]


def _who(rule: Rule) -> str:
    if not rule.scopes:
        return "No credential is needed."
    scopes = " or ".join(f"`{scope}`" for scope in rule.scopes)
    words = f"**Scope:** {scopes}."
    if rule.permission is not None:
        words += f" **Role:** {roles_with(rule.permission)}."
    return words
