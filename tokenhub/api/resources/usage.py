"""``/usage/``: sums of what was used, over whole days in UTC; as JSON or CSV."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from accounts.roles import Permission
from accounts.spreadsheets import csv_lines
from billing.money import usd_from_nano
from billing.usage import GROUPS as COLUMNS
from billing.usage import Period, Sums, key_names, usage_in_groups
from keys.models import ApiKey
from routing.models import Model
from tokenhub.api.fields import Answer, KeyId, Query, Usd
from tokenhub.api.problems import invalid
from tokenhub.api.view import READ_OR_BILLING, ApiView, operation
from tokenhub.web.downloads import csv_response

GROUPS = ("day", *COLUMNS, "member")
DAYS, MOST_DAYS, MOST_GROUPS = 30, 366, 3
FIRST, LAST = date(2000, 1, 1), date(2999, 12, 31)
SUMS = (
    "requests", "failed", "input_tokens", "output_tokens", "model_fee", "service_fee", "total",
)  # fmt: skip


class SumsSerializer(Answer):
    """Sums. Tokens and fees are those of billed requests."""

    requests = serializers.IntegerField()
    failed = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    model_fee = Usd(source="model_fee_nano")
    service_fee = Usd(source="service_fee_nano")
    total = Usd(source="total_nano")


class UsageRowSerializer(SumsSerializer):
    """The sums of one group; the fields it is grouped by are there, the others are not."""

    day = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    provider = serializers.CharField(required=False)
    region = serializers.CharField(required=False)
    modality = serializers.CharField(required=False)
    key = serializers.CharField(required=False)
    key_name = serializers.CharField(required=False)
    member = serializers.CharField(
        required=False, allow_null=True, help_text="Who made the key; null for nobody of here."
    )


def _usage_schema() -> Any:
    envelope: Any = inline_serializer(
        "Usage",
        {
            "from": serializers.DateField(),
            "to": serializers.DateField(help_text="The first day that is not in it."),
            "group_by": serializers.ListField(child=serializers.ChoiceField(choices=GROUPS)),
            "data": UsageRowSerializer(many=True),
            "has_more": serializers.BooleanField(),
            "next_cursor": serializers.CharField(allow_null=True),
            "total": SumsSerializer(),
        },
    )
    sums = {
        "requests": 120, "failed": 2, "input_tokens": 140000, "output_tokens": 36000, "model_fee": "0.0582",
        "service_fee": "0.001746", "total": "0.059946",
    }  # fmt: skip
    envelope.example = {
        "from": "2026-11-01", "to": "2026-12-01", "group_by": ["day", "model"],
        "data": [{"day": "2026-11-02", "model": "deepseek-v3.2", **sums}],
        "has_more": False, "next_cursor": None, "total": sums,
    }  # fmt: skip
    return envelope


class UsageQuery(Query):
    """What is asked."""

    group_by = serializers.CharField(
        required=False, default="day", max_length=60,
        help_text=f"Up to three of {', '.join(GROUPS)}, with commas between them.",
    )  # fmt: skip
    model = serializers.CharField(max_length=160, required=False)
    provider = serializers.CharField(max_length=60, required=False)
    region = serializers.CharField(max_length=20, required=False)
    modality = serializers.ChoiceField(choices=Model.Modality.choices, required=False)
    key = KeyId(required=False)

    def get_fields(self) -> dict[str, Any]:
        # Python would not let attributes have these names.
        return {
            **super().get_fields(),
            "from": serializers.DateField(
                required=False, help_text="The first day, in UTC; by default thirty days ago."
            ),
            "to": serializers.DateField(
                required=False, help_text="The first day that is not in it; by default tomorrow."
            ),
        }

    def validate_group_by(self, text: str) -> list[str]:
        groups = text.split(",")
        if not set(groups) <= set(GROUPS) or len(set(groups)) < len(groups):
            raise serializers.ValidationError(f"Group by {', '.join(GROUPS)}.")
        if len(groups) > MOST_GROUPS:
            raise serializers.ValidationError("Group by three things at most.")
        return groups


class Csv(BaseRenderer):
    """``text/csv``; the view writes it itself, a line at a time."""

    media_type = "text/csv"
    format = "csv"


class Usage(ApiView):
    """The sums."""

    renderer_classes = [JSONRenderer, Csv]

    @operation(
        "get_usage", "Usage", scopes=READ_OR_BILLING, permission=Permission.VIEW, query=UsageQuery,
        answer=_usage_schema(),
        responses={(200, "application/json"): _usage_schema(), (200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        """Requests, tokens and fees, summed over half-open days in UTC: `from` is in, `to` is not. All groups are
        in one answer. With `Accept: text/csv` it is a table.
        """
        query = self.asked(UsageQuery)
        groups: list[str] = (
            query["group_by"] if isinstance(query["group_by"], list) else [query["group_by"]]
        )
        period = _period(query)
        rows = _rows(self.caller.organization, groups, period, query)
        if request.accepted_renderer.format == Csv.format:
            return csv_response(
                request._request, csv_lines([*groups, *SUMS], _cells(groups, rows)), "usage.csv"
            )
        total = sum((row["sums"] for row in rows), Sums())
        return Response(
            {
                "from": period.since,
                "to": period.until,
                "group_by": groups,
                "data": [{**row["group"], **SumsSerializer(row["sums"]).data} for row in rows],
                "has_more": False,
                "next_cursor": None,
                "total": SumsSerializer(total).data,
            }
        )


def _period(query: dict[str, Any]) -> Period:
    until = query.get("to") or timezone.now().date() + timedelta(days=1)
    if not FIRST <= until <= LAST:
        raise invalid("to", "Choose a day between 2000 and 2999.")
    since = query.get("from") or until - timedelta(days=DAYS)
    if since >= until:
        raise invalid("to", "The period has no day: `to` is the first day that is not in it.")
    if since < FIRST or (until - since).days > MOST_DAYS:
        raise invalid("from", f"At most {MOST_DAYS} days at once.")
    return Period(since, until)


def _rows(
    organization: Organization, groups: list[str], period: Period, query: dict[str, Any]
) -> list[dict[str, Any]]:
    """The groups in their order, each with what names it and its sums."""
    by = list(dict.fromkeys("key" if name == "member" else name for name in groups))
    filters = {name: str(query[name]) for name in COLUMNS if name in query}
    found = usage_in_groups(organization, by, period, filters)
    named = _names(
        organization,
        groups,
        {dict(zip(by, values, strict=True)).get("key", "") for values in found},
    )
    folded: dict[tuple[tuple[str, Any], ...], Sums] = {}
    for values, sums in found.items():
        group = tuple(named(dict(zip(by, values, strict=True))).items())
        folded[group] = folded.get(group, Sums()) + sums
    ordered = sorted(folded.items(), key=lambda row: [str(value) for _, value in row[0]])
    return [{"group": dict(group), "sums": sums} for group, sums in ordered]


def _names(organization: Organization, groups: list[str], keys: set[str]) -> Any:
    """A function that turns a group's values into the fields that name it."""
    key_name: Mapping[str, str] = key_names(organization, keys) if "key" in groups else {}
    makers: dict[str, str | None] = {}
    if "member" in groups:
        rows = ApiKey.objects.for_organization(organization).select_related("created_by")
        makers = {key.id: key.created_by.email if key.created_by else None for key in rows}

    def named(values: dict[str, str]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        key_id = "key_" + values.get("key", "").replace("-", "")
        for name in groups:
            if name == "member":
                fields["member"] = makers.get(key_id)
            elif name == "key":
                fields |= {"key": key_id, "key_name": key_name.get(values["key"], "")}
            else:
                fields[name] = values[name]
        return fields

    return named


def _cells(groups: list[str], rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
    for row in rows:
        sums: Sums = row["sums"]
        yield [
            *(row["group"][name] or "" for name in groups), sums.requests, sums.failed, sums.input_tokens,
            sums.output_tokens, usd_from_nano(sums.model_fee_nano), usd_from_nano(sums.service_fee_nano),
            usd_from_nano(sums.total_nano),
        ]  # fmt: skip
