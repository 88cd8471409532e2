"""``/preferences/``: the organization's hard boundaries."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from billing.plans import terms_of
from routing.models import Certification, DataPolicy
from routing.models import Preferences as Kept
from routing.selectors import preferences_of
from routing.services import LISTS, set_preferences, version_of
from tokenhub.api.etags import ETAG, IF_MATCH, IF_NONE_MATCH, UNCHANGED, versions_meant
from tokenhub.api.fields import Answer, Body, Names
from tokenhub.api.view import READ, WRITE, ApiView, operation

_EXAMPLE = {
    "allowed_regions": ["eu"], "allowed_providers": [], "denied_providers": ["acme-ai"], "allowed_models": [],
    "denied_models": [], "require": ["no_training"], "strategy": "balanced",
}  # fmt: skip


class PreferencesSerializer(Answer):
    """The boundaries. An empty list sets no limit."""

    example = {**_EXAMPLE, "version": 7}

    allowed_regions = Names()
    allowed_providers = Names()
    denied_providers = Names()
    allowed_models = Names()
    denied_models = Names()
    require = Names(help_text="Data policies and certifications that every provider must have.")
    strategy = serializers.ChoiceField(choices=Kept.Strategy.choices)
    version = serializers.SerializerMethodField()

    def get_version(self, preferences: Kept) -> int:
        return version_of(preferences)


class PreferencesChangesSerializer(Body):
    """What is to be changed. `require` takes `zero_retention`, `no_training`, and with the Enterprise compliance
    extension `soc2`, `iso27001`, `hipaa` and `gdpr_dpa`.
    """

    example = _EXAMPLE

    allowed_regions = Names(max_length=20, required=False)
    allowed_providers = Names(max_length=60, required=False)
    denied_providers = Names(max_length=60, required=False)
    allowed_models = Names(max_length=120, required=False)
    denied_models = Names(max_length=120, required=False)
    require = serializers.MultipleChoiceField(
        choices=[*DataPolicy.values, *Certification.values], required=False
    )
    strategy = serializers.ChoiceField(choices=Kept.Strategy.choices, required=False)


NO_LIMITS: dict[str, Any] = {
    **{name: [] for name in LISTS},
    "strategy": Kept.Strategy.BALANCED.value,
}


class Preferences(ApiView):
    """The boundaries."""

    @operation(
        "get_preferences", "The preferences", scopes=READ, permission=Permission.VIEW,
        answer=PreferencesSerializer, responses={200: PreferencesSerializer, **UNCHANGED},
        extra=[IF_NONE_MATCH, ETAG],
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Hard boundaries: no request of the organization ever goes outside of them. The `ETag` names this version."""
        return self._shown(preferences_of(self.caller.organization))

    @operation(
        "replace_preferences", "Replace the preferences", scopes=WRITE,
        permission=Permission.MANAGE_PREFERENCES, body=PreferencesChangesSerializer,
        answer=PreferencesSerializer, extra=[IF_MATCH, ETAG],
    )  # fmt: skip
    def put(self, request: Request) -> HttpResponse:
        """All of them: what is left out sets no limit any more."""
        return self._change({**NO_LIMITS, **self.sent(PreferencesChangesSerializer)})

    @operation(
        "change_preferences", "Change some preferences", scopes=WRITE,
        permission=Permission.MANAGE_PREFERENCES, body=PreferencesChangesSerializer,
        answer=PreferencesSerializer, extra=[IF_MATCH, ETAG],
    )  # fmt: skip
    def patch(self, request: Request) -> HttpResponse:
        """What is left out stays. In force in every gateway within a second."""
        return self._change(self.sent(PreferencesChangesSerializer))

    def _change(self, changes: dict[str, Any]) -> HttpResponse:
        tenant = self.caller.organization
        changed = set_preferences(
            tenant,
            changes,
            actor=self.caller.actor,
            compliance_extension=terms_of(tenant).version.compliance_extension,
            if_version=versions_meant(self.request),
        )
        return self._shown(changed)

    def _shown(self, preferences: Kept) -> HttpResponse:
        return self.versioned(PreferencesSerializer, preferences, version_of(preferences))
