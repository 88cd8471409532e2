"""The decision's promises, over random catalogues, boundaries, outages and conversations."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.engine import attempts, decide
from routing.errors import PlanRequired, UnknownModel
from routing.types import (
    Ask,
    Boundaries,
    Catalogue,
    Decision,
    Health,
    ModelInfo,
    Offering,
    PlanModelInfo,
    Price,
    PriceComponent,
)

PROVIDERS = ["alpha", "beta", "gamma", "delta"]
REGIONS = ["cn", "eu", "us"]
MODELS = ["m1", "m2", "m3"]
POLICIES = ["zero_retention", "soc2", "hipaa"]
PRICE = Price(1, (PriceComponent("input", 1_000_000), PriceComponent("output", 2_000_000)))

names = st.frozensets(st.sampled_from(PROVIDERS), max_size=3)
boundaries = st.builds(
    Boundaries,
    origin=st.sampled_from(["organization", "key", "plan", "request"]),
    allowed_regions=st.frozensets(st.sampled_from(REGIONS), max_size=2),
    allowed_providers=names,
    denied_providers=names,
    allowed_models=st.frozensets(st.sampled_from(MODELS), max_size=2),
    denied_models=st.frozensets(st.sampled_from(MODELS), max_size=1),
    require=st.frozensets(st.sampled_from(POLICIES), max_size=1),
)
limits = st.lists(boundaries, max_size=3)
tiers = st.dictionaries(st.integers(0, 35), st.sampled_from([0, 1, 2]))
conversations = st.binary(max_size=16)
asked = st.sampled_from([*MODELS, "alpha/m1", "beta/m2", "tokenhub/best"])


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    offerings = []
    for number, (provider, region, model) in enumerate(
        (p, r, m) for p in PROVIDERS for r in REGIONS for m in MODELS
    ):
        if draw(st.booleans()):
            offerings.append(
                Offering(
                    id=number, model=model, provider=provider, region=region, modality="text",
                    dialect="openai", upstream_model=model, price=PRICE,
                    weight=draw(st.sampled_from([50, 100, 200])),
                    policies=draw(st.frozensets(st.sampled_from(POLICIES))),
                    capabilities=draw(st.frozensets(st.sampled_from(["tools", "json"]))),
                )
            )  # fmt: skip
    return Catalogue(
        tuple(offerings),
        {slug: ModelInfo(slug, slug, "text") for slug in MODELS},
        {"best": PlanModelInfo("pro", ("m2", "m1"))},
    )


def decision(
    catalogue: Catalogue,
    model: str,
    limits: list[Boundaries],
    health: Health,
    conversation: bytes = b"",
) -> Decision | None:
    ask = Ask(model=model, organization="org", conversation=conversation, plans=frozenset({"pro"}))
    try:
        return decide(ask, limits, catalogue, health)
    except UnknownModel:
        return None


@given(catalogues(), asked, limits, tiers, conversations)
def test_nothing_outside_any_boundary_is_a_candidate(
    catalogue: Catalogue,
    model: str,
    limits: list[Boundaries],
    down: dict[int, int],
    conversation: bytes,
) -> None:
    made = decision(catalogue, model, limits, Health(down), conversation)
    if made is None:
        return

    for candidate in made.candidates:
        offering = candidate.offering
        assert down.get(offering.id, 0) < 2
        for limit in limits:
            assert not limit.allowed_regions or offering.region in limit.allowed_regions
            assert not limit.allowed_providers or offering.provider in limit.allowed_providers
            assert offering.provider not in limit.denied_providers
            assert not limit.allowed_models or offering.model in limit.allowed_models
            assert offering.model not in limit.denied_models
            assert limit.require <= offering.policies
        if "/" in model and not model.startswith("tokenhub/"):
            assert offering.provider == model.split("/")[0]


@given(catalogues(), asked, limits, tiers)
def test_every_offering_of_the_model_is_a_candidate_or_excluded_by_a_rule(
    catalogue: Catalogue, model: str, limits: list[Boundaries], down: dict[int, int]
) -> None:
    made = decision(catalogue, model, limits, Health(down))
    if made is None:
        return

    slugs = {"tokenhub/best": {"m1", "m2"}}.get(model, {model.split("/")[-1]})
    told = [c.offering.id for c in made.candidates] + [e.offering.id for e in made.excluded]
    assert sorted(told) == sorted(o.id for o in catalogue.offerings if o.model in slugs)
    assert all(
        exclusion.rule and exclusion.origin and exclusion.detail for exclusion in made.excluded
    )


FIELDS = ("allowed_regions", "allowed_providers", "denied_providers", "allowed_models", "denied_models", "require")  # fmt: skip


@given(
    catalogues(),
    asked,
    st.lists(boundaries, min_size=1, max_size=3),
    st.sampled_from(FIELDS),
    tiers,
)
def test_removing_a_constraint_never_removes_a_candidate(
    catalogue: Catalogue, model: str, limits: list[Boundaries], field: str, down: dict[int, int]
) -> None:
    strict = decision(catalogue, model, limits, Health(down))
    loose = decision(
        catalogue, model, [replace(limits[0], **{field: frozenset()}), *limits[1:]], Health(down)
    )
    if strict is None or loose is None:
        return

    assert {c.offering.id for c in strict.candidates} <= {c.offering.id for c in loose.candidates}


@given(catalogues(), st.sampled_from(MODELS), conversations, st.integers(0, 35))
def test_losing_an_offering_moves_only_its_own_conversations(
    catalogue: Catalogue, model: str, conversation: bytes, lost: int
) -> None:
    before = decision(catalogue, model, [], Health(), conversation)
    after = decision(catalogue, model, [], Health({lost: 2}), conversation)
    assert before is not None
    assert after is not None

    kept = [c.offering.id for c in before.candidates if c.offering.id != lost]
    assert [c.offering.id for c in after.candidates] == kept


@given(catalogues(), asked, tiers, conversations)
def test_a_better_tier_always_comes_first(
    catalogue: Catalogue, model: str, down: dict[int, int], conversation: bytes
) -> None:
    made = decision(catalogue, model, [], Health(down), conversation)
    if made is not None:
        order = [candidate.tier for candidate in made.candidates]
        assert order == sorted(order)


@given(catalogues(), asked, limits, conversations)
def test_at_most_three_attempts_at_distinct_providers(
    catalogue: Catalogue, model: str, limits: list[Boundaries], conversation: bytes
) -> None:
    made = decision(catalogue, model, limits, Health(), conversation)
    if made is None:
        return

    route = attempts(made)
    providers = [candidate.offering.provider for candidate in route]
    assert len(route) <= 3
    assert len(set(providers)) == len(providers)
    assert len(route) == min(3, len({c.offering.provider for c in made.candidates}))


def offering(
    number: int, provider: str, *, weight: int = 100, amount_nano: int = 1_000_000
) -> Offering:
    price = Price(number, (PriceComponent("input", amount_nano),))
    return Offering(number, "m", provider, "us", "text", "openai", "m", weight=weight, price=price)


def small(*offerings: Offering) -> Catalogue:
    return Catalogue(offerings, {"m": ModelInfo("m", "M", "text")})


def first(catalogue: Catalogue, conversation: bytes, **ask: object) -> str:
    made = decide(Ask("m", "org", conversation, **ask), [], catalogue, Health())  # type: ignore[arg-type]
    return made.candidates[0].offering.provider


@settings(max_examples=5)
@given(st.integers(0, 1_000))
def test_weights_are_the_shares_of_conversations(seed: int) -> None:
    catalogue = small(offering(1, "a", weight=300), offering(2, "b", weight=100))

    won = sum(first(catalogue, f"{seed}:{n}".encode()) == "a" for n in range(1_000))

    assert 690 < won < 810


def test_conversations_gather_where_they_cost_less() -> None:
    catalogue = small(offering(1, "cheap"), offering(2, "dear", amount_nano=10_000_000))

    won = sum(first(catalogue, str(n).encode()) == "cheap" for n in range(500))

    assert won > 480


def test_sorting_by_price_and_by_the_requests_own_order() -> None:
    catalogue = small(
        offering(1, "a", amount_nano=3),
        offering(2, "b", amount_nano=1),
        offering(3, "c", amount_nano=2),
    )

    assert first(catalogue, b"x", sort="price") == "b"
    assert first(catalogue, b"x", sort="price", order=("c",)) == "c"


def test_a_price_for_cached_input_makes_no_offering_look_dearer() -> None:
    bare = offering(1, "a", amount_nano=10)
    cached = PriceComponent("cached_input", 5)
    cheaper = Price(2, (PriceComponent("input", 9), cached))
    catalogue = small(bare, replace(offering(2, "b"), price=cheaper))

    assert first(catalogue, b"x", sort="price") == "b"


def test_a_plan_model_needs_its_plan() -> None:
    catalogue = Catalogue((), {}, {"best": PlanModelInfo("pro", ("m",))})

    with pytest.raises(PlanRequired) as refused:
        decide(Ask("tokenhub/best", "org", plans=frozenset({"starter"})), [], catalogue, Health())

    assert refused.value.plan == "pro"


@pytest.mark.parametrize(
    "name", ["", "x", "a/m/", "/m", "m/", "tokenhub/", "tokenhub/x", "M", "a" * 10_000]
)
def test_a_name_of_nothing_is_unknown(name: str) -> None:
    with pytest.raises(UnknownModel):
        decide(Ask(name, "org"), [], small(offering(1, "a")), Health())


def test_the_decision_is_the_same_in_every_process() -> None:
    script = (
        "from tests.routing.test_engine import *;"
        "c = small(*(offering(n, p) for n, p in enumerate(PROVIDERS)));"
        "print([first(c, str(n).encode()) for n in range(50)])"
    )

    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "tokenhub.settings"},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(answers) == 1


def test_a_plan_model_that_promises_regions_never_leaves_them() -> None:
    places = [
        Offering(
            id=number, model="m1", provider=f"p{number}", region=region, modality="text",
            dialect="openai", upstream_model="m1", price=PRICE,
        )
        for number, region in enumerate(REGIONS)
    ]  # fmt: skip
    catalogue = Catalogue(
        tuple(places),
        {"m1": ModelInfo("m1", "m1", "text")},
        {"sovereign": PlanModelInfo("pro", ("m1",), ("eu",))},
    )
    ask = Ask(model="tokenhub/sovereign", organization="o", plans=frozenset({"pro"}))

    made = decide(ask, (), catalogue, Health())

    assert [candidate.offering.region for candidate in made.candidates] == ["eu"]
    assert {(x.rule, x.origin) for x in made.excluded} == {("region_not_allowed", "plan")}
