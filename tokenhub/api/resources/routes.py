"""``/routes/explain/``: where a request would go, and why not elsewhere."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from keys.models import ApiKey
from tokenhub.api.fields import Answer, Body, Names
from tokenhub.api.view import READ, ApiView, operation
from tokenhub.dry_run import Wishes, dry_run

MAX_TOKENS = 100_000_000


class CandidateSerializer(Answer):
    """An offering that the request may go to."""

    provider = serializers.CharField()
    region = serializers.CharField()
    model = serializers.CharField()
    tier = serializers.IntegerField(help_text="0 healthy, 1 degraded.")
    price = serializers.DictField(child=serializers.CharField())
    reason = serializers.CharField()


class ExcludedSerializer(Answer):
    """An offering that the request may not go to, the rule that says so, and whose rule it is."""

    provider = serializers.CharField()
    region = serializers.CharField()
    model = serializers.CharField()
    rule = serializers.CharField()
    origin = serializers.CharField(
        help_text="`organization`, `key`, `plan`, `request`, `model` or `platform`."
    )
    detail = serializers.CharField()


class DecisionSerializer(Answer):
    """A routing decision."""

    example = {
        "model": "deepseek-v3.2",
        "candidates": [
            {
                "provider": "alibaba", "region": "eu", "model": "deepseek-v3.2", "tier": 0,
                "price": {"input": "0.30", "output": "0.45"}, "reason": "healthy, by cache consistency",
            }
        ],
        "excluded": [
            {
                "provider": "deepseek", "region": "cn", "model": "deepseek-v3.2", "rule": "region_not_allowed",
                "origin": "organization", "detail": "allowed regions: eu",
            }
        ],
        "policy_version": 7,
        "attempts": [{"provider": "alibaba", "region": "eu", "model": "deepseek-v3.2"}],
    }  # fmt: skip

    model = serializers.CharField()
    candidates = CandidateSerializer(many=True, help_text="In the order of preference.")
    excluded = ExcludedSerializer(many=True)
    policy_version = serializers.IntegerField(help_text="The version of the preferences.")


class PlaceSerializer(Answer):
    """An offering by its name."""

    provider = serializers.CharField()
    region = serializers.CharField()
    model = serializers.CharField()


class ExplanationSerializer(DecisionSerializer):
    """A routing decision, and what would be tried."""

    attempts = PlaceSerializer(many=True, help_text="What would be tried, in order: three at most.")


class ProviderWishesSerializer(Body):
    """The `provider` object of a request; it can only narrow."""

    only = Names(max_length=60, required=False)
    ignore = Names(max_length=60, required=False)
    order = Names(max_length=60, required=False)
    regions = Names(max_length=20, required=False)
    sort = serializers.ChoiceField(
        choices=["price", "latency", "throughput"], required=False, allow_null=True
    )
    allow_fallbacks = serializers.BooleanField(required=False)


class QuestionSerializer(Body):
    """A request as far as routing is concerned; only the model is needed."""

    example = {
        "model": "deepseek-v3.2", "provider": {"regions": ["eu"]}, "session_id": "conversation-7",
        "input_tokens": 1200, "max_tokens": 500, "capabilities": ["tools"],
    }  # fmt: skip

    model = serializers.CharField(max_length=160)
    provider = ProviderWishesSerializer(required=False)
    session_id = serializers.CharField(max_length=200, required=False, allow_blank=True)
    input_tokens = serializers.IntegerField(min_value=0, max_value=MAX_TOKENS, required=False)
    max_tokens = serializers.IntegerField(
        min_value=1, max_value=MAX_TOKENS, required=False, allow_null=True
    )
    capabilities = Names(max_length=20, required=False)
    key = serializers.CharField(
        max_length=60,
        required=False,
        help_text="The id of an inference key whose limits count too.",
    )


class Explain(ApiView):
    """The dry run."""

    @operation(
        "explain_route", "Explain a route", scopes=READ, permission=Permission.VIEW,
        body=QuestionSerializer, answer=ExplanationSerializer,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """What the gateway would decide now: candidates in order, and everything else with the rule that excludes
        it. Nothing is called, and nothing is charged.
        """
        asked = self.sent(QuestionSerializer)
        key = self._key(asked.pop("key", None))
        found = dry_run(self.caller.organization, _wishes(asked), key=key)
        answer = found.decision.as_dict() | {
            "policy_version": found.policy_version,
            "attempts": [
                {"provider": each.offering.provider, "region": each.offering.region, "model": each.offering.model}
                for each in found.tried
            ],
        }  # fmt: skip
        return self.answer(ExplanationSerializer, answer)

    def _key(self, key_id: str | None) -> ApiKey | None:
        if key_id is None:
            return None
        key: ApiKey = self.one(ApiKey.objects.all(), key_id, "key")
        return key


def _wishes(asked: dict[str, Any]) -> Wishes:
    provider = asked.pop("provider", {})
    lists: dict[str, Any] = {
        name: tuple(provider.pop(name, ())) for name in ("only", "ignore", "order", "regions")
    }
    capabilities = frozenset(asked.pop("capabilities", ()))
    return Wishes(capabilities=capabilities, **lists, **provider, **asked)
