"""``GET /v1/models``: what the key may call now, inside its boundaries."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from routing.engine import blended_price, decide
from routing.errors import PlanRequired, UnknownModel
from routing.types import Ask, Decision
from tokenhub.gateway.call import Call
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.errors import ModelNotFound
from tokenhub.gateway.runtime import Runtime

# Of the catalogue, what there is an endpoint for.
MODALITIES = ("text", "embedding", "image", "video")


async def index(call: Call) -> None:
    """Every name that can be called."""
    caller, _ = await call.authenticate(count=False)
    catalogue = call.runtime.snapshot().catalogue
    names = [*catalogue.models, *(f"tokenhub/{name}" for name in catalogue.plan_models)]
    data = [entry for name in names if (entry := _entry(call.runtime, caller, name)) is not None]
    body = msgspec.json.encode(
        {
            "object": "list",
            "data": data,
            # Anthropic's client reads pages; there is one.
            "has_more": False,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
        }
    )
    await call.respond(200, {}, body)


async def show(call: Call) -> None:
    """One of them, by name."""
    caller, _ = await call.authenticate(count=False)
    entry = _entry(call.runtime, caller, call.tail)
    if entry is None:
        raise ModelNotFound(
            f"There is no model “{call.tail[:80]}” that this key may call.", param="model"
        )
    await call.respond(200, {}, msgspec.json.encode(entry))


def _entry(runtime: Runtime, caller: Caller, name: str) -> dict[str, Any] | None:
    """What this key may call now under a name, or ``None`` where nothing is left of it."""
    snapshot = runtime.snapshot()
    decision: Decision | None = None
    for modality in MODALITIES:
        ask = Ask(
            model=name,
            organization=caller.organization_id,
            modality=modality,
            plans=runtime.plans_up_to(caller.plan_rank),
        )
        try:
            decision = decide(ask, caller.boundaries, snapshot.catalogue, runtime.health())
        except (UnknownModel, PlanRequired):
            return None
        if decision.candidates:
            break
    if decision is None or not decision.candidates:
        return None
    best = decision.candidates[0].offering
    info = snapshot.catalogue.models[best.model]
    offerings = [candidate.offering for candidate in decision.candidates]
    # One offering's price as it is, not the best of several; of two that cost the same, always the same one.
    cheapest = min(offerings, key=lambda offering: (blended_price(offering), offering.id))
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": info.name,
        "created_at": datetime.fromtimestamp(info.created_s, UTC).isoformat(),
        "created": info.created_s,
        "owned_by": "tokenhub",
        "name": info.name,
        "modality": best.modality,
        "context_length": max((o.context_length or 0 for o in offerings), default=0) or None,
        "max_output_tokens": max((o.max_output or 0 for o in offerings), default=0) or None,
        "capabilities": sorted({one for offering in offerings for one in offering.capabilities}),
        "pricing": cheapest.price.summary() if cheapest.price else {},
        "providers": sorted({o.provider for o in offerings}),
    }
