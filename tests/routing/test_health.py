"""Health of offerings: its steps, its hysteresis, what is kept, who hears of it, whose turn a probe is."""

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from routing import health
from routing.health import STEP_DOWN, STEP_UP, Seen, Source, State, claim_due, fold, observe
from routing.models import HealthSample, Offering, OfferingHealth
from routing.seed.load import load_demo_catalogue
from routing.selectors import load_health
from routing.types import DEGRADED, DOWN, HEALTHY
from tests.conftest import database_url

ONE_FAILED, ONE_ANSWERED = Seen(failures=1, outcome="http_500"), Seen(successes=1)
seen = st.builds(
    Seen,
    successes=st.integers(0, 12),
    failures=st.integers(0, 12),
    outcome=st.sampled_from(["http_500", "http_429"]),
).filter(lambda one: one.successes or one.failures)


def after(state: State, *events: Seen) -> State:
    for event in events:
        state = fold(state, event)
    return state


def test_it_takes_a_run_of_failures_to_step_down_and_of_successes_to_step_up() -> None:
    almost = after(State(), *[ONE_FAILED] * (STEP_DOWN - 1))
    assert almost.tier == HEALTHY
    assert after(almost, ONE_FAILED).tier == DEGRADED
    assert after(State(), *[ONE_FAILED] * (2 * STEP_DOWN)).tier == DOWN

    down = State(DOWN)
    assert after(down, *[ONE_ANSWERED] * (STEP_UP - 1)).tier == DOWN
    assert after(down, *[ONE_ANSWERED] * STEP_UP).tier == DEGRADED
    assert after(down, *[ONE_ANSWERED] * (2 * STEP_UP)).tier == HEALTHY


def test_what_fails_and_answers_in_turn_stays_where_it_is() -> None:
    for tier in (HEALTHY, DEGRADED, DOWN):
        assert after(State(tier), *[ONE_FAILED, ONE_ANSWERED] * 50).tier == tier


def test_a_moment_of_many_calls_is_judged_by_its_majority() -> None:
    assert fold(State(), Seen(successes=60, failures=40, outcome="timeout")).tier == HEALTHY
    assert fold(State(), Seen(successes=40, failures=60, outcome="timeout")).tier == DOWN


def test_to_be_limited_is_never_to_be_down() -> None:
    limited = Seen(failures=1, outcome="http_429")
    assert after(State(), *[limited] * 100).tier == DEGRADED
    assert after(State(DOWN), limited).tier == DOWN


@given(st.integers(0, 2), st.lists(seen, max_size=30))
def test_a_step_is_always_one_that_its_run_has_earned(tier: int, events: list[Seen]) -> None:
    state = State(tier)
    for event in events:
        before, state = state, fold(state, event)
        assert HEALTHY <= state.tier <= DOWN
        assert not (state.failures and state.successes)
        failing = event.failures >= event.successes
        assert state.tier >= before.tier if failing else state.tier <= before.tier
        run = before.failures + event.failures if failing else before.successes + event.successes
        assert abs(state.tier - before.tier) <= run // (STEP_DOWN if failing else STEP_UP)


@pytest.fixture
def offering(db: None) -> Offering:
    load_demo_catalogue("http://127.0.0.1:9")
    found: Offering = Offering.objects.select_related("model", "endpoint__provider").first()
    return found


def record_of(offering: Offering) -> OfferingHealth:
    found: OfferingHealth = OfferingHealth.objects.get(offering=offering)
    return found


def test_what_gateways_and_probes_see_is_one_record(offering: Offering) -> None:
    observe({offering.pk: Seen(failures=4, outcome="http_500")}, source=Source.GATEWAY)
    assert record_of(offering).status == "healthy"

    observe({offering.pk: Seen(failures=1, outcome="timeout")}, source=Source.PROBE)

    record = record_of(offering)
    assert (record.status, record.reason) == ("degraded", "timeout")
    assert timezone.now() - record.since < timedelta(seconds=60)
    assert load_health().tiers == {offering.pk: DEGRADED}
    assert [(s.source, s.failures) for s in HealthSample.objects.filter(offering=offering)] == [("probe", 1), ("gateway", 4)]  # fmt: skip


def test_medians_are_of_real_calls_and_a_probe_stands_in_until_there_is_one(
    offering: Offering,
) -> None:
    observe({offering.pk: Seen(successes=1, latency_ms=(7,))}, source=Source.PROBE)
    assert load_health().measured[offering.pk].latency_ms == 7

    calls = Seen(successes=3, latency_ms=(900, 100, 300), tokens_per_s=(10.0, 50.0))
    observe({offering.pk: calls}, source=Source.GATEWAY)

    measured = load_health().measured[offering.pk]
    assert (measured.latency_ms, measured.tokens_per_s) == (300, 30.0)
    assert record_of(offering).last_probe_ms == 7


