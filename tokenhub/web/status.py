"""How available providers and models are, from the attempts of every customer's own requests and from probes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection
from django.db.models import Q, Sum

from routing.listing import listing
from routing.models import OfferingHealth
from routing.types import Offering
from tokenhub.web.models import Announcement, Incident, OfferingDay, ProviderDay

DAYS = 90
# Shares of attempts that did not answer.
DEGRADED, DOWN = 0.02, 0.25
# So few attempts say nothing about a day.
ENOUGH = 5
_NOW = {"healthy": "ok", "degraded": "warn", "down": "bad"}
# From well to bad.
STATES = ("none", "ok", "warn", "bad")

# What was asked of an offering and whether it answered: every customer's own requests, and our probes. An
# attempt that our own client error ended says nothing of the provider.
_ROLL_UP = """
WITH seen AS MATERIALIZED (
    SELECT provider, region, model, modality, day, sum(attempts)::bigint AS attempts, sum(failures)::bigint AS failures
      FROM (SELECT attempt->>'provider' AS provider, coalesce(attempt->>'region', '') AS region, u.model, u.modality,
                   (u.created_at AT TIME ZONE 'UTC')::date AS day,
                   1 AS attempts, (attempt->>'outcome' <> 'succeeded')::int AS failures
              FROM billing_usage u, jsonb_array_elements(u.attempts) attempt
             WHERE u.created_at >= %(since)s AND u.created_at < %(until)s
               AND coalesce((attempt->>'status')::int, 0) NOT IN (400, 413, 422)
             UNION ALL
            SELECT p.slug, e.region_id, m.slug, m.modality, (s.at AT TIME ZONE 'UTC')::date,
                   s.successes + s.failures, s.failures
              FROM routing_healthsample s
              JOIN routing_offering o ON o.id = s.offering_id
              JOIN routing_model m ON m.id = o.model_id
              JOIN routing_endpoint e ON e.id = o.endpoint_id
              JOIN routing_provider p ON p.id = e.provider_id
             WHERE s.source = 'probe' AND s.at >= %(since)s AND s.at < %(until)s) each
     GROUP BY 1, 2, 3, 4, 5
), offerings AS (
    INSERT INTO web_offeringday (provider, region, model, day, attempts, failures)
    SELECT provider, region, model, day, sum(attempts), sum(failures) FROM seen WHERE model <> '' GROUP BY 1, 2, 3, 4
    ON CONFLICT (model, provider, region, day)
    DO UPDATE SET attempts = excluded.attempts, failures = excluded.failures
)
INSERT INTO web_providerday (provider, modality, day, attempts, failures)
SELECT provider, modality, day, sum(attempts), sum(failures) FROM seen GROUP BY 1, 2, 3
ON CONFLICT (provider, modality, day) DO UPDATE SET attempts = excluded.attempts, failures = excluded.failures
"""


def roll_up(today: date | None = None) -> int:
    """Count the attempts of yesterday and today anew; returns the number of rows. Safe to repeat."""
    today = today or datetime.now(UTC).date()
    since = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, {"since": since, "until": since + timedelta(days=2)})
        return int(cursor.rowcount)


@dataclass(frozen=True, slots=True)
class Day:
    """One bar: ``state`` is ``ok``, ``warn``, ``bad`` or ``none``; ``x`` its place."""

    day: date
    state: str
    words: str
    x: int


@dataclass(frozen=True, slots=True)
class Availability:
    """A provider's last ninety days in one modality; ``percent`` is None where nothing was tried."""

    provider: str
    name: str
    modality: str
    days: list[Day]
    percent: float | None
    today: str


