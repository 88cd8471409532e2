"""The words of a routing decision: plain, immutable values. Nothing here does I/O or knows Django."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import msgspec

# What a call makes anew is a Struct: it takes a tenth of the time that a frozen dataclass takes.

HEALTHY, DEGRADED, DOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class PriceComponent:
    """One unit's amount within one tier of prompt size (more than ``from_tokens``, at most ``upto_tokens``).

    ``amount_nano`` is nano-USD per million tokens, per image, or per second of video.
    """

    unit: str
    amount_nano: int
    from_tokens: int = 0
    upto_tokens: int | None = None


# Compared by identity, as everything that is a row of the database: what is derived from them is
# cached per request, and hashing their contents would cost more than deriving it again.
@dataclass(frozen=True, slots=True, eq=False)
class Price:
    """One version of an offering's price."""

    version: int
    components: tuple[PriceComponent, ...]

    def summary(self) -> dict[str, str]:
        """The first tier of every unit, as decimal strings in USD per million tokens, image or second."""
        return _summary(self)


@lru_cache(maxsize=20_000)
def _summary(price: Price) -> dict[str, str]:
    usd: dict[str, str] = {}
    for component in sorted(price.components, key=lambda part: part.from_tokens):
        amount = Decimal(component.amount_nano) / 1_000_000_000
        usd.setdefault(component.unit, f"{amount.normalize():f}")
    return usd


@dataclass(frozen=True, slots=True, eq=False)
class Offering:
    """One model, run by one provider, in one region."""

    id: int
    model: str
    provider: str
    region: str
    modality: str
    dialect: str
    upstream_model: str
    context_length: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] = frozenset()
    weight: int = 100
    policies: frozenset[str] = frozenset()
    """Data policies and certifications that are known to hold."""
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Hard limits of one origin. An empty allow-list sets no limit."""

    origin: str
    allowed_regions: frozenset[str] = frozenset()
    allowed_providers: frozenset[str] = frozenset()
    denied_providers: frozenset[str] = frozenset()
    allowed_models: frozenset[str] = frozenset()
    denied_models: frozenset[str] = frozenset()
    require: frozenset[str] = frozenset()

    def excludes(self, offering: Offering) -> tuple[str, str] | None:
        """The rule that excludes an offering and a detail for people, or ``None`` where none does."""
        if self.allowed_regions and offering.region not in self.allowed_regions:
            return "region_not_allowed", f"allowed regions: {_listed(self.allowed_regions)}"
        if self.allowed_providers and offering.provider not in self.allowed_providers:
            return "provider_not_allowed", f"allowed providers: {_listed(self.allowed_providers)}"
        if offering.provider in self.denied_providers:
            return "provider_denied", f"denied providers: {_listed(self.denied_providers)}"
        if self.allowed_models and offering.model not in self.allowed_models:
            return "model_not_allowed", f"allowed models: {_listed(self.allowed_models)}"
        if offering.model in self.denied_models:
            return "model_denied", f"denied models: {_listed(self.denied_models)}"
        if not self.require <= offering.policies:
            missing = self.require - offering.policies
            return "requirement_missing", f"not known to satisfy: {_listed(missing)}"
        return None

    def admit(self, offering: Offering) -> bool:
        """Whether nothing here excludes the offering."""
        return self.excludes(offering) is None


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model, whoever runs it."""

    slug: str
    name: str
    modality: str
    status: str = "active"
    created_s: int = 0


class PlanModelInfo(NamedTuple):
    """``tokenhub/<name>``: the lowest plan that may call it, its models in order of preference, and
    the regions it promises, if any.
    """

    plan: str
    models: tuple[str, ...]
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """Everything on offer at one moment."""

    offerings: tuple[Offering, ...]
    models: Mapping[str, ModelInfo]
    plan_models: Mapping[str, PlanModelInfo] = field(default_factory=dict)
    next_change_s: float | None = None
    """When the next price comes into force, in Unix time."""

    @cached_property
    def by_model(self) -> Mapping[str, tuple[Offering, ...]]:
        """The offerings of each model, so that a decision costs nothing for the others."""
        grouped: dict[str, list[Offering]] = {slug: [] for slug in self.models}
        for offering in self.offerings:
            grouped.setdefault(offering.model, []).append(offering)
        return {slug: tuple(found) for slug, found in grouped.items()}

    @cached_property
    def providers(self) -> frozenset[str]:
        """Every provider's slug."""
        return frozenset(offering.provider for offering in self.offerings)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was observed of an offering, for the strategies that sort by it."""

    latency_ms: float | None = None
    tokens_per_s: float | None = None


class Health(msgspec.Struct, frozen=True):
    """Observations by offering id. What is not named is healthy and unmeasured."""

    tiers: Mapping[int, int] = {}
    measured: Mapping[int, Measured] = {}


class Ask(msgspec.Struct, frozen=True):
    """What a request needs."""

    model: str
    organization: str
    conversation: bytes = b""
    modality: str = "text"
    input_tokens: int = 0
    max_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    sort: str | None = None
    plans: frozenset[str] = frozenset()
    """The organization's plan and every lower one."""
    dialects: frozenset[str] | None = None
    """Upstream dialects that can carry this request; ``None`` sets no limit."""


class Candidate(msgspec.Struct, frozen=True):
    """An offering the request may go to, in the place the decision gave it."""

    offering: Offering
    tier: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An offering the request may not go to, the rule that says so, and whose rule it is."""

    offering: Offering
    rule: str
    origin: str
    detail: str


class Decision(msgspec.Struct, frozen=True):
    """Every offering of the model that was asked for, either a candidate or excluded by a rule."""

    model: str
    candidates: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]

    def as_dict(self) -> dict[str, Any]:
        """The shape of INTERFACE.md §3 (explain), but for ``policy_version``."""
        return {
            "model": self.model,
            "candidates": [
                {
                    "provider": candidate.offering.provider,
                    "region": candidate.offering.region,
                    "model": candidate.offering.model,
                    "tier": candidate.tier,
                    "price": candidate.offering.price.summary() if candidate.offering.price else {},
                    "reason": candidate.reason,
                }
                for candidate in self.candidates
            ],
            "excluded": [
                {
                    "provider": exclusion.offering.provider,
                    "region": exclusion.offering.region,
                    "model": exclusion.offering.model,
                    "rule": exclusion.rule,
                    "origin": exclusion.origin,
                    "detail": exclusion.detail,
                }
                for exclusion in self.excluded
            ],
        }
