"""``/status/``: how available providers are, and what is wrong just now."""

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from routing.models import Model
from tokenhub.api.fields import Answer, Names
from tokenhub.api.view import ANY, ApiView, operation
from tokenhub.web.models import Incident
from tokenhub.web.status import availability, overall

RECENT = 20
STATES = [
    ("ok", "It answers"), ("warn", "Some requests fail"), ("bad", "Many requests fail"),
    ("none", "Too few requests to tell"),
]  # fmt: skip


class AvailabilitySerializer(Answer):
    """A provider in one modality, from the attempts of every customer's requests."""

    provider = serializers.CharField()
    name = serializers.CharField()
    modality = serializers.ChoiceField(choices=Model.Modality.choices)
    today = serializers.ChoiceField(choices=STATES)
    percent = serializers.FloatField(
        allow_null=True, help_text="Of attempts that were answered, in the last ninety days."
    )


class IncidentSerializer(Answer):
    """A time in which a provider did not answer."""

    provider = serializers.CharField()
    title = serializers.CharField()
    modality = serializers.CharField()
    whole = serializers.BooleanField(help_text="Whether none of its models of this kind answered.")
    regions = Names(source="region_slugs", help_text="As in preferences.")
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True, help_text="Null while it lasts.")


class StatusSerializer(Answer):
    """The status page, for programs."""

    example = {
        "state": "ok",
        "providers": [
            {"provider": "deepseek", "name": "DeepSeek", "modality": "text", "today": "ok", "percent": 99.98}
        ],
        "incidents": [
            {
                "provider": "deepseek", "title": "DeepSeek: all text requests fail", "modality": "text", "whole": True,
                "regions": ["cn"], "opened_at": "2026-11-02T09:30:00Z", "closed_at": "2026-11-02T09:42:00Z",
            }
        ],
    }  # fmt: skip

    state = serializers.ChoiceField(
        choices=STATES[:3], help_text="The worst of what the status page says just now."
    )
    providers = AvailabilitySerializer(many=True)
    incidents = IncidentSerializer(
        many=True, help_text="The open ones, then the latest that are over."
    )


class Status(ApiView):
    """The status."""

    @operation(
        "get_status", "The status", scopes=ANY, permission=Permission.VIEW, answer=StatusSerializer
    )
    def get(self, request: Request) -> HttpResponse:
        """How available each provider is and was, and the latest incidents."""
        rows, incidents = availability(), Incident.objects.all()
        found = {
            "state": overall(rows),
            "providers": rows,
            "incidents": [
                *incidents.filter(closed_at=None),
                *incidents.exclude(closed_at=None)[:RECENT],
            ],
        }
        return self.answer(StatusSerializer, found)
