"""Health of offerings: healthy, degraded, down, with hysteresis, from probes and from real calls alike.

``fold`` is the rule, and pure. ``observe`` writes what was seen; gateways hear of a changed status
at its commit, by a trigger.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, Value
from django.utils import timezone

from routing.credentials import Secret, secrets_of
from routing.engine import TIER_NAMES
from routing.models import HealthSample, Offering, OfferingHealth
from routing.types import DEGRADED, DOWN, HEALTHY

STEP_DOWN = 5
"""So many failures in a row are a step down."""
STEP_UP = 3
"""So many successes in a row are a step up."""
REMEMBERED = 50
"""The medians are of so many calls."""
PROBE_CONVINCES_AFTER = timedelta(seconds=60)
"""A probe asks for little: its success does not outweigh a real call that failed so shortly before."""
KEEP_SAMPLES = timedelta(days=7)
PROBE_SOON = timedelta(seconds=5)
"""Between two probes of what is not well, so that both ways are short."""
PROBE_LASTS = timedelta(seconds=60)
"""A claimed probe whose worker died is due again after that."""
JITTER = 0.1
# We are asked to come less often: others go first, but it answers.
LIMITED = "http_429"

Source = HealthSample.Source


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one offering: counts, how the last failure failed, and what was measured."""

    successes: int = 0
    failures: int = 0
    outcome: str = ""
    latency_ms: tuple[int, ...] = ()
    tokens_per_s: tuple[float, ...] = ()
    began_s: float = math.inf
    """When the counting began, in Unix time; by default it all happened just now."""


@dataclass(frozen=True, slots=True)
class State:
    """Where an offering stands, and the run that leads to its next step."""

    tier: int = HEALTHY
    failures: int = 0
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """An offering to probe, and how it is reached."""

    offering: int
    modality: str
    dialect: str
    upstream_model: str
    endpoint: int
    base_url: str
    secrets: tuple[Secret, ...]


def fold(state: State, seen: Seen) -> State:
    """The state after something was seen.

    Where at least half failed, the failures continue a run of failures; otherwise the successes
    continue a run of successes. A run of the other kind ends. Being limited never means down.
    """
    if seen.failures * 2 >= seen.successes + seen.failures:
        lowest = max(state.tier, DEGRADED) if seen.outcome == LIMITED else DOWN
        tier, failures = state.tier, state.failures + seen.failures
        while failures >= STEP_DOWN and tier < lowest:
            tier, failures = tier + 1, failures - STEP_DOWN
        return State(tier, failures=min(failures, STEP_DOWN))
    tier, successes = state.tier, state.successes + seen.successes
    while successes >= STEP_UP and tier > HEALTHY:
        tier, successes = tier - 1, successes - STEP_UP
    return State(tier, successes=min(successes, STEP_UP))


@transaction.atomic
def observe(batch: Mapping[int, Seen], *, source: Source) -> None:
    """Fold what was seen, by offering, into the records, and keep it as samples."""
    now = timezone.now()
    batch = {offering: seen for offering, seen in batch.items() if seen.successes or seen.failures}
    known = set(Offering.objects.filter(pk__in=batch).values_list("pk", flat=True))
    ensure(known)
    rows = (
        OfferingHealth.objects.select_for_update(of=("self",))
        .select_related("offering")
        .filter(pk__in=known)
        .order_by("pk")
    )
    changed = []
    for row in rows:
        seen = batch[row.pk]
        _fold_into(row, seen, source)
        changed.append(row)
    OfferingHealth.objects.bulk_update(changed, _CHANGING)
    HealthSample.objects.bulk_create(
        HealthSample(
            offering_id=row.pk,
            at=now,
            source=source,
            successes=batch[row.pk].successes,
            failures=batch[row.pk].failures,
            outcome=batch[row.pk].outcome[:40],
            latency_ms=_median(batch[row.pk].latency_ms),
        )
        for row in changed
    )


_CHANGING = [
    "status", "since", "reason", "failures", "successes", "latency_ms", "tokens_per_s",
    "recent_latency_ms", "recent_tokens_per_s", "last_probe_at", "last_probe_ms",
    "last_probe_outcome", "last_observed_at", "last_failed_at", "next_probe_at",
]  # fmt: skip