def test_a_probe_does_not_outweigh_a_real_call_that_just_failed(offering: Offering) -> None:
    observe({offering.pk: Seen(failures=10, outcome="http_500")}, source=Source.GATEWAY)
    for _ in range(10):
        observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
    assert record_of(offering).status == "down"

    OfferingHealth.objects.update(last_failed_at=timezone.now() - health.PROBE_CONVINCES_AFTER)
    for _ in range(STEP_UP):
        observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
    assert record_of(offering).status == "degraded"


def test_what_was_answered_before_it_went_down_does_not_lift_it(offering: Offering) -> None:
    began_s = time.time()
    observe({offering.pk: Seen(failures=10, outcome="http_500")}, source=Source.GATEWAY)

    observe({offering.pk: Seen(successes=50, began_s=began_s)}, source=Source.GATEWAY)
    assert record_of(offering).status == "down"
    observe({offering.pk: Seen(successes=50, began_s=time.time())}, source=Source.GATEWAY)
    assert record_of(offering).status == "healthy"


def test_what_is_not_well_is_probed_soon_and_what_is_well_at_its_own_interval(
    offering: Offering,
) -> None:
    Offering.objects.filter(pk=offering.pk).update(probe_every_s=600)
    observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
    wait = record_of(offering).next_probe_at - timezone.now()
    assert timedelta(seconds=530) < wait < timedelta(seconds=670)

    observe({offering.pk: ONE_FAILED}, source=Source.PROBE)
    assert record_of(offering).next_probe_at - timezone.now() < timedelta(seconds=6)


def test_a_call_that_fails_brings_the_next_probe_forward(offering: Offering) -> None:
    observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
    observe({offering.pk: ONE_ANSWERED}, source=Source.GATEWAY)
    assert record_of(offering).next_probe_at - timezone.now() > timedelta(seconds=30)

    observe({offering.pk: ONE_FAILED}, source=Source.GATEWAY)
    assert record_of(offering).next_probe_at - timezone.now() <= health.PROBE_SOON


def test_an_offering_that_is_gone_or_disabled_is_left_alone(offering: Offering) -> None:
    Offering.objects.exclude(pk=offering.pk).update(enabled=False)

    observe({2**40: ONE_FAILED}, source=Source.GATEWAY)

    assert [target.offering for target in claim_due()] == [offering.pk]
    assert claim_due() == []


def test_samples_are_kept_for_a_while(offering: Offering) -> None:
    observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
    HealthSample.objects.update(at=timezone.now() - health.KEEP_SAMPLES)
    observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)

    assert health.forget_samples() == 1
    assert HealthSample.objects.count() == 1


@pytest.mark.parametrize(
    "wrong", [{"status": "unwell"}, {"failures": 1, "successes": 1}], ids=lambda fields: next(iter(fields))
)  # fmt: skip
def test_a_state_that_cannot_be_is_refused(offering: Offering, wrong: dict[str, Any]) -> None:
    health.ensure([offering.pk])
    with pytest.raises(IntegrityError), transaction.atomic():
        OfferingHealth.objects.update(**wrong)


def test_two_workers_never_probe_the_same_offering(committed: None, catalogue: None) -> None:
    OfferingHealth.objects.update(next_probe_at=timezone.now())
    claims: list[list[int]] = []
    barrier = threading.Barrier(4)

    def claim() -> None:
        barrier.wait()
        claims.append([target.offering for target in claim_due(limit=1_000)])
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    together = [offering for claimed in claims for offering in claimed]
    assert sorted(together) == sorted(Offering.objects.filter(enabled=True).values_list("pk", flat=True))  # fmt: skip


def test_gateways_hear_of_a_changed_status_and_of_nothing_else(
    committed: None, catalogue: None
) -> None:
    offering = Offering.objects.filter(endpoint__provider__slug="moonshot").get()
    health.ensure([offering.pk])
    OfferingHealth.objects.filter(pk=offering.pk).update(status="healthy", failures=0, successes=0)
    with psycopg.connect(database_url(), autocommit=True) as listener:
        listener.execute("LISTEN tokenhub_changes")

        observe({offering.pk: ONE_ANSWERED}, source=Source.PROBE)
        assert not [n for n in listener.notifies(timeout=0.3) if n.payload == "health"]
        OfferingHealth.objects.filter(pk=offering.pk).update(status="degraded")
        told = [n.payload for n in listener.notifies(timeout=5, stop_after=1)]
        OfferingHealth.objects.filter(pk=offering.pk).update(status="healthy")

    assert told == ["health"]
