"""``/requests/``: what was asked of models, where it went, and what it cost."""

from datetime import UTC, date, datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from billing.archive import archived_month
from billing.media import task_of
from billing.models import MediaTask, Usage
from routing.models import Model
from tokenhub.api.fields import Answer, KeyId, Usd
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.problems import Problem, not_found
from tokenhub.api.resources.routes import DecisionSerializer
from tokenhub.api.view import READ_OR_BILLING, ApiView, operation

RUNNING = "running"
STATUSES = [*Usage.Status.values, RUNNING]
NO_DECISION: dict[str, Any] = {"candidates": [], "excluded": [], "policy_version": 0}


class LineSerializer(Answer):
    """One component of the model fee. The price is per million tokens, per image or per second."""

    unit = serializers.CharField()
    count = serializers.IntegerField()
    price = Usd()
    fee = Usd()


class AttemptSerializer(Answer):
    """One provider that was tried."""

    provider = serializers.CharField()
    region = serializers.CharField()
    outcome = serializers.CharField()
    status = serializers.IntegerField(allow_null=True, default=None, help_text="The HTTP status.")
    latency_ms = serializers.IntegerField(default=0)


class RequestSerializer(Answer):
    """A request. Prompts and answers are never stored."""

    example = {
        "id": "req_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "created_at": "2026-11-02T09:30:00.120000Z",
        "status": "succeeded", "billed": True, "error": None, "key": "key_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
        "key_name": "production", "dialect": "openai", "modality": "text", "model_requested": "deepseek-v3.2",
        "model": "deepseek-v3.2", "provider": "alibaba", "region": "eu", "stream": False,
        "usage": {"input": 1200, "output": 300},
        "lines": [
            {"unit": "input", "count": 1200, "price": "0.30", "fee": "0.00036"},
            {"unit": "output", "count": 300, "price": "0.45", "fee": "0.000135"},
        ],
        "model_fee": "0.000495", "service_fee": "0.00001485", "service_fee_bps": 300, "total": "0.00050985",
        "price_version": 12,
        "attempts": [
            {"provider": "alibaba", "region": "eu", "outcome": "succeeded", "status": 200, "latency_ms": 812}
        ],
        "routing": {
            "model": "deepseek-v3.2", "candidates": [], "excluded": [], "policy_version": 7,
        },
        "latency_ms": 820, "first_token_ms": None, "session_id": "",
    }  # fmt: skip

    id = serializers.CharField()
    created_at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=STATUSES)
    billed = serializers.BooleanField()
    error = serializers.SerializerMethodField()
    key = serializers.SerializerMethodField()
    key_name = serializers.CharField()
    dialect = serializers.CharField()
    modality = serializers.CharField()
    model_requested = serializers.CharField()
    model = serializers.CharField(help_text="Empty where it was refused before it was routed.")
    provider = serializers.CharField()
    region = serializers.CharField()
    stream = serializers.BooleanField()
    usage = serializers.DictField(
        source="units", child=serializers.IntegerField(), help_text="Disjoint counts by unit."
    )
    lines = LineSerializer(many=True)
    model_fee = Usd(source="model_fee_nano")
    service_fee = Usd(source="service_fee_nano")
    service_fee_bps = serializers.IntegerField(help_text="300 is 3 %.")
    total = Usd(source="total_nano")
    price_version = serializers.IntegerField(allow_null=True)
    attempts = AttemptSerializer(many=True)
    routing = serializers.SerializerMethodField()
    latency_ms = serializers.IntegerField()
    first_token_ms = serializers.IntegerField(allow_null=True)
    session_id = serializers.CharField()

    def get_error(self, usage: Usage) -> str | None:
        return usage.error_code or None

    def get_key(self, usage: Usage) -> str:
        return f"key_{usage.key_id.hex}"

    @extend_schema_field(DecisionSerializer)
    def get_routing(self, usage: Usage) -> dict[str, Any]:
        return {"model": usage.model_requested, **NO_DECISION, **usage.routing}


@extend_schema_field({"type": "string", "format": "date-time", "example": "2026-11-01T00:00:00Z"})
class Moment(serializers.DateTimeField):
    """An instant, or a day in UTC, which is its first."""

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str) and len(value) == len("2026-11-01"):
            try:
                day = date.fromisoformat(value)
            except ValueError:
                self.fail("invalid", format="YYYY-MM-DD")
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment: datetime = super().to_internal_value(value)
        return moment


