"""The demonstration catalogue: real public models at public list prices, served by the simulated providers.

``catalogue.csv`` has a line per offering; ``catalogue-plan-models.csv`` a line per plan model.
Loading it again changes nothing but the address of the providers.
"""

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from django.db import transaction

from routing.models import (
    Endpoint,
    Model,
    Offering,
    PlanModel,
    Price,
    PriceComponent,
    Provider,
    Region,
)

HERE = Path(__file__).resolve().parent
REGIONS = {"cn": "China", "sg": "Singapore", "us": "United States", "eu": "European Union"}
# What a provider says of itself; for the simulated ones, a mixture that makes every requirement meaningful.
PROVIDERS: dict[str, tuple[str, bool | None, bool | None, list[str]]] = {
    # slug: name, zero retention, no training, certifications
    "alibaba": ("Alibaba Cloud", None, True, ["iso27001", "soc2"]),
    "anthropic": ("Anthropic", None, True, ["soc2", "iso27001", "hipaa", "gdpr_dpa"]),
    "azure": ("Microsoft Azure", True, True, ["soc2", "iso27001", "hipaa", "gdpr_dpa"]),
    "deepinfra": ("DeepInfra", True, True, ["soc2", "iso27001"]),
    "deepseek": ("DeepSeek", None, None, []),
    "moonshot": ("Moonshot AI", None, None, []),
    "novita": ("Novita AI", None, True, ["soc2"]),
    "openai": ("OpenAI", None, True, ["soc2", "iso27001", "hipaa", "gdpr_dpa"]),
    "sambanova": ("SambaNova", True, True, ["soc2"]),
    "scaleway": ("Scaleway", True, True, ["iso27001", "gdpr_dpa"]),
    "together": ("Together AI", True, True, ["soc2", "hipaa"]),
    "vertex": ("Google Vertex AI", True, True, ["soc2", "iso27001", "hipaa", "gdpr_dpa"]),
    "zai": ("Z.ai", None, None, []),
}
NAMES = {
    "deepseek-v3.2": "DeepSeek V3.2",
    "qwen-plus": "Qwen Plus",
    "qwen3-max": "Qwen3 Max",
    "kimi-k2.5": "Kimi K2.5",
    "glm-5": "GLM-5",
    "minimax-m2.5": "MiniMax M2.5",
    "llama-3.3-70b": "Llama 3.3 70B",
    "gpt-4o-mini": "GPT-4o mini",
    "gpt-5-mini": "GPT-5 mini",
    "claude-sonnet-4.5": "Claude Sonnet 4.5",
    "claude-haiku-4.5": "Claude Haiku 4.5",
    "text-embedding-3-small": "Text Embedding 3 Small",
    "wan2.6-t2i": "Wan 2.6 Text to Image",
    "gpt-image-2": "GPT Image 2",
    "flux-1.1-pro": "FLUX 1.1 Pro",
    "wan2.7-t2v": "Wan 2.7 Text to Video",
    "happyhorse-1.0-t2v": "HappyHorse 1.0 Text to Video",
}
UNITS = {
    "input": "input",
    "cached_input": "cached_input",
    "cache_write": "cache_write",
    "cache_write_1h": "cache_write_1h",
    "output": "output",
    "image": "image",
    "second_720p": "video_second_720p",
    "second_1080p": "video_second_1080p",
}
# What follows the provider's address in each dialect's base URL.
BASE_PATHS = {"openai": "/v1", "anthropic": "/v1", "dashscope": "/api/v1"}

Component = tuple[str, int, int | None, int]


@transaction.atomic
def load_demo_catalogue(base_url: str) -> None:
    """Load or refresh the catalogue, with every provider at ``<base_url>/<provider>/<region>``."""
    for slug, name in REGIONS.items():
        Region.objects.update_or_create(slug=slug, defaults={"name": name})
    for row in rows("catalogue.csv"):
        endpoint = _endpoint(row, base_url)
        model, _ = Model.objects.get_or_create(
            slug=row["model"],
            defaults={"name": NAMES.get(row["model"], row["model"]), "modality": row["modality"]},
        )
        offering, _ = Offering.objects.update_or_create(
            model=model,
            endpoint=endpoint,
            defaults={
                "upstream_model": row["upstream_model"],
                "context_length": row["context_length"] or None,
                "max_output": row["max_output"] or None,
                "capabilities": row["capabilities"].split(),
            },
        )
        _price(offering, sorted(components(row)))
    for row in rows("catalogue-plan-models.csv"):
        PlanModel.objects.update_or_create(
            name=row["name"],
            defaults={
                "plan": row["plan"],
                "models": row["models"].split(),
                "regions": row["regions"].split(),
            },
        )


def rows(name: str) -> Iterator[dict[str, str]]:
    """The lines of a seed file by column; lines that begin with ``#`` are notes."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def components(row: dict[str, str]) -> Iterator[Component]:
    """``(unit, from tokens, up to tokens, nano-USD)`` of a line; tiers are ``amount@upto|…|amount``."""
    for column, unit in UNITS.items():
        lower = 0
        for tier in filter(None, row.get(column, "").split("|")):
            amount, _, upper = tier.partition("@")
            upto = int(upper) if upper else None
            yield unit, lower, upto, int(Decimal(amount) * 1_000_000_000)
            lower = upto or 0


def _endpoint(row: dict[str, str], base_url: str) -> Endpoint:
    slug = row["provider"]
    name, zero_retention, no_training, certifications = PROVIDERS[slug]
    provider, _ = Provider.objects.get_or_create(
        slug=slug,
        defaults={
            "name": name,
            "zero_retention": zero_retention,
            "no_training": no_training,
            "certifications": certifications,
        },
    )
    endpoint, _ = Endpoint.objects.update_or_create(
        provider=provider,
        region_id=row["region"],
        dialect=row["dialect"],
        defaults={
            "base_url": f"{base_url}/{slug}/{row['region']}{BASE_PATHS[row['dialect']]}",
            "credential": f"sim-{slug}",
        },
    )
    return endpoint


def _price(offering: Offering, wanted: list[Component]) -> None:
    latest = offering.prices.order_by("-effective_from").first()
    if latest is not None:
        parts = latest.components.values_list("unit", "from_tokens", "upto_tokens", "amount_nano")
        if sorted(parts) == wanted:
            return
    price = Price.objects.create(offering=offering)
    PriceComponent.objects.bulk_create(
        PriceComponent(
            price=price, unit=unit, from_tokens=lower, upto_tokens=upto, amount_nano=amount
        )
        for unit, lower, upto, amount in wanted
    )
