"""How many of what a load needs: a model with measured inputs, and a simulation of what one machine cannot show.

    python -m tests.bench.capacity                      # a million requests a minute
    python -m tests.bench.capacity --rpm 60000 --zones 2
    python -m tests.bench.capacity --measure            # the inputs of PostgreSQL, measured here anew

docs/capacity.md explains the model and keeps its answer.
"""

import argparse
import dataclasses
import math
import random
import statistics
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was measured, and what a deployment decides. Times are of CPU unless they say otherwise."""

    # make bench, 2026-11-23: 32 to 128 connections, 1 KB answers, decision and trace included
    gateway_us: float = 190.0
    # python -m tests.bench.capacity --measure, 2026-11-24: one group = commit + requests × settle
    commit_us: float = 900.0
    settle_us: float = 82.0
    wal_bytes: float = 2_950.0
    disk_bytes: float = 2_300.0
    redis_us: float = 13.0
    # assumed of a deployment; change them to yours
    sync_ms: float = 1.0
    gateway_utilization: float = 0.6
    database_utilization: float = 0.5
    redis_utilization: float = 0.4
    cores_of_a_primary: int = 32
    wal_mb_s_of_a_primary: float = 250.0
    lookups_per_request: float = 0.02
    lookup_us: float = 400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs."""

    requests_s: float
    peak_s: float
    gateways: int
    group: float
    groups_s: float
    database_cores: float
    wal_mb_s: float
    primaries: int
    redis_shards: int
    connections: int
    rows_a_day: int
    disk_gb_a_month: float
    one_organization_s: float

    @property
    def needs_citus(self) -> bool:
        """Whether one PostgreSQL cannot settle it all."""
        return self.primaries > 1


def plan(rpm: float, inputs: Inputs, *, peak: float = 2.0, zones: int = 3) -> Plan:
    """Replicas, partitions and bytes for a load; it holds at ``peak`` times the mean with a zone away."""
    requests_s = rpm / 60
    peak_s = requests_s * peak
    busy = peak_s * inputs.gateway_us / 1e6 / inputs.gateway_utilization
    # What is left after a zone is gone must carry the peak.
    gateways = max(2, math.ceil(busy * zones / max(zones - 1, 1)))
    group, groups_s = _groups(peak_s / gateways, inputs)
    cores = (
        peak_s * inputs.settle_us
        + gateways * groups_s * inputs.commit_us
        + peak_s * inputs.lookups_per_request * inputs.lookup_us
    ) / 1e6
    wal_mb_s = peak_s * inputs.wal_bytes / 1e6
    primaries = max(
        math.ceil(cores / inputs.database_utilization / inputs.cores_of_a_primary),
        math.ceil(wal_mb_s / inputs.wal_mb_s_of_a_primary),
        1,
    )
    redis = peak_s * inputs.redis_us / 1e6 / inputs.redis_utilization
    return Plan(
        requests_s=requests_s,
        peak_s=peak_s,
        gateways=gateways,
        group=group,
        groups_s=groups_s * gateways,
        database_cores=cores / inputs.database_utilization,
        wal_mb_s=wal_mb_s,
        primaries=primaries,
        redis_shards=max(1, math.ceil(redis)),
        connections=gateways * 5 * primaries,
        rows_a_day=round(requests_s * 86_400),
        disk_gb_a_month=requests_s * 86_400 * 30 * inputs.disk_bytes / 1e9,
        one_organization_s=one_organization_s(gateways, inputs),
    )


def _groups(requests_s: float, inputs: Inputs) -> tuple[float, float]:
    """Requests in a group, and groups a second, of one gateway that begins a group as soon as the last one is durable.

    What arrives while a group is under way is the next: group = rate × (sync + fixed + group × each).
    """
    fixed_s = inputs.sync_ms / 1e3 + inputs.commit_us / 1e6
    each_s = inputs.settle_us / 1e6
    if requests_s * each_s >= 1:
        raise ValueError("One gateway cannot settle so many requests, however it groups them.")
    group = max(1.0, requests_s * fixed_s / (1 - requests_s * each_s))
    return group, requests_s / group


