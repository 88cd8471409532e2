"""``/keys/``: API keys. The secret is in the answer that makes it, and nowhere else."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from keys import services
from keys.budgets import Budget
from keys.limits import (
    MAX_NAME,
    MAX_RPM,
    Changes,
    inherited,
    limits_of,
    refuse_stronger,
)
from keys.models import ApiKey
from tokenhub.api.fields import Answer, Body, Items, Names, Usd, UsdAmount
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.problems import Problem
from tokenhub.api.shares import kept_to_budget
from tokenhub.api.view import READ, WRITE, ApiView, operation


class BudgetSerializer(Answer):
    """What a key may spend in each period, in UTC."""

    amount = Usd(source="amount_nano")
    period = serializers.ChoiceField(choices=ApiKey.Period.choices)


class NewBudgetSerializer(Body):
    """A budget to be set."""

    amount = UsdAmount()
    period = serializers.ChoiceField(choices=ApiKey.Period.choices)


class KeySerializer(Answer):
    """A key, without its secret."""

    example = {
        "id": "key_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "name": "production", "kind": "inference",
        "prefix": "thk_3fKq", "last4": "9xTa", "scopes": [], "allowed_models": [],
        "allowed_providers": [], "allowed_regions": ["eu"], "ip_allowlist": ["203.0.113.0/24"], "rpm": 300,
        "budget": {"amount": "50.00", "period": "month"}, "created_by": "ann@example.com",
        "expires_at": None, "created_at": "2026-11-02T09:30:00Z",
        "last_used_at": None, "revoked_at": None,
    }  # fmt: skip

    id = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=ApiKey.Kind.choices)
    prefix = serializers.CharField(help_text="How the secret begins.")
    last4 = serializers.CharField(help_text="How it ends.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiKey.Scope.choices))
    allowed_models = Names(help_text="Empty sets no limit.")
    allowed_providers = Names()
    allowed_regions = Names()
    ip_allowlist = Names(help_text="Networks it may be used from.")
    rpm = serializers.IntegerField(allow_null=True, help_text="Requests per minute.")
    budget = BudgetSerializer(allow_null=True)
    created_by = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)

    def get_created_by(self, key: ApiKey) -> str | None:
        return key.created_by.email if key.created_by else None


class KeyWithSecretSerializer(KeySerializer):
    """A key with its secret. This is the only time it is shown."""

    example = {**KeySerializer.example, "secret": "thk_3fKq…9xTa"}

    secret = serializers.CharField()


class KeyChangesSerializer(Body):
    """What can be changed. What is left out stays; an empty list or null takes a limit away."""

    example = {"name": "production", "rpm": None, "budget": {"amount": "75.00", "period": "month"}}

    name = serializers.CharField(max_length=MAX_NAME, required=False)
    scopes = Items(
        child=serializers.ChoiceField(choices=ApiKey.Scope.choices), required=False, max_length=3,
        help_text="Of a management key; without, `read` and `write`.",
    )  # fmt: skip
    allowed_models = Names(max_length=120, required=False)
    allowed_providers = Names(max_length=60, required=False)
    allowed_regions = Names(max_length=20, required=False)
    ip_allowlist = Names(max_length=50, required=False)
    rpm = serializers.IntegerField(min_value=1, max_value=MAX_RPM, required=False, allow_null=True)
    budget = NewBudgetSerializer(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate_budget(self, given: dict[str, Any] | None) -> Budget | None:
        return None if given is None else Budget(given["amount"], given["period"])


class NewKeySerializer(KeyChangesSerializer):
    """A key to be made. What is left out sets no limit."""

    example = {
        "name": "production", "allowed_regions": ["eu"], "rpm": 300,
        "budget": {"amount": "50.00", "period": "month"},
    }  # fmt: skip

    name = serializers.CharField(max_length=MAX_NAME)
    kind = serializers.ChoiceField(choices=ApiKey.Kind.choices, required=False)


class RotationSerializer(Body):
    """How a key is rotated."""

    example = {"grace_s": 3600}

    grace_s = serializers.IntegerField(
        min_value=0, max_value=int(services.MAX_GRACE.total_seconds()), default=0,
        help_text="Seconds in which the secret before is still accepted; none by default.",
    )  # fmt: skip


class KeysView(ApiView):
    """What the operations on keys share."""

    def key(self, key_id: str) -> ApiKey:
        """The organization's key of this id."""
        found: ApiKey = self.one(ApiKey.objects.select_related("created_by"), key_id, "key")
        return found

    def with_secret(self, minted: services.Minted, status: int) -> HttpResponse:
        """The one answer that has the secret in it."""
        key: Any = minted.key
        key.secret = minted.secret
        answer = self.answer(KeyWithSecretSerializer, key, status)
        answer.secret_of = key.id  # type: ignore[attr-defined]
        return answer

    def keep_to_inference_keys(self, kind: str) -> None:
        """Management keys are made and changed by people, so that none makes itself stronger."""
        if self.caller.key is not None and kind == ApiKey.Kind.MANAGEMENT:
            raise Problem(
                403, "insufficient_scope",
                "Management keys are made and changed by people, on the keys page of the console.",
            )  # fmt: skip


