"""What the explorer says is what the gateway does: the dry run against the trace of the call itself."""

import json
from typing import Any

import pytest

from accounts.audit import SYSTEM
from billing.models import Usage
from keys.models import ApiKey
from routing.selectors import load_catalogue, load_health
from routing.services import set_preferences
from routing.types import DOWN, Health
from tests import factories
from tests.live import Gateway
from tests.processes import eventually
from tokenhub.dry_run import Wishes, dry_run

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("deepseek-v3.2", {}, {}, {}),
    ("deepseek-v3.2", {"allowed_regions": ["cn"]}, {}, {"sort": "price"}),
    ("deepseek-v3.2", {"denied_providers": ["deepseek"]}, {}, {"order": ["alibaba"]}),
    ("deepseek-v3.2", {}, {"allowed_providers": ["alibaba"]}, {"ignore": ["deepseek"]}),
    ("alibaba/deepseek-v3.2", {}, {}, {"allow_fallbacks": False}),
    ("deepseek-v3.2", {"allowed_regions": ["eu"]}, {}, {}),
    ("claude-haiku-4.5", {}, {"allowed_regions": ["us"]}, {"only": ["nobody"]}),
    ("tokenhub/auto", {"strategy": "price"}, {}, {}),
    ("no-such-model", {}, {}, {}),
]


@pytest.mark.parametrize(("model", "preferences", "limits", "options"), CASES)
def test_a_dry_run_is_what_the_gateway_decides(
    gateway: Gateway,
    model: str,
    preferences: dict[str, Any],
    limits: dict[str, Any],
    options: dict[str, Any],
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    set_preferences(tenant, preferences, actor=SYSTEM, compliance_extension=True)
    minted = factories.key(tenant, **limits)
    wishes = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}

    gateway.chat(minted.secret, model, provider=options, headers={"x-session-id": "dry"})

    uses = Usage.objects.filter(organization=tenant)
    done = eventually(lambda: uses.first(), what="the request in the log")
    if model == "no-such-model":
        assert done.error_code == "model_not_found"
        return
    key = ApiKey.objects.get(pk=minted.key.pk)
    # This process's gateway may have just seen faults that other tests asked for.
    asked = Wishes(model, session_id="dry", **wishes)
    run = dry_run(tenant, asked, key=key, health=seen_by_the_gateway(done.routing))
    expected = run.decision.as_dict() | {"policy_version": run.policy_version}
    assert json.loads(json.dumps(expected)) == done.routing
    assert bool(run.tried) == done.billed
    if done.billed:
        assert run.tried[0].offering.provider == done.provider


def seen_by_the_gateway(routing: dict[str, Any]) -> Health:
    offerings = {(o.provider, o.region, o.model): o.id for o in load_catalogue().offerings}
    down = [one | {"tier": DOWN} for one in routing["excluded"] if one["rule"] == "down"]
    tiers = {
        offerings[one["provider"], one["region"], one["model"]]: one["tier"]
        for one in [*routing["candidates"], *down]
    }
    return Health(tiers, load_health().measured)
