"""What settling costs PostgreSQL here (CPU of its backend by group size, WAL, disk), and a limit costs Redis."""

import json
import os
import statistics
import time
import uuid
from datetime import UTC, datetime

import psutil

from tests import environment  # noqa: F401  (starts PostgreSQL and Redis, before Django's settings)

ORGANIZATIONS = 40
GROUPS = (1, 4, 16, 64, 256)
REPEATS = 40
LEASE_NANO = 10**12
TRACE = {"candidates": [{"provider": f"p{number}", "region": "eu", "tier": number % 3} for number in range(4)],
         "excluded": [{"provider": "q", "region": "us", "rule": "region_not_allowed"}], "policy_version": 1}  # fmt: skip


def measure() -> dict[str, float]:
    """The inputs of the model that are PostgreSQL's."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tokenhub.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    from tests import factories

    tenants = [factories.organization(credit_nano=10 * LEASE_NANO) for _ in range(ORGANIZATIONS)]
    with connection.cursor() as cursor:
        leases = []
        for tenant in tenants:
            lease = str(uuid.uuid4())
            cursor.execute(
                "SELECT granted FROM billing_draw_lease(%s, %s, 'bench', %s, %s, 3600)",
                [lease, tenant.id[4:], LEASE_NANO, LEASE_NANO],
            )
            leases.append((lease, tenant.id[4:]))
        cursor.execute("SELECT pg_backend_pid()")
        backend = psutil.Process(cursor.fetchone()[0])

        def settle(size: int) -> None:
            results = [_result(*leases[number % ORGANIZATIONS]) for number in range(size)]
            cursor.execute("SELECT billing_settle(%s, %s::json)", [uuid.uuid4(), json.dumps(results)])  # fmt: skip
            assert cursor.fetchone()[0] == []

        for _ in range(20):
            settle(64)  # plans, caches, the first pages
        points = []
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT pg_current_wal_insert_lsn(), pg_database_size(current_database())")
        lsn, size_before = cursor.fetchone()
        total = 0
        for size in GROUPS:
            before = sum(backend.cpu_times()[:2])
            for _ in range(REPEATS):
                settle(size)
            points.append((size, (sum(backend.cpu_times()[:2]) - before) / REPEATS * 1e6))
            total += size * REPEATS
        cursor.execute(
            "SELECT pg_current_wal_insert_lsn() - %s, pg_database_size(current_database()) - %s",
            [lsn, size_before],
        )
        wal, disk = cursor.fetchone()
    fixed_us, each_us = _line(points)
    return {
        "commit_us": max(fixed_us, 0.0),
        "settle_us": each_us,
        "wal_bytes": float(wal) / total,
        "disk_bytes": float(disk) / total,
        "redis_us": limiting(),
    }


def durable_ms(commits: int = 300) -> float:
    """How long the durable commit of one charge takes by itself (p50, milliseconds); Django is set up."""
    from django.db import connection

    from tests import factories

    tenant = factories.organization(credit_nano=2 * LEASE_NANO)
    lease = str(uuid.uuid4())
    took_s = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_draw_lease(%s, %s, 'bench', %s, %s, 3600)",
            [lease, tenant.id[4:], LEASE_NANO, LEASE_NANO],
        )
        cursor.execute(
            "PREPARE settle_one (uuid, json) AS SELECT array_to_string(billing_settle($1, $2), ' ')"
        )
        for _ in range(commits):
            arguments = [uuid.uuid4(), json.dumps([_result(lease, tenant.id[4:])])]
            began_s = time.perf_counter()
            cursor.execute("EXECUTE settle_one (%s, %s)", arguments)
            took_s.append(time.perf_counter() - began_s)
            assert cursor.fetchone() == ("",)
        cursor.execute("DEALLOCATE settle_one")
    return statistics.median(took_s) * 1000


def limiting() -> float:
    """CPU of Redis for one rate limit, in microseconds: a script that reads, decides and writes one key."""
    import redis

    server = redis.Redis.from_url(os.environ["REDIS_URL"])
    digest = server.script_load(GCRA)

    def cpu_s() -> float:
        used = server.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def ask(rounds: int) -> None:
        for number in range(rounds):
            server.evalsha(digest, 1, f"bench:{number % 5_000}", 600, 1_000)

    ask(1_000)
    before = cpu_s()
    ask(10_000)
    return (cpu_s() - before) / 10_000 * 1e6


# The generic cell rate algorithm on Redis' own clock.
GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if arrival - now > ARGV[1] * ARGV[2] then return 0 end
redis.call('SET', KEYS[1], arrival + ARGV[2], 'PX', 60000)
return 1
"""


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Least squares of relative errors: what a group costs by itself, and each request in it."""
    weights = [1 / (cost * cost) for _, cost in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    slope = sum(
        w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True)
    ) / sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    return mean_y - slope * mean_x, slope


def _result(lease: str, organization: str) -> dict[str, object]:
    """A result as the gateway settles one."""
    from accounts.ids import uuid7

    return {
        "id": str(uuid7()), "lease_id": lease, "organization_id": organization, "key_id": str(uuid.uuid4()),
        "key_name": "production", "created_at": datetime.now(UTC).isoformat(), "status": "succeeded", "billed": True,
        "error_code": "", "dialect": "openai", "modality": "text", "model_requested": "deepseek-v3.2",
        "model": "deepseek-v3.2", "provider": "deepseek", "region": "cn", "stream": True,
        "units": {"input": 700, "cached_input": 100, "output": 300},
        "lines": [{"unit": unit, "count": 100, "price": 280_000_000, "fee": 28_000} for unit in ("input", "cached_input", "output")],
        "model_fee_nano": 84_000, "service_fee_nano": 2_520, "service_fee_bps": 300, "service_fee_source": "plan:1",
        "capped": False, "price_version": 1, "attempts": [{"provider": "deepseek", "region": "cn", "outcome": "succeeded", "status": 200, "latency_ms": 812}],
        "routing": TRACE, "latency_ms": 812, "first_token_ms": 210, "session_id": uuid.uuid4().hex,
    }  # fmt: skip
