"""Remembered decisions are the engine's own, whatever the conversation, catalogue, health and limits."""

import json
import math
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.engine import decide
from routing.errors import UnknownModel
from routing.types import Ask, Boundaries, Catalogue, Health, Measured
from tests.routing.test_engine import (
    asked,
    catalogues,
    conversations,
    limits,
    offering,
    small,
    tiers,
)
from tokenhub.gateway.decisions import Decisions
from tokenhub.gateway.directory import Caller


def caller(boundaries: list[Boundaries]) -> Caller:
    known: dict[str, Any] = {
        "organization_id": "org", "until_s": math.inf, "boundaries": tuple(boundaries),
        "policy_version": 7, "networks": (),
    }  # fmt: skip
    names = [name for name in Caller.__dataclass_fields__ if name not in known]
    return Caller(**known, **dict.fromkeys(names))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no finding
@given(
    catalogues(), st.lists(asked, min_size=1, max_size=3), limits,
    st.lists(tiers, min_size=1, max_size=2), st.lists(conversations, min_size=2, max_size=4),
    st.sampled_from([0, 10**9]),
)  # fmt: skip
def test_what_is_remembered_is_what_would_be_decided(
    catalogue: Catalogue,
    models: list[str],
    boundaries: list[Boundaries],
    healths: list[dict[int, int]],
    talks: list[bytes],
    size: int,
) -> None:
    who, decisions = caller(boundaries), Decisions()

    for health in map(Health, healths):
        for model in models:
            for talk in talks:
                ask = Ask(
                    model=model, organization="org", conversation=talk, input_tokens=size,
                    plans=frozenset({"pro"}),
                )  # fmt: skip
                try:
                    expected = decide(ask, boundaries, catalogue, health)
                except UnknownModel:
                    continue
                made, trace = decisions.decide(who, ask, who.boundaries, catalogue, health)
                assert made == expected
                assert json.loads(bytes(trace)) == json.loads(
                    msgspec.json.encode(expected.as_dict() | {"policy_version": 7})
                )


def test_what_is_sorted_by_measurements_follows_them_and_the_rest_is_kept() -> None:
    catalogue = small(offering(1, "a"), offering(2, "b"))
    who, decisions = caller([]), Decisions()
    first_slow = Health(measured={1: Measured(900.0), 2: Measured(100.0)})
    second_slow = Health(measured={1: Measured(100.0), 2: Measured(900.0)})

    for health, fastest in ((first_slow, "b"), (second_slow, "a")):
        for sort in ("latency", None):
            ask = Ask("m", "org", sort=sort)
            made, _ = decisions.decide(who, ask, who.boundaries, catalogue, health)
            assert made == decide(ask, [], catalogue, health)
            if sort:
                assert made.candidates[0].offering.provider == fastest


def test_keys_with_equal_boundaries_share_a_decision_and_no_others_do() -> None:
    catalogue = small(offering(1, "a"), offering(2, "b"))
    decisions = Decisions()
    wide, narrow = caller([]), caller([Boundaries("key", denied_providers=frozenset({"a"}))])

    for who, left in ((wide, 2), (narrow, 1), (wide, 2)):
        ask = Ask("m", "org")
        made, _ = decisions.decide(who, ask, who.boundaries, catalogue, Health())
        assert len(made.candidates) == left
