"""``/subscription/``: the plan, and changing it."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import Organization
from accounts.roles import Permission
from billing.models import Subscription as Held
from billing.payments import subscriptions
from billing.plans import subscription_of, terms_of
from tokenhub.api.fields import Answer, Body, Usd, address
from tokenhub.api.view import BILLING, READ_OR_BILLING, ApiView, operation


class SubscriptionSerializer(Answer):
    """The plan in force, and what it comes to with whatever was agreed beyond it."""

    example = {
        "plan": "pro", "name": "Pro", "source": "stripe", "starts_at": "2026-11-02T09:30:00Z",
        "ends_at": None, "monthly_price": "49.00", "requests_per_minute": 600, "requests_at_once": 100,
        "service_fee_bps": 300, "sla": "99.9 %", "support_response": "8 hours",
        "compliance_extension": False, "agreement": None, "checkout_url": None,
    }  # fmt: skip

    plan = serializers.CharField()
    name = serializers.CharField()
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF keeps fields apart
        choices=[("free", "Nothing to pay"), *Held.Source.choices], help_text="How it came about."
    )
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    monthly_price = Usd(allow_null=True)
    requests_per_minute = serializers.IntegerField()
    requests_at_once = serializers.IntegerField()
    service_fee_bps = serializers.IntegerField(help_text="300 is 3 %.")
    sla = serializers.CharField()
    support_response = serializers.CharField()
    compliance_extension = serializers.BooleanField()
    agreement = serializers.CharField(allow_null=True, help_text="The reference of an agreement.")
    checkout_url = serializers.CharField(
        allow_null=True, help_text="Where to pay for the change that was asked for."
    )


class PlanChangeSerializer(Body):
    """The plan that is wanted."""

    example = {"plan": "pro"}

    plan = serializers.CharField(max_length=20)


class Subscription(ApiView):
    """The plan."""

    @operation(
        "get_subscription", "The plan", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        answer=SubscriptionSerializer,
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """What is in force now."""
        return self.answer(SubscriptionSerializer, _described(self.caller.organization))

    @operation(
        "change_subscription", "Change the plan", scopes=BILLING,
        permission=Permission.MANAGE_BILLING, recent=True, body=PlanChangeSerializer,
        answer=SubscriptionSerializer,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """A higher plan begins once it is paid for at `checkout_url`. A lower one begins when what is paid for
        ends; asking for the present plan again takes that back. Enterprise is by agreement: write to us.
        """
        wanted = self.sent(PlanChangeSerializer)["plan"]
        tenant, actor = self.caller.organization, self.caller.actor
        held = subscription_of(tenant)
        checkout_url = None
        if held is not None and held.plan_id == wanted and held.ends_at and held.stripe_id:
            subscriptions.keep(tenant, actor=actor)
        elif subscriptions.preview(tenant, wanted).is_upgrade:
            back = address("plan", tenant.slug)
            checkout_url = subscriptions.start(
                tenant, wanted, user=self.caller.person,
                return_url=f"{back}?session={{CHECKOUT_SESSION_ID}}", cancel_url=back,
            )  # fmt: skip
        else:
            subscriptions.end(tenant, actor=actor)
        return self.answer(SubscriptionSerializer, _described(tenant, checkout_url))


def _described(tenant: Organization, checkout_url: str | None = None) -> dict[str, Any]:
    terms, held = terms_of(tenant), subscription_of(tenant)
    version = terms.version
    return {
        "plan": terms.plan.slug,
        "name": terms.plan.name,
        "source": held.source if held else "free",
        "starts_at": held.starts_at if held else None,
        "ends_at": held.ends_at if held else None,
        "monthly_price": version.monthly_price_nano,
        "requests_per_minute": terms.rpm,
        "requests_at_once": terms.concurrency,
        "service_fee_bps": terms.fee_bps,
        "sla": version.sla,
        "support_response": version.support_response,
        "compliance_extension": version.compliance_extension,
        "agreement": terms.agreement.reference if terms.agreement else None,
        "checkout_url": checkout_url,
    }
