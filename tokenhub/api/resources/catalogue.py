"""``/models/``, ``/providers/``, ``/plans/``, ``/announcements/``: what there is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import Organization
from accounts.roles import Permission
from billing.models import Plan, PlanVersion
from billing.plans import current_versions, terms_of
from routing.engine import PLAN_PREFIX, decide
from routing.errors import PlanRequired, UnknownModel
from routing.models import Certification, Model, Provider
from routing.selectors import boundaries_of, load_catalogue, preferences_of
from routing.types import Ask, Boundaries, Catalogue, Health, ModelInfo, Offering
from tokenhub.api.fields import Answer, Names, Usd, address
from tokenhub.api.pages import PageQuery, page_of, paged
from tokenhub.api.view import ANY, ApiView, operation
from tokenhub.web.models import Announcement


class OfferingSerializer(Answer):
    """A model at one provider in one region. Prices are USD per million tokens, per image or per second."""

    provider = serializers.CharField()
    region = serializers.CharField()
    context_length = serializers.IntegerField(allow_null=True)
    max_output = serializers.IntegerField(allow_null=True)
    capabilities = serializers.SerializerMethodField()
    price = serializers.SerializerMethodField()

    def get_capabilities(self, offering: Offering) -> list[str]:
        return sorted(offering.capabilities)

    def get_price(self, offering: Offering) -> dict[str, str]:
        return offering.price.summary() if offering.price else {}


class ModelSerializer(Answer):
    """A name that `model` of a request can have."""

    example = {
        "id": "deepseek-v3.2", "kind": "model", "name": "DeepSeek V3.2", "modality": "text", "status": "active",
        "created_at": "2026-01-05T00:00:00Z", "plan": None, "models": [], "available": True,
        "offerings": [
            {
                "provider": "deepseek", "region": "cn", "context_length": 131072, "max_output": 8192,
                "capabilities": ["json", "tools"], "price": {"input": "0.28", "output": "0.42"},
            }
        ],
    }  # fmt: skip

    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["model", "plan_model"])
    name = serializers.CharField()
    modality = serializers.ChoiceField(choices=Model.Modality.choices)
    status = serializers.ChoiceField(choices=Model.Status.choices)
    created_at = serializers.DateTimeField(allow_null=True)
    plan = serializers.CharField(
        allow_null=True, help_text="The lowest plan that has a plan model."
    )
    models = Names(help_text="What a plan model stands for, in order of preference.")
    available = serializers.BooleanField(
        help_text="Whether anything is left of it inside the organization's boundaries and plan."
    )
    offerings = OfferingSerializer(many=True)


class ModelQuery(PageQuery):
    """Which models."""

    modality = serializers.ChoiceField(choices=Model.Modality.choices, required=False)


class Models(ApiView):
    """The models."""

    @operation(
        "list_models", "List models", scopes=ANY, permission=Permission.VIEW, query=ModelQuery,
        answer=paged(ModelSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Every model and plan model with its offerings, and whether the organization can call it now."""
        query = self.asked(ModelQuery)
        catalogue = load_catalogue()
        reach = _Reach.of(self.caller.organization, catalogue)
        rows = [reach.model(info) for info in catalogue.models.values()]
        rows += [reach.plan_model(name) for name in catalogue.plan_models]
        if wanted := query.get("modality"):
            rows = [row for row in rows if row["modality"] == wanted]
        return page_of(request, query, rows, ModelSerializer, key=lambda row: row["id"])


class ProviderSerializer(Answer):
    """A company that runs models. `null` means unknown, and unknown never satisfies a requirement."""

    example = {
        "id": "deepseek", "name": "DeepSeek", "regions": ["cn"], "models": ["deepseek-v3.2"],
        "zero_retention": None, "no_training": True, "certifications": ["iso27001"],
    }  # fmt: skip

    id = serializers.CharField(source="slug")
    name = serializers.CharField()
    regions = Names()
    models = Names()
    zero_retention = serializers.BooleanField(allow_null=True)
    no_training = serializers.BooleanField(allow_null=True)
    certifications = serializers.ListField(
        child=serializers.ChoiceField(choices=Certification.choices)
    )


