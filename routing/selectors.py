"""Reads of the catalogue and of preferences, turned into the engine's immutable values."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Prefetch
from django.utils import timezone

from accounts.models import Organization
from routing import models
from routing.credentials import Secret, secrets_of
from routing.engine import TIER_NAMES
from routing.types import (
    Boundaries,
    Catalogue,
    Health,
    Measured,
    ModelInfo,
    Offering,
    PlanModelInfo,
    Price,
    PriceComponent,
)


def load_catalogue(at: datetime | None = None) -> Catalogue:
    """Everything enabled, at the prices in force at an instant (now by default). Five queries."""
    at = at or timezone.now()
    prices, next_change_s = _prices(at)
    found = (
        models.Offering.objects.filter(enabled=True, endpoint__provider__enabled=True)
        .select_related("model", "endpoint__provider")
        .order_by("pk")
    )
    return Catalogue(
        offerings=tuple(_offering(row, prices.get(row.pk)) for row in found),
        models={
            row.slug: ModelInfo(
                row.slug, row.name, row.modality, row.status, int(row.created_at.timestamp())
            )
            for row in models.Model.objects.all()
        },
        plan_models={
            row.name: PlanModelInfo(row.plan, tuple(row.models), tuple(row.regions))
            for row in models.PlanModel.objects.all()
        },
        next_change_s=next_change_s,
    )


def load_health() -> Health:
    """What is known of every offering now, as the gateways see it. One query."""
    rows = models.OfferingHealth.objects.values_list(
        "offering_id", "status", "latency_ms", "last_probe_ms", "tokens_per_s"
    )
    tiers: dict[int, int] = {}
    measured: dict[int, Measured] = {}
    for offering, status, latency_ms, probe_ms, tokens_per_s in rows:
        tier = TIER_NAMES.index(status)
        if tier:
            tiers[offering] = tier
        # Where no real call has measured it yet, a probe's latency gives it its first chance.
        latency = latency_ms if latency_ms is not None else probe_ms
        if latency is not None or tokens_per_s is not None:
            measured[offering] = Measured(latency, tokens_per_s)
    return Health(tiers, measured)


def endpoints_by_offering() -> Iterator[tuple[int, models.Endpoint, tuple[Secret, ...]]]:
    """``(offering id, endpoint, credentials)`` of everything enabled."""
    rows = models.Offering.objects.filter(enabled=True, endpoint__provider__enabled=True)
    endpoints = models.Endpoint.objects.prefetch_related("spare_credentials", "alarms")
    secrets = {row.pk: (row, secrets_of(row)) for row in endpoints}
    for offering, endpoint in rows.values_list("pk", "endpoint_id"):
        yield offering, *secrets[endpoint]


def preferences_of(organization: Organization) -> models.Preferences:
    """An organization's preferences; without a row, those that set no limit."""
    found: models.Preferences | None = models.Preferences.objects.for_organization(
        organization
    ).first()
    return found or models.Preferences(organization=organization)


def boundaries_of(preferences: models.Preferences) -> Boundaries:
    """Preferences as the engine's boundaries."""
    return Boundaries(
        origin="organization",
        allowed_regions=frozenset(preferences.allowed_regions),
        allowed_providers=frozenset(preferences.allowed_providers),
        denied_providers=frozenset(preferences.denied_providers),
        allowed_models=frozenset(preferences.allowed_models),
        denied_models=frozenset(preferences.denied_models),
        require=frozenset(preferences.require),
    )


def _prices(at: datetime) -> tuple[dict[int, Price], float | None]:
    in_force: dict[int, Price] = {}
    upcoming: list[float] = []
    versions = models.Price.objects.order_by("offering_id", "effective_from").prefetch_related(
        Prefetch("components", models.PriceComponent.objects.order_by("unit", "from_tokens"))
    )
    for version in versions:
        if version.effective_from > at:
            upcoming.append(version.effective_from.timestamp())
            continue
        in_force[version.offering_id] = Price(
            version=version.pk,
            components=tuple(
                PriceComponent(part.unit, part.amount_nano, part.from_tokens, part.upto_tokens)
                for part in version.components.all()
            ),
        )
    return in_force, min(upcoming, default=None)


def _offering(row: models.Offering, price: Price | None) -> Offering:
    provider = row.endpoint.provider
    policies = set(provider.certifications)
    if provider.zero_retention:
        policies.add(models.DataPolicy.ZERO_RETENTION.value)
    if provider.no_training:
        policies.add(models.DataPolicy.NO_TRAINING.value)
    return Offering(
        id=row.pk,
        model=row.model.slug,
        provider=provider.slug,
        region=row.endpoint.region_id,
        modality=row.model.modality,
        dialect=row.endpoint.dialect,
        upstream_model=row.upstream_model,
        context_length=row.context_length,
        max_output=row.max_output,
        capabilities=frozenset(row.capabilities),
        weight=row.weight,
        policies=frozenset(policies),
        price=price,
    )
