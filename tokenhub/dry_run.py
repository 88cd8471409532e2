"""A routing decision without a call: what the gateway would decide now, for the console and for REST.

The boundaries and the ask are made as the gateway makes them; a test compares the two.
"""

import uuid
from dataclasses import dataclass

from accounts.models import Organization
from billing.models import Plan
from billing.plans import Terms, terms_of
from keys.models import ApiKey
from routing.engine import BYTES_PER_TOKEN, attempts, decide, resolve
from routing.errors import PlanRequired, UnknownModel
from routing.listing import listing
from routing.selectors import boundaries_of, load_health, preferences_of
from routing.types import Ask, Boundaries, Candidate, Catalogue, Decision, Health
from tokenhub.gateway.chat.attempt import MAX_ATTEMPTS
from tokenhub.gateway.dialects.table import UPSTREAM


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request would say. ``input_tokens`` is the prompt's length; all but the model may be empty."""

    model: str
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    sort: str | None = None
    allow_fallbacks: bool = True
    capabilities: frozenset[str] = frozenset()
    input_tokens: int = 0
    max_tokens: int | None = None
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class DryRun:
    """The decision; which of its candidates would be tried, in order; and the preferences it heeded."""

    decision: Decision
    tried: tuple[Candidate, ...]
    policy_version: int
    modality: str


def dry_run(
    organization: Organization,
    wishes: Wishes,
    *,
    key: ApiKey | None = None,
    catalogue: Catalogue | None = None,
    health: Health | None = None,
) -> DryRun:
    """Decide as the gateway would, and send nothing. Without a key, as with one that sets no limits.

    Raises ``UnknownModel`` and ``PlanRequired`` of ``routing.errors``.
    """
    catalogue = catalogue or listing().catalogue
    preferences = preferences_of(organization)
    strategy = preferences.strategy
    modality = _modality(wishes.model, catalogue)
    ask = Ask(
        model=wishes.model,
        organization=str(uuid.UUID(organization.id.removeprefix("org_"))),
        conversation=b"session:" + wishes.session_id.encode() if wishes.session_id else b"",
        modality=modality,
        # The engine reckons in bytes, of which it takes the fewest tokens there can be.
        input_tokens=wishes.input_tokens * BYTES_PER_TOKEN,
        max_tokens=wishes.max_tokens,
        capabilities=wishes.capabilities,
        order=wishes.order,
        sort=wishes.sort or (None if strategy == "balanced" else strategy),
        plans=_plans_up_to(terms_of(organization).plan),
        dialects=UPSTREAM if modality == "text" else None,
    )
    boundaries = [boundaries_of(preferences)]
    if key is not None:
        boundaries.append(_of_key(key))
    boundaries.append(_of_request(wishes))
    decision = decide(ask, boundaries, catalogue, health or load_health())
    tried = attempts(decision, MAX_ATTEMPTS, allow_fallbacks=wishes.allow_fallbacks)
    return DryRun(decision, tried, preferences.version if preferences.pk else 0, modality)


@dataclass(frozen=True, slots=True)
class Named:
    """A name that can be called now, and what people call it."""

    name: str
    title: str


def callable_names(
    organization: Organization, modality: str, *, terms: Terms, catalogue: Catalogue
) -> dict[str, list[Named]]:
    """The names of a modality with something left inside the organization's boundaries, in three groups:
    models that the platform routes, plan models, and models pinned to a provider.
    """
    boundaries = (boundaries_of(preferences_of(organization)),)
    plans = _plans_up_to(terms.plan)
    groups: dict[str, list[Named]] = {"The platform routes": [], "Plan models": [], "Pinned": []}

    def add(group: str, name: str, title: str) -> None:
        ask = Ask(
            model=name,
            organization="",
            modality=modality,
            plans=plans,
            dialects=UPSTREAM if modality == "text" else None,
        )
        try:
            left = decide(ask, boundaries, catalogue, Health()).candidates
        except (UnknownModel, PlanRequired):
            return
        if left:
            groups[group].append(Named(name, title))

    for info in sorted(catalogue.models.values(), key=lambda info: info.name):
        if info.modality == modality:
            add("The platform routes", info.slug, info.name)
    for name in sorted(catalogue.plan_models):
        add("Plan models", f"tokenhub/{name}", f"tokenhub/{name}")
    for pinned in sorted(
        {f"{o.provider}/{o.model}" for o in catalogue.offerings if o.modality == modality}
    ):
        add("Pinned", pinned, pinned)
    return {group: found for group, found in groups.items() if found}


def _modality(name: str, catalogue: Catalogue) -> str:
    """That of the model a name stands for: the explorer asks for a model as it is meant to be used."""
    every_plan = frozenset(plan_model.plan for plan_model in catalogue.plan_models.values())
    models, _ = resolve(Ask(model=name, organization="", plans=every_plan), catalogue)
    return catalogue.models[models[0]].modality if models[0] in catalogue.models else "text"


def _plans_up_to(plan: Plan) -> frozenset[str]:
    return frozenset(Plan.objects.filter(rank__lte=plan.rank).values_list("slug", flat=True))


def _of_key(key: ApiKey) -> Boundaries:
    return Boundaries(
        origin="key",
        allowed_regions=frozenset(key.allowed_regions),
        allowed_providers=frozenset(key.allowed_providers),
        allowed_models=frozenset(key.allowed_models),
    )


def _of_request(wishes: Wishes) -> Boundaries:
    return Boundaries(
        origin="request",
        allowed_regions=frozenset(wishes.regions),
        allowed_providers=frozenset(wishes.only),
        denied_providers=frozenset(wishes.ignore),
    )