def one_organization_s(gateways: int, inputs: Inputs, *, most: int = 512) -> float:
    """What one organization can be charged in a second: its wallet is one row, and its groups wait for each other.

    ``most`` is the largest group a gateway commits.
    """
    whole_s = inputs.sync_ms / 1e3 + inputs.commit_us / 1e6 + most * inputs.settle_us / 1e6
    return most / whole_s if gateways else 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation saw: how long results waited to be durable, and how they were grouped."""

    p50_ms: float
    p99_ms: float
    group: float
    cores_used: float
    settled: int


def simulate(
    needed: Plan, inputs: Inputs, *, seconds: float = 2.0, seed: int = 1, cores: float | None = None
) -> Simulated:
    """Gateways that commit in groups on primaries whose cores they share, at the peak; in steps of 0.2 ms.

    Requests arrive at random (Poisson). A group's work is shared out over the cores of its primary
    with all other groups there; then its sync takes its time. From one seed, always the same.
    """
    chance = random.Random(seed)
    step_s = 0.0002
    own_cores = cores if cores is not None else float(inputs.cores_of_a_primary)
    rate = needed.peak_s / needed.gateways * step_s
    waiting: list[deque[float]] = [deque() for _ in range(needed.gateways)]
    under_way: list[list[float]] = [[] for _ in range(needed.gateways)]
    left_us = [0.0] * needed.gateways
    sync_until = [0.0] * needed.gateways
    waits: list[float] = []
    groups: list[int] = []
    worked_us = 0.0
    now = 0.0
    for _ in range(round(seconds / step_s)):
        now += step_s
        for number, queue in enumerate(waiting):
            for _ in range(_poisson(chance, rate)):
                queue.append(now)
            if left_us[number] <= 0 and under_way[number] and now >= sync_until[number]:
                waits += [now - arrived for arrived in under_way[number]]
                groups.append(len(under_way[number]))
                under_way[number] = []
            if not under_way[number] and queue:
                under_way[number] = list(queue)
                queue.clear()
                left_us[number] = inputs.commit_us + len(under_way[number]) * inputs.settle_us
        for primary in range(needed.primaries):
            working = [
                number
                for number in range(primary, needed.gateways, needed.primaries)
                if left_us[number] > 0
            ]
            share_us = step_s * 1e6 * min(1.0, own_cores / len(working)) if working else 0.0
            for number in working:
                worked_us += min(share_us, left_us[number])
                left_us[number] -= share_us
                if left_us[number] <= 0:
                    sync_until[number] = now + inputs.sync_ms / 1e3
    cuts = statistics.quantiles(waits, n=100)
    return Simulated(
        p50_ms=cuts[49] * 1e3,
        p99_ms=cuts[98] * 1e3,
        group=statistics.fmean(groups),
        cores_used=worked_us / 1e6 / seconds,
        settled=len(waits),
    )


def _poisson(chance: random.Random, mean: float) -> int:
    """Knuth's method; the mean is small."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def main() -> None:
    """Print the plan, the simulation, and, where asked for, what PostgreSQL costs here."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("--rpm", type=float, default=1_000_000)
    parser.add_argument(
        "--peak", type=float, default=2.0, help="the peak as a multiple of the mean"
    )
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    inputs = Inputs()
    if arguments.measure:
        from tests.bench.settling import measure

        measured = measure()
        inputs = dataclasses.replace(inputs, **measured)
        print(", ".join(f"{name} = {value:,.0f}" for name, value in measured.items()), "\n")
    needed = plan(arguments.rpm, inputs, peak=arguments.peak, zones=arguments.zones)
    seen = simulate(needed, inputs)
    for shown in (needed, seen):
        for entry in dataclasses.fields(shown):
            value = getattr(shown, entry.name)
            print(f"{entry.name.replace('_', ' '):24}{value:>14,.1f}")
        print()


if __name__ == "__main__":
    main()