def availability(incidents: Iterable[Incident] | None = None) -> list[Availability]:
    """Every provider in every modality it is offered in, with what its days were like. Four queries, three
    with the open ``incidents`` given.

    A day that is too young to tell is told by health, as probes left it. While an incident is open, today is
    no better than the incident, whatever was counted before it began.
    """
    last = datetime.now(UTC).date()
    first = last - timedelta(days=DAYS - 1)
    listed = listing()
    found: dict[tuple[str, str], dict[date, ProviderDay]] = {
        (offering.provider, offering.modality): {} for offering in listed.catalogue.offerings
    }
    offered = listed.catalogue.providers
    seen = _seen(listed.catalogue.offerings)
    now: dict[tuple[str, str], set[str]] = {}
    for offering in listed.catalogue.offerings:
        now.setdefault((offering.provider, offering.modality), set()).add(seen[offering.id])
    for row in ProviderDay.objects.filter(day__gte=first, provider__in=offered):
        found.setdefault((row.provider, row.modality), {})[row.day] = row
    if incidents is None:
        incidents = Incident.objects.filter(closed_at=None)
    troubles = {
        (incident.provider, incident.modality): "bad" if incident.whole else "warn"
        for incident in incidents
        if incident.provider in offered
    }
    for where in troubles:
        found.setdefault(where, {})
    return [
        _of(
            provider,
            listed.providers[provider],
            modality,
            rows,
            first,
            troubles.get((provider, modality), ""),
            _together(now.get((provider, modality), set())),
        )
        for (provider, modality), rows in sorted(
            found.items(), key=lambda each: (listed.providers[each[0][0]].lower(), each[0])
        )
    ]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an offering of a model stands now and did; ``percent`` is None where nothing was asked of it."""

    now: str
    percent: float | None
    asked: int
    failed: int


MODEL_DAYS = 30


def answered(standings: Iterable["Standing"]) -> float | None:
    """The share over several offerings together."""
    known = [standing for standing in standings if standing.asked]
    return share_answered(
        sum(standing.asked for standing in known), sum(standing.failed for standing in known), ""
    )


def standings(model: str, offerings: Iterable[Offering]) -> dict[int, Standing]:
    """By offering of a model: the last thirty days, and what health says now. Two queries."""
    offerings = list(offerings)
    first = datetime.now(UTC).date() - timedelta(days=MODEL_DAYS - 1)
    sums = {
        (provider, region): (asked, failed)
        for provider, region, asked, failed in OfferingDay.objects.filter(
            model=model, day__gte=first
        )
        .values_list("provider", "region")
        .annotate(Sum("attempts"), Sum("failures"))
    }
    seen = _seen(offerings)
    found = {}
    for offering in offerings:
        asked, failed = sums.get((offering.provider, offering.region), (0, 0))
        now = seen[offering.id]
        found[offering.id] = Standing(now, share_answered(asked, failed, now), asked, failed)
    return found


def overall(rows: Iterable[Availability]) -> str:
    """How things stand just now in one word, the worst of what the status page says: ``ok``, ``warn`` or ``bad``."""
    severities = set(
        Announcement.objects.published()
        .exclude(severity=Announcement.Severity.NEWS)
        .current()
        .values_list("severity", flat=True)
    )
    incidents = Incident.objects.filter(closed_at=None).values_list("whole", flat=True)
    said = ["bad" if whole else "warn" for whole in incidents]
    said += ["bad" if one == Announcement.Severity.INCIDENT else "warn" for one in severities]
    # That one provider answers less than usual is made up for by the others.
    said += ["warn" for row in rows if row.today in ("warn", "bad")]
    return max(said, key=STATES.index, default="ok")


def _of(
    provider: str,
    name: str,
    modality: str,
    rows: dict[date, ProviderDay],
    first: date,
    trouble: str,
    now: str,
) -> Availability:
    days = [_day(first + timedelta(days=number), rows, number) for number in range(DAYS)]
    attempts = sum(row.attempts for row in rows.values())
    failures = sum(row.failures for row in rows.values())
    today = now if days[-1].state == "none" else days[-1].state
    today = max(today, trouble or "none", key=STATES.index)
    if trouble:
        day = days[-1]
        days[-1] = Day(day.day, today, f"{day.words}; an incident is open", day.x)
    percent = share_answered(attempts, failures, trouble)
    return Availability(provider, name, modality, days, percent, today)


def _seen(offerings: Iterable[Offering]) -> dict[int, str]:
    """What health says of each offering: ``none`` where nobody has asked it yet."""
    known = OfferingHealth.objects.filter(
        Q(last_probe_at__isnull=False) | Q(last_observed_at__isnull=False)
    )
    states = dict(known.values_list("offering_id", "status"))
    return {offering.id: _NOW.get(states.get(offering.id, ""), "none") for offering in offerings}


def _together(states: set[str]) -> str:
    """The state of several: down only where all are; not known where none is."""
    known = states - {"none"}
    if not known or known == {"bad"}:
        return "bad" if known else "none"
    return "ok" if known == {"ok"} else "warn"


def share_answered(attempts: int, failures: int, state: str) -> float | None:
    """The share that was answered, never rounded up to all of it; nothing while trouble says otherwise."""
    percent = 10_000 * (attempts - failures) // attempts / 100 if attempts else None
    return None if percent == 100 and state in ("warn", "bad") else percent


def _day(day: date, rows: dict[date, ProviderDay], number: int) -> Day:
    row = rows.get(day)
    if row is None or row.attempts < ENOUGH:
        return Day(day, "none", f"{day:%d %b}: too few requests to tell", number * 6)
    share = row.failures / row.attempts
    state = "bad" if share >= DOWN else "warn" if share >= DEGRADED else "ok"
    return Day(
        day,
        state,
        f"{day:%d %b}: {share_answered(row.attempts, row.failures, '')} % answered",
        number * 6,
    )
