"""The routing decision: boundaries → availability tiers → cache consistency (R11). Pure: the same
arguments give the same decision, in every process and after every restart.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

from routing.errors import PlanRequired, UnknownModel
from routing.types import (
    DOWN,
    Ask,
    Boundaries,
    Candidate,
    Catalogue,
    Decision,
    Exclusion,
    Health,
    Offering,
)

PLAN_PREFIX = "tokenhub"
_CACHE_UNITS = ("cached_input", "cache_write", "cache_write_1h")
STRATEGIES = ("balanced", "price", "latency", "throughput")
MEASURED = ("latency", "throughput")
"""Those that sort by what was measured."""
TIER_NAMES = ("healthy", "degraded", "down")
BYTES_PER_TOKEN = 6
"""No common tokenizer packs more bytes of prose than this into a token on average."""
_UNKNOWN = float("inf")
_BY_SCORE = itemgetter(0, 1)


def decide(
    ask: Ask, boundaries: Sequence[Boundaries], catalogue: Catalogue, health: Health
) -> Decision:
    """Order the offerings a request may go to, and say of every other which rule excludes it.

    Candidates come by availability tier; within a tier by the request's own ``order``, then by a
    plan model's preference, then by the strategy, then by weighted rendezvous of (organization,
    model, conversation), so that one conversation keeps meeting the same provider's cache.

    Raises ``UnknownModel`` and ``PlanRequired``.
    """
    models, pinned = resolve(ask, catalogue)
    boundaries = (*boundaries, *_promised(ask, catalogue))
    candidates: list[tuple[tuple[float, ...], Candidate]] = []
    excluded: list[Exclusion] = []
    for preference, model in enumerate(models):
        for offering in catalogue.by_model.get(model, ()):
            tier = health.tiers.get(offering.id, 0)
            refusal = _excluded(ask, offering, pinned, boundaries, catalogue, tier)
            if refusal is not None:
                excluded.append(refusal)
                continue
            score = rendezvous(ask.organization, offering, ask.conversation)
            rank = (*_place(ask, offering, tier, preference, health), -score)
            candidates.append((rank, Candidate(offering, tier, _reason(ask, offering, tier))))
    candidates.sort(key=lambda ranked: ranked[0])
    return Decision(ask.model, tuple(candidate for _, candidate in candidates), tuple(excluded))


class Order:
    """The candidates of a decision, ready to be put in order for any conversation of its ask.

    Which offerings are candidates does not depend on the conversation, only their order does; so this
    is what ``decide`` would say of the same catalogue and health, for much less.
    """

    def __init__(self, decision: Decision, ask: Ask, catalogue: Catalogue, health: Health) -> None:
        models, _ = resolve(ask, catalogue)
        alike: dict[tuple[float, ...], list[Candidate]] = {}
        for candidate in decision.candidates:
            offering = candidate.offering
            preference = models.index(offering.model)
            place = _place(ask, offering, candidate.tier, preference, health)
            alike.setdefault(place, []).append(candidate)
        # Of each place, the candidates between which the conversation decides.
        self._places = [
            [
                (_hash_key_of(ask.organization, one.offering), _weight(one.offering), one)
                for one in found
            ]
            for _, found in sorted(alike.items(), key=lambda placed: placed[0])
        ]

    def of(self, conversation: bytes) -> tuple[Candidate, ...]:
        """The candidates in the order for one conversation."""
        ordered: list[Candidate] = []
        for place in self._places:
            if len(place) == 1:
                ordered.append(place[0][2])
                continue
            scored = [
                (_score(key, weight, conversation), -number, candidate)
                for number, (key, weight, candidate) in enumerate(place)
            ]
            scored.sort(key=_BY_SCORE, reverse=True)
            ordered += [candidate for _, _, candidate in scored]
        return tuple(ordered)


def attempts(
    decision: Decision, limit: int = 3, *, allow_fallbacks: bool = True
) -> tuple[Candidate, ...]:
    """The candidates a request is tried at: the best of each provider, ``limit`` providers at most (R10)."""
    chosen: dict[str, Candidate] = {}
    for candidate in decision.candidates:
        chosen.setdefault(candidate.offering.provider, candidate)
        if len(chosen) == (limit if allow_fallbacks else 1):
            break
    return tuple(chosen.values())


def resolve(ask: Ask, catalogue: Catalogue) -> tuple[tuple[str, ...], str | None]:
    """The models a name stands for, in order of preference, and the provider it pins, if any (R5)."""
    if ask.model in catalogue.models:
        if catalogue.models[ask.model].status == "retired":
            raise UnknownModel(ask.model)
        return (ask.model,), None
    prefix, slash, name = ask.model.partition("/")
    if not slash:
        raise UnknownModel(ask.model)
    if prefix == PLAN_PREFIX:
        plan_model = catalogue.plan_models.get(name)
        if plan_model is None:
            raise UnknownModel(ask.model)
        if plan_model.plan not in ask.plans:
            raise PlanRequired(plan_model.plan)
        return plan_model.models, None
    if not any(offering.provider == prefix for offering in catalogue.by_model.get(name, ())):
        raise UnknownModel(ask.model)
    return (name,), prefix


def _promised(ask: Ask, catalogue: Catalogue) -> tuple[Boundaries, ...]:
    """The regions a plan model promises are a boundary like any other."""
    prefix, _, name = ask.model.partition("/")
    plan_model = catalogue.plan_models.get(name) if prefix == PLAN_PREFIX else None
    if plan_model is None or not plan_model.regions:
        return ()
    return (Boundaries(origin="plan", allowed_regions=frozenset(plan_model.regions)),)


def _excluded(
    ask: Ask,
    offering: Offering,
    pinned: str | None,
    boundaries: Sequence[Boundaries],
    catalogue: Catalogue,
    tier: int,
) -> Exclusion | None:
    for limits in boundaries:
        broken = limits.excludes(offering)
        if broken is not None:
            return Exclusion(offering, broken[0], limits.origin, broken[1])
    if pinned is not None and offering.provider != pinned:
        return Exclusion(offering, "pinned_elsewhere", "request", f"the name pins {pinned}")
    if offering.modality != ask.modality:
        return Exclusion(
            offering,
            "wrong_modality",
            "model",
            f"it is for {offering.modality}, not {ask.modality}",
        )
    missing = ask.capabilities - offering.capabilities
    if missing:
        return Exclusion(
            offering, "capability_missing", "model", f"it lacks {', '.join(sorted(missing))}"
        )
    if offering.context_length is not None and _needs_more_context(ask, offering.context_length):
        return Exclusion(
            offering,
            "context_too_long",
            "model",
            f"its context is {offering.context_length} tokens",
        )
    if catalogue.models[offering.model].status == "retired":
        return Exclusion(offering, "retired", "platform", "the model is retired")
    if ask.dialects is not None and offering.dialect not in ask.dialects:
        return Exclusion(
            offering, "dialect_unsupported", "platform", f"it speaks {offering.dialect}"
        )
    if offering.price is None:
        return Exclusion(offering, "no_price", "platform", "it has no price in force")
    if tier >= DOWN:
        return Exclusion(offering, "down", "platform", "it does not answer now")
    return None


def _needs_more_context(ask: Ask, context_length: int) -> bool:
    """Whether even the fewest tokens the request can have do not fit.

    ``input_tokens`` is an upper bound in bytes, so that many by ``BYTES_PER_TOKEN`` is a fair lower
    estimate. What turns out too long all the same, the provider refuses.
    """
    return ask.input_tokens // BYTES_PER_TOKEN > context_length


def _place(
    ask: Ask, offering: Offering, tier: int, preference: int, health: Health
) -> tuple[float, ...]:
    """What comes before the conversation when candidates are put in order."""
    ordered = (
        ask.order.index(offering.provider) if offering.provider in ask.order else len(ask.order)
    )
    return (tier, ordered, preference, _by_strategy(ask.sort, offering, health))


def _by_strategy(sort: str | None, offering: Offering, health: Health) -> float:
    if sort == "price":
        return blended_price(offering)
    measured = health.measured.get(offering.id)
    if measured is None:
        return _UNKNOWN if sort in MEASURED else 0.0
    if sort == "latency":
        return _UNKNOWN if measured.latency_ms is None else measured.latency_ms
    if sort == "throughput":
        return _UNKNOWN if measured.tokens_per_s is None else -measured.tokens_per_s
    return 0.0


def blended_price(offering: Offering) -> float:
    """The first tier's amounts, added up: enough to put offerings of one model in order.

    The cache's units are left out: they are charged in place of input, never beside it, and adding them
    would make an offering that has no price for them look the cheaper.
    """
    if offering.price is None:
        return _UNKNOWN
    return float(
        sum(
            part.amount_nano
            for part in offering.price.components
            if part.from_tokens == 0 and part.unit not in _CACHE_UNITS
        )
    )


def rendezvous(organization: str, offering: Offering, conversation: bytes) -> float:
    """The weighted rendezvous score of an offering for a conversation; the highest wins.

    When an offering leaves or joins, only the conversations it wins or loses move. The weight falls
    with the square of the price, so that conversations gather where they cost least without
    all meeting in one place. Source: Schindelhauer and Schomaker, "Weighted Distributed Hash
    Tables" (2005): ``-weight / ln(u)`` with ``u`` uniform in (0, 1).
    """
    return _score(_hash_key_of(organization, offering), _weight(offering), conversation)


def _score(key: bytes, weight: float, conversation: bytes) -> float:
    digest = hashlib.blake2b(conversation, digest_size=8, key=key).digest()
    uniform = (int.from_bytes(digest) + 0.5) / 2**64
    if uniform >= 1.0:  # the topmost values round up to one
        uniform = 1.0 - 2**-53
    return -weight / math.log(uniform)


def _hash_key_of(organization: str, offering: Offering) -> bytes:
    return _hash_key(organization, offering.provider, offering.region, offering.model)


@lru_cache(maxsize=50_000)
def _hash_key(*names: str) -> bytes:
    return hashlib.blake2b("\n".join(names).encode(), digest_size=16).digest()


@lru_cache(maxsize=20_000)
def _weight(offering: Offering) -> float:
    return offering.weight / max(blended_price(offering), 1.0) ** 2


def _reason(ask: Ask, offering: Offering, tier: int) -> str:
    words = [TIER_NAMES[tier]]
    if offering.provider in ask.order:
        words.append("in the order the request gives")
    if ask.sort in ("price", "latency", "throughput"):
        words.append(f"by {ask.sort}")
    else:
        words.append("by cache consistency")
    return ", ".join(words)
