"""``/me/``: who is calling, and how far that goes."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission, Role
from billing.plans import Terms, terms_of
from keys.models import ApiKey
from tokenhub.api.fields import Answer
from tokenhub.api.view import ANY, ApiView, operation


class LimitsSerializer(Answer):
    """What may be called in a minute: of this API, and of models by the whole organization."""

    requests_per_minute = serializers.IntegerField(help_text="Of this API, by this caller.")
    remaining = serializers.IntegerField(help_text="Of them, in this minute.")
    reset_s = serializers.IntegerField(help_text="Seconds until the next minute.")
    model_requests_per_minute = serializers.IntegerField(help_text="Of /v1, by the organization.")
    model_requests_at_once = serializers.IntegerField()


class MeSerializer(Answer):
    """The caller."""

    example = {
        "kind": "management", "id": "key_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "name": "Provisioning",
        "organization": "org_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "organization_slug": "acme", "role": "admin",
        "scopes": ["read", "write"], "permissions": ["view", "manage_keys"], "plan": "pro", "expires_at": None,
        "limits": {
            "requests_per_minute": 1200, "remaining": 1199, "reset_s": 42, "model_requests_per_minute": 600,
            "model_requests_at_once": 100,
        },
    }  # fmt: skip

    kind = serializers.ChoiceField(choices=["management", "session"])
    id = serializers.CharField(allow_null=True, help_text="The key's; null for somebody signed in.")
    name = serializers.CharField(help_text="The key's name, or the address of who is signed in.")
    organization = serializers.CharField()
    organization_slug = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices, allow_null=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiKey.Scope.choices))
    permissions = serializers.ListField(child=serializers.ChoiceField(choices=Permission.choices))
    plan = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    limits = LimitsSerializer()


class Me(ApiView):
    """Who is calling."""

    @operation("get_me", "Who is calling", scopes=ANY, answer=MeSerializer)
    def get(self, request: Request) -> HttpResponse:
        """The kind of credential, what it may do, what is left of its limits, and the plan."""
        return self.answer(MeSerializer, self._me(terms_of(self.caller.organization)))

    def _me(self, terms: Terms) -> dict[str, Any]:
        caller, standing = self.caller, self.standing
        assert standing is not None
        key = caller.key
        return {
            "kind": "management" if key else "session",
            "id": key.id if key else None,
            "name": key.name if key else str(caller.user),
            "organization": caller.organization.id,
            "organization_slug": caller.organization.slug,
            "role": caller.role,
            "scopes": sorted(caller.scopes),
            "permissions": [each for each in Permission.values if each in caller.permissions],
            "plan": terms.plan.slug,
            "expires_at": key.expires_at if key else None,
            "limits": {
                "requests_per_minute": standing.quota,
                "remaining": standing.remaining,
                "reset_s": standing.reset_s,
                "model_requests_per_minute": terms.rpm,
                "model_requests_at_once": terms.concurrency,
            },
        }
