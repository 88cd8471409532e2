"""Every process, PostgreSQL and Redis killed in a loop under mixed load: the promises are kept (M2, M3, T4)."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.chaos.away import Outage
from tests.chaos.deployment import EVERYTHING, Deployment
from tests.chaos.monkey import Run

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 1)


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    made = Deployment()
    yield made
    made.stop()


def test_each_process_killed_in_turn_keeps_the_promises(deployment: Deployment) -> None:
    run = Run(deployment, SEED)

    outages = [Outage("postgres", 5.0), Outage("postgres", 7.0, silent=True)]
    verdict = run.rounds(count=ROUNDS, outages=outages)

    print(verdict)
    assert set(run.kills.values()) == {ROUNDS}
    assert set(run.kills) == set(EVERYTHING)
    assert verdict.counts["delivered"] > 150
    assert verdict.faults == [], f"CHAOS_SEED={SEED}"
