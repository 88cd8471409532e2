"""``/audit-events/``: every change, who made it, from what to what, from where."""

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import AuditEvent
from accounts.roles import Permission
from tokenhub.api.fields import Answer
from tokenhub.api.pages import page, paged
from tokenhub.api.resources.requests import Since, between
from tokenhub.api.view import READ, ApiView, operation


class AuditEventSerializer(Answer):
    """A change."""

    example = {
        "id": "evt_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "created_at": "2026-11-02T09:30:00Z",
        "actor_kind": "key", "actor": "key_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
        "action": "preferences.changed", "target": "version 7", "before": {"allowed_regions": []},
        "after": {"allowed_regions": ["eu"]}, "ip_address": "203.0.113.9",
    }  # fmt: skip

    id = serializers.CharField()
    created_at = serializers.DateTimeField()
    actor_kind = serializers.ChoiceField(choices=AuditEvent.Actor.choices)
    actor = serializers.CharField(help_text="An address, a key's id, or what acted.")
    action = serializers.CharField()
    target = serializers.CharField()
    before = serializers.DictField()
    after = serializers.DictField()
    ip_address = serializers.CharField(allow_null=True)


class AuditQuery(Since):
    """Which changes."""

    actor = serializers.CharField(max_length=254, required=False)
    action = serializers.CharField(
        max_length=60, required=False, help_text="The action, or how it begins: `key.`"
    )
    target = serializers.CharField(max_length=120, required=False)


class AuditEvents(ApiView):
    """The audit trail."""

    @operation(
        "list_audit_events", "List audit events", scopes=READ, permission=Permission.VIEW_AUDIT,
        query=AuditQuery, answer=paged(AuditEventSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """The newest first. Nothing in the trail is ever changed or removed."""
        query = self.asked(AuditQuery)
        rows = between(AuditEvent.objects.for_organization(self.caller.organization), query)
        for name, lookup in (
            ("actor", "actor"), ("action", "action__startswith"), ("target", "target"),
        ):  # fmt: skip
            if name in query:
                rows = rows.filter(**{lookup: query[name]})
        return page(request, query, rows, AuditEventSerializer)