class Keys(KeysView):
    """All keys."""

    @operation(
        "list_keys", "List keys", scopes=READ, permission=Permission.VIEW, query=PageQuery,
        answer=paged(KeySerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """The newest first, revoked and expired ones too."""
        rows = ApiKey.objects.for_organization(self.caller.organization)
        return page(
            request, self.asked(PageQuery), rows.select_related("created_by"), KeySerializer
        )

    @operation(
        "create_key", "Create a key", scopes=WRITE, permission=Permission.MANAGE_KEYS, recent=True,
        body=NewKeySerializer, answer=KeyWithSecretSerializer, status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """The secret is in this answer alone: keep it. A management key makes inference keys only, with its own
        limits where none are given, and none that reaches further than itself. The budgets of all the keys it makes
        add up to its own at most: what would be more is refused as `budget_given_out`, which says what is left.
        """
        wanted = self.sent(NewKeySerializer)
        caller = self.caller
        self.keep_to_inference_keys(wanted.get("kind", ""))
        if caller.key is not None:
            wanted = {**inherited(caller.key), **wanted}
            refuse_stronger(caller.key, _limits(wanted))
        with kept_to_budget(caller.key):
            minted = services.mint(
                caller.organization, actor=caller.actor, created_by=caller.person, maker=caller.key, **wanted
            )  # fmt: skip
        return self.with_secret(minted, 201)


class Key(KeysView):
    """One key."""

    @operation("get_key", "One key", scopes=READ, permission=Permission.VIEW, answer=KeySerializer)
    def get(self, request: Request, key_id: str) -> HttpResponse:
        """A key, without its secret."""
        return self.answer(KeySerializer, self.key(key_id))

    @operation(
        "change_key", "Change a key", scopes=WRITE, permission=Permission.MANAGE_KEYS, recent=True,
        body=KeyChangesSerializer, answer=KeySerializer,
    )  # fmt: skip
    def patch(self, request: Request, key_id: str) -> HttpResponse:
        """Name, limits and budget; in force from the next request on. Management keys are changed by people only."""
        key, caller = self.key(key_id), self.caller
        self.keep_to_inference_keys(key.kind)
        changes = _limits(self.sent(KeyChangesSerializer))
        if caller.key is not None:
            refuse_stronger(caller.key, changes)
        with kept_to_budget(caller.key):
            changed = services.update(key, changes, actor=caller.actor)
            if caller.key is not None and {"budget", "expires_at"} & set(changes):
                services.count_for(caller.key, key)
        return self.answer(KeySerializer, changed)

    @operation(
        "revoke_key", "Revoke a key", scopes=WRITE, permission=Permission.MANAGE_KEYS,
        answer=KeySerializer,
    )  # fmt: skip
    def delete(self, request: Request, key_id: str) -> HttpResponse:
        """Stop it for good, in every gateway within a second. Doing so again changes nothing."""
        key = services.revoke(self.key(key_id), actor=self.caller.actor)
        return self.answer(KeySerializer, key)


class KeyRotation(KeysView):
    """A key's secret."""

    @operation(
        "rotate_key", "Rotate a key", scopes=WRITE, permission=Permission.MANAGE_KEYS, recent=True,
        body=RotationSerializer, answer=KeyWithSecretSerializer,
    )  # fmt: skip
    def post(self, request: Request, key_id: str) -> HttpResponse:
        """A new secret for the same key, in this answer alone. A management key rotates itself, and inference keys
        that reach no further than itself; what it rotates counts for its budget as what it makes does.
        """
        key, caller = self.key(key_id), self.caller
        if caller.key is not None and caller.key.id != key.id:
            self.keep_to_inference_keys(key.kind)
            refuse_stronger(caller.key, limits_of(key))
        grace = timedelta(seconds=self.sent(RotationSerializer)["grace_s"])
        with kept_to_budget(caller.key):
            minted = services.rotate(key, grace=grace, actor=caller.actor, rotated_by=caller.person)
            if caller.key is not None and caller.key.id != key.id:
                services.count_for(caller.key, key)
        return self.with_secret(minted, 200)


def _limits(fields: dict[str, Any]) -> Changes:
    """The fields that are limits of a key."""
    return {name: value for name, value in fields.items() if name != "kind"}  # type: ignore[return-value]
