"""The health of offerings as this process decides with: what is on record, joined with its own calls.

An offering is down where its record says so, or where ten calls of this process failed in a row.
Then nothing is sent, but for one call every five seconds: the probe. An offering with two failures
in a row is degraded: others are preferred while they last.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from routing.health import Seen
from routing.types import DEGRADED, DOWN, HEALTHY, Health

DEGRADED_AFTER = 2
DOWN_AFTER = 10
FORGET_AFTER_S = 30.0
FORGET_OPEN_AFTER_S = 60.0
"""Nobody has tried it since, and its record does not call it down: it gets another chance."""
RETRY_AFTER_S = 5.0
PROBE_LASTS_S = 30.0
"""A probe that has not ended by then is given up: another may go."""
KEPT = 64
"""So many measurements of an offering are kept between two reports."""


@dataclass(slots=True)
class _Run:
    """Failures in a row, as this process saw them."""

    failures: int = 0
    last_s: float = 0.0
    opened_s: float = 0.0
    probe_until_s: float = 0.0

    @property
    def open(self) -> bool:
        return self.failures >= DOWN_AFTER

    @property
    def ready_s(self) -> float:
        """When the next probe may go."""
        return max(self.opened_s + RETRY_AFTER_S, self.probe_until_s)


@dataclass(slots=True)
class _Tally:
    """What was seen of one offering since the last report."""

    successes: int = 0
    failures: int = 0
    outcome: str = ""
    latency_ms: list[int] = field(default_factory=list)
    tokens_per_s: list[float] = field(default_factory=list)
    began_s: float = field(default_factory=time.time)


class Breaker:
    """Consecutive failures per offering, by id. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}
        self._recorded: Health = Health()
        self._overruled: set[int] = set()
        """Down on record, and yet a call of this process was just answered."""
        self._base: Mapping[int, int] = {}
        self._quiet = Health()
        """What is known while no call of this process fails."""
        self._tallies: dict[int, _Tally] = {}
        self.urgent = False
        """Whether something was seen that the record should know soon."""

    # what the decision asks

    def health(self, now_s: float) -> Health:
        """What is known of the offerings now."""
        if not self._runs:
            return self._quiet
        return Health(self.tiers(now_s), self._recorded.measured)

    def tiers(self, now_s: float) -> Mapping[int, int]:
        """The tier of every offering that is not healthy; empty in quiet times."""
        if not self._runs:
            return self._base
        tiers = dict(self._base)
        for offering, run in list(self._runs.items()):
            if self._forgotten(offering, run, now_s):
                del self._runs[offering]
            elif run.open:
                tiers[offering] = DEGRADED if now_s >= run.ready_s else DOWN
            elif run.failures >= DEGRADED_AFTER:
                tiers[offering] = max(DEGRADED, tiers.get(offering, HEALTHY))
        return tiers

    def retry_after_s(self, now_s: float) -> float:
        """When the next probe of a down offering is due, at least one second."""
        due = [run.ready_s - now_s for run in self._runs.values() if run.open]
        return max(1.0, min(due, default=1.0))

    # what calls say

    def started(self, offering: int, now_s: float) -> bool:
        """A call is about to go out. ``False``: it must not, the offering is down and its probe is taken.

        Where it is down and a probe is due, this call is the probe.
        """
        run = self._runs.get(offering)
        if run is None or not run.open:
            return True
        if now_s < run.ready_s:
            return False
        run.opened_s = now_s
        run.probe_until_s = now_s + PROBE_LASTS_S
        return True

    def succeeded(
        self, offering: int, latency_ms: int | None = None, tokens_per_s: float | None = None
    ) -> None:
        """A valid result: the run of failures has ended."""
        self._runs.pop(offering, None)
        recorded = self._recorded.tiers.get(offering, HEALTHY)
        if recorded:
            self.urgent = True
            if recorded >= DOWN and offering not in self._overruled:
                self._overruled.add(offering)
                self._rebase()
        tally = self._tally(offering)
        tally.successes += 1
        if latency_ms is not None and len(tally.latency_ms) < KEPT:
            tally.latency_ms.append(latency_ms)
        if tokens_per_s is not None and len(tally.tokens_per_s) < KEPT:
            tally.tokens_per_s.append(tokens_per_s)

    def failed(
        self,
        offering: int,
        now_s: float,
        outcome: str = "failed",
        stay_away_s: float | None = None,
    ) -> None:
        """A failed attempt. Where the provider asked us to stay away, nothing is sent until then."""
        run = self._runs.setdefault(offering, _Run())
        if now_s - run.last_s > FORGET_AFTER_S and not run.open:
            run.failures = 0
        run.failures += 1
        if offering in self._overruled:
            self._overruled.discard(offering)
            self._rebase()
            run.failures = max(run.failures, DOWN_AFTER)
        run.last_s = now_s
        run.probe_until_s = 0.0
        if stay_away_s is not None:
            run.failures = max(run.failures, DOWN_AFTER)
            run.opened_s = now_s + stay_away_s - RETRY_AFTER_S
        elif run.open:
            run.opened_s = now_s
        tally = self._tally(offering)
        tally.failures += 1
        tally.outcome = outcome
        self.urgent = True

    def ended(self, offering: int) -> None:
        """A call ended in a way that says nothing of the offering: the client's own mistake."""
        run = self._runs.get(offering)
        if run is not None:
            run.probe_until_s = 0.0

    # to and from the record

    def learn(self, recorded: Health, now_s: float) -> None:
        """What is on record now. What went down there is down here; what got better starts afresh."""
        before, self._recorded = self._recorded.tiers, recorded
        for offering in {*before, *recorded.tiers}:
            was, now = before.get(offering, HEALTHY), recorded.tiers.get(offering, HEALTHY)
            if now >= DOWN > was:
                run = self._runs.setdefault(offering, _Run())
                if not run.open:
                    run.failures, run.last_s, run.opened_s = DOWN_AFTER, now_s, now_s
            elif now < was:
                self._runs.pop(offering, None)
                self._overruled.discard(offering)
        self._rebase()

    def report(self) -> dict[int, Seen]:
        """What was seen since the last report."""
        tallies, self._tallies = self._tallies, {}
        self.urgent = False
        return {
            offering: Seen(
                tally.successes,
                tally.failures,
                tally.outcome,
                tuple(tally.latency_ms),
                tuple(tally.tokens_per_s),
                tally.began_s,
            )
            for offering, tally in tallies.items()
        }

    def put_back(self, report: Mapping[int, Seen]) -> None:
        """A report that could not be written: its counts go into the next one."""
        for offering, seen in report.items():
            tally = self._tally(offering)
            tally.began_s = min(tally.began_s, seen.began_s)
            tally.successes += seen.successes
            tally.failures += seen.failures
            tally.outcome = tally.outcome or seen.outcome
        self.urgent = True

    def _tally(self, offering: int) -> _Tally:
        tally = self._tallies.get(offering)
        if tally is None:
            tally = self._tallies[offering] = _Tally()
        return tally

    def _rebase(self) -> None:
        self._base = {
            offering: DEGRADED if offering in self._overruled else tier
            for offering, tier in self._recorded.tiers.items()
        }
        self._quiet = Health(self._base, self._recorded.measured)

    def _forgotten(self, offering: int, run: _Run, now_s: float) -> bool:
        if not run.open:
            return now_s - run.last_s > FORGET_AFTER_S
        down_on_record = self._recorded.tiers.get(offering, HEALTHY) >= DOWN
        return not down_on_record and now_s - max(run.last_s, run.ready_s) > FORGET_OPEN_AFTER_S
