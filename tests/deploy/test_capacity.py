"""The arithmetic of the capacity model, by hand and against its own simulation; and that the document says what it says."""

import dataclasses
import math
import re

import pytest

from tests.bench.capacity import Inputs, one_organization_s, plan, simulate
from tests.processes import BASE_DIR

# Round numbers, to be followed with a pencil.
EASY = Inputs(
    gateway_us=1_000, commit_us=1_000, settle_us=100, wal_bytes=1_000, disk_bytes=1_000, redis_us=10, sync_ms=1,
    gateway_utilization=0.5, database_utilization=0.5, redis_utilization=0.5, cores_of_a_primary=4,
    wal_mb_s_of_a_primary=10, lookups_per_request=0.0, lookup_us=0.0,
)  # fmt: skip


def test_a_plan_by_hand() -> None:
    # 60,000 a minute are 1,000 a second, 2,000 at the peak: 2 cores of gateway at 1 ms, 4 at half load; with one of two zones away, 8.
    needed = plan(60_000, EASY, peak=2, zones=2)

    assert (needed.requests_s, needed.peak_s, needed.gateways) == (1_000, 2_000, 8)
    # 250 a second each: a group takes 2 ms and 0.1 ms a request, so half a request waits: groups of one.
    assert (needed.group, needed.groups_s) == (1.0, 2_000.0)
    # 2,000 × (0.1 + 1) ms are 2.2 cores; 4.4 at half load; two primaries of 4.
    assert needed.database_cores == pytest.approx(4.4)
    assert needed.primaries == 2
    assert needed.needs_citus
    assert needed.wal_mb_s == pytest.approx(2.0)
    assert needed.redis_shards == 1
    assert needed.rows_a_day == 86_400_000
    assert needed.disk_gb_a_month == pytest.approx(2_592)


def test_groups_grow_with_the_rate_and_save_the_database() -> None:
    calm, busy = plan(60_000, EASY, peak=1), plan(600_000, EASY, peak=1)
    alone = dataclasses.replace(EASY, gateway_us=100)
    few = plan(600_000, alone, peak=1)

    assert few.gateways < busy.gateways
    assert few.group > busy.group >= calm.group
    assert few.database_cores < busy.database_cores
    # group = rate × (sync + commit + group × settle)
    rate = few.peak_s / few.gateways
    assert few.group == pytest.approx(rate * (0.001 + 0.001 + few.group * 0.0001))


def test_more_than_one_gateway_can_settle_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot settle"):
        plan(600_000, dataclasses.replace(EASY, gateway_us=1, settle_us=2_000))


def test_the_bytes_alone_can_need_another_primary() -> None:
    assert plan(60_000, EASY, peak=2).primaries <= 2
    assert plan(60_000, dataclasses.replace(EASY, wal_bytes=20_000), peak=2).primaries == 4


def test_one_organization_is_bounded_by_its_wallet() -> None:
    assert one_organization_s(8, EASY, most=100) == pytest.approx(100 / 0.012)


def test_the_simulation_settles_what_arrives_in_the_groups_the_model_says() -> None:
    needed = plan(120_000, Inputs(), peak=2)

    seen = simulate(needed, Inputs(), seconds=1.0)
    again = simulate(needed, Inputs(), seconds=1.0)

    assert seen == again, "the same seed is the same run"
    assert seen.settled == pytest.approx(needed.peak_s, rel=0.1)
    # Arrivals are not even, so that some groups are larger than the mean rate makes them.
    assert needed.group * 0.8 <= seen.group <= needed.group * 2.5
    assert seen.cores_used <= needed.database_cores


def test_too_few_cores_are_seen_in_the_simulation() -> None:
    needed = plan(600_000, Inputs(), peak=2)
    assert needed.primaries == 1

    enough = simulate(needed, Inputs(), seconds=0.5)
    starved = simulate(needed, Inputs(), seconds=0.5, cores=needed.database_cores * 0.1)

    assert starved.p99_ms > 2 * enough.p99_ms
    assert math.isfinite(enough.p99_ms)


@pytest.mark.parametrize(
    ("rpm", "row"), [(10_000, 0), (100_000, 1), (1_000_000, 2), (10_000_000, 3)]
)
def test_the_document_has_the_numbers_of_the_model(rpm: int, row: int) -> None:
    text = (BASE_DIR / "docs" / "capacity.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d.]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text, re.MULTILINE)  # fmt: skip
    needed = plan(rpm, Inputs())

    assert rows[row] == (
        f"{rpm:,}", f"{needed.peak_s:,.0f}", str(needed.gateways), f"{needed.group:.1f}",
        f"{needed.database_cores:.0f}", f"{needed.wal_mb_s:.0f}", str(needed.primaries), str(needed.redis_shards),
    )  # fmt: skip
    for name, value in dataclasses.asdict(Inputs()).items():
        assert f"| `{name}` | {value:,g} |" in text, name