class Since(PageQuery):
    """A list's time: from an instant, to another that is not in it."""

    def get_fields(self) -> dict[str, Any]:
        # Python would not let attributes have these names.
        return {
            **super().get_fields(),
            "from": Moment(required=False, help_text="From this instant or day (UTC) on."),
            "to": Moment(required=False, help_text="Up to and without this instant or day (UTC)."),
        }


def between(rows: QuerySet[Any], query: dict[str, Any]) -> QuerySet[Any]:
    """The rows of the time asked for."""
    if "from" in query:
        rows = rows.filter(created_at__gte=query["from"])
    if "to" in query:
        rows = rows.filter(created_at__lt=query["to"])
    return rows


class RunningSerializer(RequestSerializer):
    """A video on its way: nothing is charged yet."""

    def to_representation(self, task: MediaTask) -> dict[str, Any]:
        return super().to_representation(_as_usage(task))


class RequestQuery(Since):
    """Which requests."""

    model = serializers.CharField(
        max_length=160, required=False, help_text="As it was asked for, or as it was answered."
    )
    provider = serializers.CharField(max_length=60, required=False)
    region = serializers.CharField(max_length=20, required=False)
    status = serializers.ChoiceField(
        choices=STATUSES, required=False,
        help_text="`running` lists the videos that are on their way, which are in no other list.",
    )  # fmt: skip
    modality = serializers.ChoiceField(choices=Model.Modality.choices, required=False)
    error = serializers.CharField(max_length=40, required=False, help_text="The error's code.")
    session_id = serializers.CharField(max_length=200, required=False)
    key = KeyId(required=False)


class Requests(ApiView):
    """The log."""

    @operation(
        "list_requests", "List requests", scopes=READ_OR_BILLING, permission=Permission.VIEW,
        query=RequestQuery, answer=paged(RequestSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Billed and failed requests, the newest first, with their attempts, fees and routing.

        Those of a month that was archived are not in it any more; `/usage/` has their sums.
        """
        query = self.asked(RequestQuery)
        tenant = self.caller.organization
        if query.get("status") == RUNNING:
            tasks = MediaTask.objects.for_organization(tenant).filter(status__in=MediaTask.OPEN)
            return page(request, query, _narrowed(tasks, query), RunningSerializer)
        rows = Usage.objects.for_organization(tenant)
        if "status" in query:
            rows = rows.filter(status=query["status"])
        return page(request, query, _narrowed(rows, query), RequestSerializer)


def _narrowed(rows: QuerySet[Any], query: dict[str, Any]) -> QuerySet[Any]:
    rows = between(rows, query)
    if "model" in query:
        rows = rows.filter(Q(model=query["model"]) | Q(model_requested=query["model"]))
    for name, column in _COLUMNS.items():
        if name in query:
            rows = rows.filter(**{column: query[name]})
    return rows


_COLUMNS = {
    "provider": "provider", "region": "region", "modality": "modality",
    "error": "error_code", "session_id": "session_id", "key": "key_id",
}  # fmt: skip


class OneRequest(ApiView):
    """One request."""

    @operation(
        "get_request", "One request", scopes=READ_OR_BILLING, permission=Permission.VIEW,
        answer=RequestSerializer,
    )  # fmt: skip
    def get(self, request: Request, request_id: str) -> HttpResponse:
        """By the `x-request-id` of its answer: exact cost, provider, attempts, and why it went there."""
        tenant = self.caller.organization
        # A video's task and the request that it ends as have the same id but for the prefix.
        usage = Usage.objects.for_organization(tenant).by_id(request_id.replace("task_", "req_", 1))
        if usage is not None:
            return self.answer(RequestSerializer, usage)
        if month := archived_month(tenant, request_id):
            raise Problem(
                404, "not_found",
                f"There is no such request here: those of {month:%Y-%m} are archived. Their sums are under `/usage/`.",
            )  # fmt: skip
        task = task_of(tenant, request_id)
        if task is None or task.status not in MediaTask.OPEN:
            raise not_found("request")
        return self.answer(RunningSerializer, task)


def _as_usage(task: MediaTask) -> Usage:
    """A video on its way, as the request that it will be on record as."""
    return Usage(
        id=str(task.id).replace("task_", "req_", 1), key_id=task.key_id, key_name=task.key_name,
        created_at=task.created_at, status=RUNNING, billed=False, dialect=task.shape,
        modality=task.modality, model_requested=task.model_requested, model=task.model,
        provider=task.provider, region=task.region, stream=False, service_fee_bps=task.service_fee_bps,
        price_version=task.price_version, attempts=task.attempts, routing=task.routing,
        session_id=task.session_id,
    )  # fmt: skip
