"""Limits exact over all gateway processes, with Redis and, in a stated safe mode, without it."""

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis as redis_client

from accounts.models import Organization
from billing.models import Transfer, Usage
from keys.secrets import new_secret
from tests import factories
from tests.conftest import new_gateway
from tests.gateway.test_terms import agree
from tests.live import Gateway, marker
from tests.load import Load, Outcome, at_once, call
from tests.processes import Server, eventually
from tokenhub.gateway.limits import scripts
from tokenhub.gateway.redis import Redis, RedisRefused
from tokenhub.stack.redis import EmbeddedRedis

MODEL = "deepseek/deepseek-v3.2"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that this test may kill."""
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o711)
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def two(
    gateway: Gateway, gateway_environ: dict[str, str], own_redis: EmbeddedRedis, tmp_path: Path
) -> Iterator[list[Server]]:
    """Two gateway processes with a Redis of their own."""
    servers = [
        new_gateway(gateway_environ, REDIS_URL=own_redis.url, DATA_DIR=str(tmp_path / name)).start()
        for name in ("one", "two")
    ]
    with client(own_redis) as redis:
        eventually(lambda: redis.zcard("tokenhub:gateways") == 2, what="both being counted")
    time.sleep(1.1)  # until each has heard of the other
    yield servers
    for server in servers:
        server.stop()


def client(server: EmbeddedRedis) -> redis_client.Redis:
    return redis_client.Redis.from_url(server.url)


def burst(servers: list[Any], secret: str, count: int) -> Counter[int]:
    """Calls that begin together, spread over the processes; how often each status was answered."""

    def one(number: int) -> Outcome:
        with httpx2.Client(timeout=60) as http:
            return call(http, servers[number % len(servers)].url, secret, MODEL, streamed=False)

    return Counter(outcome.status for outcome in at_once(count, one))


def limited(rpm: int, concurrency: int = 1_000) -> Organization:
    tenant = factories.organization(credit_nano=10_000_000_000)
    agree(tenant, rpm=rpm, concurrency=concurrency)
    return tenant


def test_two_processes_let_through_a_minutes_requests_and_not_one_more(two: list[Server]) -> None:
    tenant = limited(rpm=40)

    began_s = time.monotonic()
    statuses = burst(two, factories.key(tenant).secret, 100)
    passed_s = time.monotonic() - began_s

    refilled = int(passed_s * 40 / 60) + 1
    assert 40 <= statuses[200] <= 40 + refilled
    assert statuses[200] + statuses[429] == 100


def test_a_keys_own_limit_is_as_exact_and_takes_nothing_from_the_organization(
    two: list[Server],
) -> None:
    tenant = limited(rpm=60)
    narrow, wide = factories.key(tenant, rpm=10).secret, factories.key(tenant).secret

    began_s = time.monotonic()
    statuses = burst(two, narrow, 40)
    refilled = int((time.monotonic() - began_s) / 6) + 1

    assert 10 <= statuses[200] <= 10 + refilled
    answer = Gateway(two[0].url, None).chat(wide)  # type: ignore[arg-type]
    # What the key was refused was not counted against everybody.
    assert int(answer.headers["x-ratelimit-remaining-requests"]) >= 59 - statuses[200]


def test_the_headers_say_where_a_caller_stands(gateway: Gateway) -> None:
    secret = factories.key(limited(rpm=3)).secret

    answers = [gateway.chat(secret) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    for answer, remaining in zip(answers, (2, 1, 0, 0, 0), strict=True):
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(remaining)
        assert re.fullmatch(r"\d+\.\d{3}s", answer.headers["x-ratelimit-reset-requests"])
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-request-id"]
    assert f"Retry in {refused.headers['retry-after']} s" in refused.json()["error"]["message"]


def test_requests_under_way_are_counted_over_both_processes(
    two: list[Server], gateway: Gateway
) -> None:
    mark = marker()
    gateway.providers.fault("deepseek", "slow", delay_ms=1_000, contains=mark)
    tenant = limited(rpm=6_000, concurrency=3)
    secret = factories.key(tenant).secret

    def one(number: int) -> Outcome:
        with httpx2.Client(timeout=60) as http:
            answer = http.post(
                f"{two[number % 2].url}/v1/chat/completions",
                headers={"authorization": f"Bearer {secret}"},
                json={
                    "model": MODEL,
                    "messages": [{"role": "user", "content": f"Hello [[id={mark}]]"}],
                    "max_tokens": 5,
                },
            )
            return Outcome(status=answer.status_code)

    outcomes = Counter(outcome.status for outcome in at_once(12, one))

    assert outcomes[429] >= 12 - 2 * 3
    assert outcomes[200] >= 1
    # Nobody is under way any more: all places are free again.
    assert burst(two[:1], secret, 3)[200] >= 1


def test_a_killed_process_keeps_no_places(two: list[Server], own_redis: EmbeddedRedis) -> None:
    tenant = limited(rpm=6_000, concurrency=2)
    secret = factories.key(tenant).secret
    assert burst(two[:1], secret, 1)[200] == 1
    running = f"tokenhub:{{{uuid.UUID(hex=tenant.id[4:])}}}:running"
    with client(own_redis) as redis:
        # As a process leaves it that was killed with two requests under way: believed for a while.
        for believed_s, status in ((3_600, 429), (-1, 200)):
            redis.hset(running, "dead:1:abc", f"2:{int((time.time() + believed_s) * 1000)}")

            assert burst(two[:1], secret, 1)[status] == 1

        assert not redis.hexists(running, "dead:1:abc")


def test_redis_killed_and_revived_under_load(two: list[Server], own_redis: EmbeddedRedis) -> None:
    tenant = limited(rpm=60_000)
    secret = factories.key(tenant).secret
    loads = [Load(server.url, secret, (MODEL,), workers=4).start() for server in two]
    try:
        for harm in ("kill", "revive"):
            seen = [len(load.outcomes) for load in loads]
            eventually(
                lambda s=seen: all(len(x.outcomes) > n + 20 for x, n in zip(loads, s, strict=True)),
                within_s=60,
            )
            if harm == "kill":
                own_redis.stop()
            else:
                own_redis.start()
        seen = [len(load.outcomes) for load in loads]
        eventually(
            lambda: all(len(x.outcomes) > n + 20 for x, n in zip(loads, seen, strict=True)),
            within_s=60,
        )
    finally:
        outcomes = [outcome for load in loads for outcome in load.stop()]

    # No call failed for it, and each was charged once.
    assert {outcome.status for outcome in outcomes} == {200}
    billed = Usage.objects.filter(organization=tenant, billed=True).count()
    assert billed == len(outcomes)
    assert Transfer.objects.filter(organization=tenant, kind="usage").count() == billed


def test_without_redis_each_process_lets_through_its_share_and_then_all_is_exact_again(
    two: list[Server], own_redis: EmbeddedRedis
) -> None:
    own_redis.stop()
    tenant = limited(rpm=20)
    secret = factories.key(tenant).secret

    began_s = time.monotonic()
    alone = burst(two[:1], secret, 30)
    refilled = int((time.monotonic() - began_s) / 6) + 1
    assert 10 <= alone[200] <= 10 + refilled

    own_redis.start()
    with client(own_redis) as redis:
        eventually(lambda: redis.zcard("tokenhub:gateways") == 2, what="both being back")
    # Redis lost its memory; the process has not: what it let through still counts.
    revived = burst(two[:1], secret, 10)
    passed_s = time.monotonic() - began_s
    assert alone[200] + revived[200] <= 20 + int(passed_s * 20 / 60) + 1


@pytest.mark.parametrize(
    ("harm", "undo"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ],
)
def test_a_redis_that_takes_no_writes_is_left_and_looked_for_until_one_does(
    own_redis: EmbeddedRedis, harm: str, undo: str
) -> None:
    async def run(redis: redis_client.Redis) -> None:
        ours = Redis(own_redis.url, scripts.ALL)
        ours.start()
        assert await ours.ready(10)
        redis.execute_command(*harm.split())
        with pytest.raises(RedisRefused):
            await ours.run(scripts.ALIVE, (b"test",), b"process", b"1000")
        await asyncio.sleep(0)

        # Its name may lead to another by now: it is not asked again, and not kept.
        assert not ours.connected

        redis.execute_command(*undo.split())
        async with asyncio.timeout(10):
            while not ours.connected:
                await asyncio.sleep(0.01)
        assert await ours.run(scripts.ALIVE, (b"test",), b"process", b"1000") == 1
        await ours.stop()

    with client(own_redis) as redis:
        asyncio.run(run(redis))


# who may not call


def test_guesses_with_a_right_checksum_are_not_looked_up_for_ever(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    # Everything here comes from one address: a process of its own keeps it from the other tests.
    server = new_gateway(gateway_environ).start()
    gateway = Gateway(server.url, gateway.providers)

    def one(_: int) -> Counter[int]:
        with httpx2.Client(timeout=60) as http:
            return Counter(
                http.get(
                    f"{gateway.url}/v1/models",
                    headers={"authorization": f"Bearer {new_secret('inference')}"},
                ).status_code
                for _ in range(40)
            )

    known = factories.key(factories.organization(credit_nano=1_000_000_000)).secret
    assert gateway.chat(known).status_code == 200
    with ThreadPoolExecutor(4) as pool:
        statuses: Counter[int] = sum(pool.map(one, range(4)), Counter())

    # About sixty were looked up, the rest was refused without asking anyone.
    assert statuses[401] + statuses[429] == 160
    assert statuses[429] > 60
    # Who is known is served as before, from the same address.
    assert gateway.chat(known).status_code == 200
    server.stop()
