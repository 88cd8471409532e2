"""The breaker: what this process saw, joined with what is on record; one probe at a time."""

import pytest

from routing.health import Seen
from routing.types import DEGRADED, DOWN, Health, Measured
from tokenhub.gateway.breaker import (
    DEGRADED_AFTER,
    DOWN_AFTER,
    FORGET_AFTER_S,
    FORGET_OPEN_AFTER_S,
    PROBE_LASTS_S,
    RETRY_AFTER_S,
    Breaker,
)

READY = RETRY_AFTER_S + 0.1


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    for _ in range(DOWN_AFTER):
        breaker.failed(1, 0.0)
    return breaker


def test_a_few_failures_in_a_row_degrade_and_are_forgotten(breaker: Breaker) -> None:
    for _ in range(DEGRADED_AFTER):
        breaker.failed(1, 0.0)

    assert breaker.tiers(1.0) == {1: DEGRADED}
    assert breaker.tiers(FORGET_AFTER_S + 1) == {}


def test_a_success_ends_the_run(breaker: Breaker) -> None:
    for _ in range(DOWN_AFTER - 1):
        breaker.failed(1, 0.0)
    breaker.succeeded(1)
    breaker.failed(1, 0.0)

    assert breaker.tiers(0.0) == {}


def test_when_a_probe_is_due_one_call_goes_and_a_hundred_do_not(opened: Breaker) -> None:
    assert opened.tiers(1.0) == {1: DOWN}
    assert not opened.started(1, 1.0)
    assert opened.tiers(READY) == {1: DEGRADED}

    gone = [opened.started(1, READY) for _ in range(100)]

    assert gone == [True] + [False] * 99
    assert opened.tiers(READY) == {1: DOWN}


def test_a_probe_that_fails_is_followed_by_another_after_a_while(opened: Breaker) -> None:
    opened.started(1, READY)
    opened.failed(1, READY + 1)

    assert not opened.started(1, READY + 2)
    assert opened.retry_after_s(READY + 2) == pytest.approx(RETRY_AFTER_S - 1)
    assert opened.started(1, READY + 1 + READY)


def test_a_probe_that_is_answered_closes_it(opened: Breaker) -> None:
    opened.started(1, READY)
    opened.succeeded(1)

    assert opened.tiers(READY) == {}
    assert all(opened.started(1, READY) for _ in range(10))


def test_a_probe_that_says_nothing_or_hangs_does_not_block_the_next(opened: Breaker) -> None:
    opened.started(1, READY)
    opened.ended(1)
    assert opened.started(1, 2 * READY)
    assert not opened.started(1, 3 * READY)  # the second hangs …
    assert opened.started(1, 2 * READY + PROBE_LASTS_S)  # … for so long


def test_what_nobody_tries_gets_another_chance(opened: Breaker) -> None:
    assert opened.tiers(RETRY_AFTER_S + FORGET_OPEN_AFTER_S + 1) == {}


def test_down_on_record_is_down_here_with_probes(breaker: Breaker) -> None:
    breaker.learn(Health({1: DOWN, 2: DEGRADED}, {2: Measured(5, None)}), 0.0)

    assert breaker.tiers(0.0) == {1: DOWN, 2: DEGRADED}
    assert breaker.health(0.0).measured == {2: Measured(5, None)}
    assert not breaker.started(1, 0.0)
    assert breaker.tiers(1000.0) == {1: DEGRADED, 2: DEGRADED}
    assert [breaker.started(1, 1000.0), breaker.started(1, 1000.0)] == [True, False]


def test_an_answer_here_outweighs_down_on_record_until_the_next_failure(breaker: Breaker) -> None:
    down = Health({1: DOWN})
    breaker.learn(down, 0.0)
    breaker.started(1, READY)
    breaker.succeeded(1)
    breaker.learn(down, READY)  # the record has not changed yet

    assert breaker.tiers(READY) == {1: DEGRADED}
    assert all(breaker.started(1, READY) for _ in range(5))
    assert breaker.urgent  # so that the record changes soon
    breaker.failed(1, READY)
    assert breaker.tiers(READY) == {1: DOWN}


def test_what_got_better_on_record_starts_afresh_here(opened: Breaker) -> None:
    opened.learn(Health({1: DOWN}), 1.0)
    opened.learn(Health({1: DEGRADED}), 2.0)
    assert opened.tiers(2.0) == {1: DEGRADED}
    opened.learn(Health(), 3.0)
    assert opened.tiers(3.0) == {}


def test_a_report_has_everything_once_and_survives_a_database_that_is_away(
    breaker: Breaker,
) -> None:
    breaker.succeeded(1, 12, 40.0)
    assert not breaker.urgent
    breaker.failed(1, 0.0, "timeout")
    assert breaker.urgent

    report = breaker.report()
    assert report == {1: Seen(1, 1, "timeout", (12,), (40.0,), report[1].began_s)}
    assert breaker.report() == {}
    breaker.put_back(report)
    breaker.succeeded(1)

    again = breaker.report()[1]
    assert (again.successes, again.failures, again.outcome) == (2, 1, "timeout")
