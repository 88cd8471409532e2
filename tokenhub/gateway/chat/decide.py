"""Decide: which offerings a request may go to, and for the others, what excludes them."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from billing.money import usd_from_nano
from routing.engine import attempts as first_distinct
from routing.errors import PlanRequired as PlanRequiredForModel
from routing.errors import UnknownModel
from routing.types import Ask, Candidate, Decision, Exclusion, Offering
from tokenhub.gateway.chat.attempt import MAX_ATTEMPTS
from tokenhub.gateway.chat.exchange import AnyRequest, Exchange
from tokenhub.gateway.chat.provider import none_is_up
from tokenhub.gateway.decisions import trace_of
from tokenhub.gateway.dialects import table
from tokenhub.gateway.dialects.base import Inexpressible
from tokenhub.gateway.errors import (
    ModelNotFound,
    OutsideBoundaries,
    PlanRequired,
)
from tokenhub.gateway.runtime import Runtime

CALLED_AT = {
    "text": "/v1/chat/completions",
    "image": "/v1/images/generations",
    "video": "/v1/video/generations",
    "embedding": "/v1/embeddings",
}


def decide_route(
    runtime: Runtime,
    exchange: Exchange[AnyRequest],
    dialects: Collection[str] = table.UPSTREAM,
    *,
    cost_nano: Callable[[Exchange[AnyRequest], Offering], int],
) -> list[Candidate]:
    """The offerings to try, in order; ``dialects`` are those that can carry such a request.

    ``cost_nano`` is the most that the request can cost at an offering, for its ``max_cost``.
    """
    caller, request = exchange.caller, exchange.request
    snapshot = runtime.snapshot()
    ask = Ask(
        model=request.model,
        organization=caller.organization_id,
        conversation=request.conversation,
        modality=request.modality,
        input_tokens=request.input_bound,
        max_tokens=request.max_tokens,
        capabilities=request.capabilities,
        order=tuple(request.options.order),
        sort=request.options.sort or (None if caller.strategy == "balanced" else caller.strategy),
        plans=runtime.plans_up_to(caller.plan_rank),
        dialects=frozenset(dialects),
    )
    boundaries = caller.boundaries
    if request.boundaries is not None:
        boundaries = (*boundaries, request.boundaries)
    try:
        decision, exchange.routing = runtime.decisions.decide(
            caller, ask, boundaries, snapshot.catalogue, runtime.health()
        )
    except UnknownModel:
        raise ModelNotFound(
            f"There is no model “{request.model[:80]}”. GET /v1/models lists what this key may call.",
            param="model",
        ) from None
    except PlanRequiredForModel as error:
        raise PlanRequired(
            f"“{request.model}” needs the {error.plan} plan; this organization is on {caller.plan}.",
            param="model",
        ) from None
    most_nano = request.options.max_cost_nano
    if most_nano is not None:
        decision = _within(decision, most_nano, lambda offering: cost_nano(exchange, offering))
        exchange.routing = trace_of(decision, caller)
    exchange.decision = decision
    if decision.candidates:
        return list(
            first_distinct(decision, MAX_ATTEMPTS, allow_fallbacks=request.options.allow_fallbacks)
        )

    inside = [exclusion for exclusion in decision.excluded if exclusion.origin == "platform"]
    if any(exclusion.rule == "down" for exclusion in inside):
        raise none_is_up(runtime, request.model)
    if request.narrowed_by and any(one.rule == "dialect_unsupported" for one in inside):
        raise Inexpressible(
            f"“{request.narrowed_by[:80]}” cannot be expressed to the providers of this model.",
            param=request.narrowed_by[:80],
        )
    kinds = {one.offering.modality for one in decision.excluded if one.rule == "wrong_modality"}
    raise OutsideBoundaries(
        f"Nothing that offers “{request.model}” is left inside the boundaries of organization, key and"
        f" request. {_what_to_change(decision)}"
        + "".join(
            f" Models of this kind ({kind}) are called at {CALLED_AT[kind]}."
            for kind in sorted(kinds)
        ),
        param="model",
        excluded=decision.as_dict()["excluded"],
    )


def _within(decision: Decision, most_nano: int, cost_nano: Callable[[Offering], int]) -> Decision:
    """The decision without what can cost more than the request's ``max_cost``."""
    kept, dear = [], []
    for candidate in decision.candidates:
        cost = cost_nano(candidate.offering)
        if cost <= most_nano:
            kept.append(candidate)
        else:
            detail = f"it can cost {usd_from_nano(cost)} USD, more than {usd_from_nano(most_nano)}"
            dear.append(Exclusion(candidate.offering, "max_cost", "request", detail))
    return replace(decision, candidates=tuple(kept), excluded=(*decision.excluded, *dear))


def _what_to_change(decision: Decision) -> str:
    origins = {
        "max_cost" if exclusion.rule == "max_cost" else exclusion.origin
        for exclusion in decision.excluded
    }
    advice = {
        "organization": "allow more regions, providers or models on the preferences page",
        "key": "use a key with wider limits",
        "request": "widen “provider” in the request",
        "max_cost": "raise “provider.max_cost” in the request",
        "model": "choose a model with the capabilities and context length the request needs",
    }
    words = [text for origin, text in advice.items() if origin in origins]
    return ("To change that, " + "; or ".join(words) + ".") if words else ""