class Providers(ApiView):
    """The providers."""

    @operation(
        "list_providers", "List providers", scopes=ANY, permission=Permission.VIEW, query=PageQuery,
        answer=paged(ProviderSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Who runs what, where, and what is known of their data policies."""
        query = self.asked(PageQuery)
        offerings = load_catalogue().offerings
        rows: list[Any] = list(Provider.objects.filter(enabled=True))
        for row in rows:
            mine = [offering for offering in offerings if offering.provider == row.slug]
            row.regions = sorted({offering.region for offering in mine})
            row.models = sorted({offering.model for offering in mine})
        return page_of(request, query, rows, ProviderSerializer, key=lambda row: str(row.slug))


class PlanSerializer(Answer):
    """A plan as it is today."""

    example = {
        "id": "pro", "name": "Pro", "current": True, "requests_per_minute": 600, "requests_at_once": 100,
        "monthly_price": "49.00", "service_fee_bps": 300, "sla": "99.9 %", "support_response": "8 hours",
        "compliance_extension": False,
    }  # fmt: skip

    id = serializers.CharField(source="plan_id")
    name = serializers.CharField(source="plan.name")
    current = serializers.SerializerMethodField(help_text="Whether the organization is on it.")
    requests_per_minute = serializers.IntegerField(source="rpm")
    requests_at_once = serializers.IntegerField(source="concurrency")
    monthly_price = Usd(
        source="monthly_price_nano", allow_null=True, help_text="Null: by agreement."
    )
    service_fee_bps = serializers.IntegerField(source="fee_bps", help_text="300 is 3 %.")
    sla = serializers.CharField()
    support_response = serializers.CharField()
    compliance_extension = serializers.BooleanField()

    def get_current(self, version: PlanVersion) -> bool:
        return bool(getattr(version, "is_current", False))


class Plans(ApiView):
    """The plans."""

    @operation(
        "list_plans", "List plans", scopes=ANY, permission=Permission.VIEW, query=PageQuery,
        answer=paged(PlanSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """From the lowest to the highest, with what each offers."""
        query = self.asked(PageQuery)
        held = terms_of(self.caller.organization).plan.slug
        rows: list[Any] = current_versions()
        for row in rows:
            row.is_current = row.plan_id == held
        return page_of(request, query, rows, PlanSerializer, key=lambda row: f"{row.plan.rank:05d}")


class AnnouncementSerializer(Answer):
    """Something customers are told. The body is Markdown."""

    example = {
        "id": "maintenance-in-june", "title": "Maintenance in June", "body": "On **Sunday** …",
        "severity": "maintenance", "published_at": "2026-06-01T08:00:00Z", "ends_at": None,
        "url": "https://tokenhub.example/announcements/maintenance-in-june/",
    }  # fmt: skip

    id = serializers.CharField(source="slug")
    title = serializers.CharField()
    body = serializers.CharField()
    severity = serializers.ChoiceField(choices=Announcement.Severity.choices)
    published_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    url = serializers.SerializerMethodField()

    def get_url(self, announcement: Announcement) -> str:
        return address("announcement", announcement.slug)


class Announcements(ApiView):
    """The announcements."""

    @operation(
        "list_announcements", "List announcements", scopes=ANY, permission=Permission.VIEW,
        query=PageQuery, answer=paged(AnnouncementSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Incidents, maintenance and news, the newest first."""
        query = self.asked(PageQuery)
        rows = list(Announcement.objects.published())
        return page_of(request, query, rows, AnnouncementSerializer, key=_newest_first)


def _newest_first(announcement: Announcement) -> str:
    """A text that sorts by time, the newest first, and then by name."""
    published = announcement.published_at
    assert published is not None
    return f"{2**53 - int(published.timestamp() * 1_000_000):020d} {announcement.slug}"


@dataclass(frozen=True, slots=True)
class _Reach:
    """What an organization can call, by boundaries and plan; whether it answers right now is another matter."""

    organization: str
    boundaries: tuple[Boundaries, ...]
    plans: frozenset[str]
    catalogue: Catalogue

    @classmethod
    def of(cls, organization: Organization, catalogue: Catalogue) -> "_Reach":
        rank = terms_of(organization).plan.rank
        plans = Plan.objects.filter(rank__lte=rank).values_list("slug", flat=True)
        boundaries = (boundaries_of(preferences_of(organization)),)
        return cls(organization.id, boundaries, frozenset(plans), catalogue)

    def model(self, info: ModelInfo) -> Mapping[str, Any]:
        offerings = self.catalogue.by_model.get(info.slug, ())
        return {
            "id": info.slug,
            "kind": "model",
            "name": info.name,
            "modality": info.modality,
            "status": info.status,
            "created_at": datetime.fromtimestamp(info.created_s, UTC),
            "plan": None,
            "models": [],
            "available": self._left(info.slug, info.modality),
            "offerings": offerings,
        }

    def plan_model(self, name: str) -> Mapping[str, Any]:
        plan_model = self.catalogue.plan_models[name]
        known = [
            self.catalogue.models[each]
            for each in plan_model.models
            if each in self.catalogue.models
        ]
        modality = known[0].modality if known else Model.Modality.TEXT.value
        return {
            "id": f"{PLAN_PREFIX}/{name}",
            "kind": "plan_model",
            "name": name,
            "modality": modality,
            "status": Model.Status.ACTIVE.value,
            "created_at": None,
            "plan": plan_model.plan,
            "models": list(plan_model.models),
            "available": self._left(f"{PLAN_PREFIX}/{name}", modality),
            "offerings": [
                offering
                for info in known
                for offering in self.catalogue.by_model.get(info.slug, ())
                if not plan_model.regions or offering.region in plan_model.regions
            ],
        }

    def _left(self, name: str, modality: str) -> bool:
        ask = Ask(name, self.organization, modality=modality, plans=self.plans)
        try:
            return bool(decide(ask, self.boundaries, self.catalogue, Health()).candidates)
        except (UnknownModel, PlanRequired):
            return False