@transaction.atomic
def claim_due(limit: int = 32) -> list[Target]:
    """Offerings whose probe is due, each for one caller only."""
    enabled = Offering.objects.filter(enabled=True, endpoint__provider__enabled=True)
    ensure(enabled.filter(health=None).values_list("pk", flat=True))
    now = timezone.now()
    # Further ahead than twice the interval is a time from before the clock was set back.
    twice = F("offering__probe_every_s") * Value(timedelta(seconds=2), DurationField())
    never = Value(now + PROBE_LASTS) + ExpressionWrapper(twice, DurationField())
    due = (
        OfferingHealth.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(
            Q(next_probe_at__lte=now)
            | Q(next_probe_at__gt=ExpressionWrapper(never, DateTimeField())),
            offering__in=enabled,
        )
        .order_by("next_probe_at")[:limit]
    )
    claimed = [row.pk for row in due]
    OfferingHealth.objects.filter(pk__in=claimed).update(next_probe_at=now + PROBE_LASTS)
    return targets(claimed)


def targets(offerings: Iterable[int]) -> list[Target]:
    """How these offerings are reached."""
    rows = (
        Offering.objects.filter(pk__in=list(offerings))
        .select_related("model", "endpoint")
        .prefetch_related("endpoint__spare_credentials", "endpoint__alarms")
    )
    return [
        Target(
            offering=row.pk,
            modality=row.model.modality,
            dialect=row.endpoint.dialect,
            upstream_model=row.upstream_model,
            endpoint=row.endpoint_id,
            base_url=row.endpoint.base_url,
            secrets=secrets_of(row.endpoint),
        )
        for row in rows
    ]


def ensure(offerings: Iterable[int]) -> None:
    """Have a record of each offering; those that exist stay as they are."""
    OfferingHealth.objects.bulk_create(
        [OfferingHealth(offering_id=offering) for offering in sorted(offerings)],
        ignore_conflicts=True,
    )


def forget_samples() -> int:
    """Drop samples that are past their retention; the number of them."""
    count, _ = HealthSample.objects.filter(at__lt=timezone.now() - KEEP_SAMPLES).delete()
    return count


def _fold_into(row: OfferingHealth, seen: Seen, source: Source) -> None:
    now = timezone.now()
    # What was answered before it went down says nothing of how it is now.
    counts = bool(seen.failures) or seen.began_s >= row.since.timestamp() or row.since > now
    if source == Source.PROBE:
        row.last_probe_at = now
        row.last_probe_ms = _median(seen.latency_ms)
        row.last_probe_outcome = seen.outcome[:40] if seen.failures else "succeeded"
        recently = (
            row.last_failed_at is not None
            and timedelta(0) <= now - row.last_failed_at < PROBE_CONVINCES_AFTER
        )
        counts = counts and (bool(seen.failures) or not recently)
    else:
        row.last_observed_at = now
        if seen.failures:
            row.last_failed_at = now
            row.next_probe_at = min(row.next_probe_at, now + PROBE_SOON)
        row.recent_latency_ms = [*row.recent_latency_ms, *seen.latency_ms][-REMEMBERED:]
        row.recent_tokens_per_s = [*row.recent_tokens_per_s, *seen.tokens_per_s][-REMEMBERED:]
        row.latency_ms = _median(row.recent_latency_ms)
        row.tokens_per_s = median(row.recent_tokens_per_s) if row.recent_tokens_per_s else None
    if counts:
        _step(row, seen)
    if source == Source.PROBE:
        row.next_probe_at = now + _until_next_probe(row)


def _step(row: OfferingHealth, seen: Seen) -> None:
    before = TIER_NAMES.index(row.status)
    after = fold(State(before, row.failures, row.successes), seen)
    row.failures, row.successes = after.failures, after.successes
    if after.tier != before:
        row.status = TIER_NAMES[after.tier]
        row.since = timezone.now()
    if after.tier == HEALTHY:
        row.reason = ""
    elif seen.failures:
        row.reason = seen.outcome[:80]


def _until_next_probe(row: OfferingHealth) -> timedelta:
    """The offering's own interval, never quite the same, so that probes do not march in step."""
    every = timedelta(seconds=row.offering.probe_every_s)
    if row.failures or row.status != OfferingHealth.Status.HEALTHY:
        every = min(every, PROBE_SOON)
    return every * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads, hides nothing)


def _median(values: Iterable[int]) -> int | None:
    found = list(values)
    return round(median(found)) if found else None
