"""What the front page says of the platform, from what is on record and nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from django.db.models import Sum

from routing.listing import Listing
from routing.models import Model, OfferingHealth
from routing.types import ModelInfo
from tokenhub.web.models import Incident, ProviderDay
from tokenhub.web.pricelist import prices_of
from tokenhub.web.status import share_answered

DAYS = 30
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts of what is on offer, and how it does; what nobody can say yet is None."""

    models: int
    kinds: list[str]
    providers: int
    regions: int
    answered: float | None
    asked: int
    first_token_ms: int | None
    incidents: int


@dataclass(frozen=True, slots=True)
class Offered:
    """A text model with how many run it, and the lowest price of its input and output (nano-USD)."""

    model: ModelInfo
    providers: int
    input_nano: int
    output_nano: int


def facts(listed: Listing) -> Facts:
    """As it is now. Three queries."""
    offerings = listed.catalogue.offerings
    first = datetime.now(UTC).date() - timedelta(days=DAYS - 1)
    sums = ProviderDay.objects.filter(day__gte=first, provider__in=listed.catalogue.providers)
    counted = sums.aggregate(asked=Sum("attempts"), failed=Sum("failures"))
    asked, failed = counted["asked"] or 0, counted["failed"] or 0
    latencies = OfferingHealth.objects.filter(
        latency_ms__isnull=False, offering__model__modality=Model.Modality.TEXT
    ).values_list("latency_ms", flat=True)
    first_token = [latency for latency in latencies if latency is not None]
    incidents = Incident.objects.filter(closed_at=None).count()
    return Facts(
        models=len({offering.model for offering in offerings}),
        kinds=[
            str(name)
            for kind, name in Model.Modality.choices
            if any(offering.modality == kind for offering in offerings)
        ],
        providers=len({offering.provider for offering in offerings}),
        regions=len({offering.region for offering in offerings}),
        answered=share_answered(asked, failed, "warn" if incidents else "ok"),
        asked=asked,
        first_token_ms=int(median(first_token)) if first_token else None,
        incidents=incidents,
    )


def most_offered(listed: Listing) -> list[Offered]:
    """The text models that most providers run."""
    found = []
    for slug, offerings in listed.catalogue.by_model.items():
        info = listed.catalogue.models.get(slug)
        if info is None or info.modality != Model.Modality.TEXT or info.status != "active":
            continue
        prices = [price for offering in offerings if (price := prices_of(offering))]
        if prices and all("input" in price and "output" in price for price in prices):
            found.append(
                Offered(
                    model=info,
                    providers=len({offering.provider for offering in offerings}),
                    input_nano=min(price["input"] for price in prices),
                    output_nano=min(price["output"] for price in prices),
                )
            )
    return sorted(found, key=lambda each: (-each.providers, each.model.name.lower()))[:SHOWN]
