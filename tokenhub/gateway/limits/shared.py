"""The limits of every caller, counted in Redis for all gateway processes; without Redis, in a share of them.

Where Redis does not answer, each process lets through its part: limit divided by how many processes there were,
rounded down, but one at least. It goes on from what Redis last said, and Redis, when it comes back with
nothing, from what the processes then know. Money never depends on any of it.
"""

import asyncio
import time
from functools import lru_cache
from typing import Any

import structlog

from tokenhub.gateway.directory import Caller
from tokenhub.gateway.errors import RateLimitExceeded
from tokenhub.gateway.limits.local import Allowance, RateLimiter
from tokenhub.gateway.limits.scripts import ALIVE, STATE, TAKE
from tokenhub.gateway.redis import Redis, RedisAway, RedisRefused, quietly

log = structlog.get_logger(__name__)

LIFE_MS = 15_000
"""For how long others believe what a process said was under way, if it says nothing more."""
RESTATE_S = 5.0
TELL_WITHIN_S = 0.02
ALIVE_S = 1.0
ALIVE_MS = 5_000
GATEWAYS = b"tokenhub:gateways"
NONE, ORGANIZATION, KEY, UNDER_WAY = range(4)


class Limits:
    """What every process of the platform together lets through."""

    def __init__(self, redis: Redis, process: str) -> None:
        self._redis = redis
        self._process = process.encode()
        self._local = RateLimiter()
        self._running: dict[str, int] = {}
        self._changed: set[str] = set()
        self._telling = self._telling_now = False
        self._task: asyncio.Task[None] | None = None
        self.processes = 1

    def start(self) -> None:
        """Say that this process lives, and what it has under way."""
        self._task = asyncio.create_task(self._keep(), name="limits")

    async def stop(self) -> None:
        """Say that it ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._tell()
        await quietly(self._redis.run(ALIVE, (GATEWAYS,), self._process, b"0"))

    def ask(self, caller: Caller) -> "Admission":
        """Count a request of a caller; what became of it says ``Admission.verdict``.

        The question leaves at once, so that the answer can be on its way while the body is. Whoever asks
        must ``leave`` in the end.
        """
        tenant = caller.organization_id
        running = self._running[tenant] = self._running.get(tenant, 0) + 1
        if not self._redis.connected:
            return Admission(self, caller, None, 0.0)
        now_s = time.monotonic()
        keys: tuple[bytes, ...] = _keys(tenant)
        key_rpm = key_ahead_us = 0
        if caller.key_rpm is not None:
            keys = (*keys, b"tokenhub:{%b}:%b" % (tenant.encode(), caller.key_id.encode()))
            key_rpm = caller.key_rpm
            key_ahead_us = int(self._local.ahead_s(caller.key_id, now_s) * 1e6)
        answer = self._redis.run(
            TAKE,
            keys,
            b"%d" % caller.rpm,
            b"%d" % (self._local.ahead_s(tenant, now_s) * 1e6),
            b"%d" % key_rpm,
            b"%d" % key_ahead_us,
            self._process,
            b"%d" % running,
            b"%d" % caller.concurrency,
            b"%d" % LIFE_MS,
        )
        self._changed.discard(tenant)
        return Admission(self, caller, answer, now_s)

    def under_way(self) -> int:
        """How many requests of everybody this process has under way."""
        return sum(self._running.values())

    def left(self, tenant: str, concurrency: int) -> None:
        """A request has ended, or never began; ``concurrency`` is how many may be under way."""
        running = self._running[tenant] - 1
        if running:
            self._running[tenant] = running
        else:
            del self._running[tenant]
        self._changed.add(tenant)
        # Said at once where another process may wait for the place; else with what else there is to say,
        # and not at all where this process's next request of the tenant says it.
        scarce = 2 * (running + 1) * self.processes > concurrency
        if scarce and not self._telling_now:
            self._telling_now = True
            asyncio.get_running_loop().call_soon(self._tell)
        elif not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_later(TELL_WITHIN_S, self._tell_later)

    def heard(self, caller: Caller, answer: bytes, asked_s: float) -> tuple[Allowance, int]:
        """What Redis said; kept for when it says nothing. The tighter of the organization's and the key's."""
        refused, remaining, reset_us, retry_us, key_remaining, key_reset_us, key_retry_us = map(
            int, answer.split()
        )
        tenant = caller.organization_id
        # Counted from the question, so that it never claims more than Redis has.
        self._local.set(tenant, asked_s + reset_us / 1e6, asked_s)
        whole = Allowance(caller.rpm, remaining, reset_us / 1e6, retry_us / 1e6)
        if caller.key_rpm is None:
            return whole, refused
        self._local.set(caller.key_id, asked_s + key_reset_us / 1e6, asked_s)
        own = Allowance(caller.key_rpm, key_remaining, key_reset_us / 1e6, key_retry_us / 1e6)
        of_key = refused == KEY or (refused != ORGANIZATION and key_remaining < remaining)
        return (own if of_key else whole), refused

    def alone(self, caller: Caller) -> tuple[Allowance, int]:
        """What this process lets through by itself: its share."""
        now_s = time.monotonic()
        tenant = caller.organization_id
        whole = self._local.look(tenant, self._share(caller.rpm), now_s)
        allowance, refused = whole, ORGANIZATION if whole.retry_after_s else NONE
        own = None
        if caller.key_rpm is not None and not refused:
            own = self._local.look(caller.key_id, self._share(caller.key_rpm), now_s)
            if own.retry_after_s or own.remaining < whole.remaining:
                allowance, refused = own, KEY if own.retry_after_s else NONE
        if not refused and self._running[tenant] > self._share(caller.concurrency):
            refused = UNDER_WAY
        if not refused:
            self._local.set(tenant, now_s + whole.reset_s, now_s)
            if own is not None:
                self._local.set(caller.key_id, now_s + own.reset_s, now_s)
        return allowance, refused

    def _share(self, limit: int) -> int:
        return max(1, limit // self.processes)

    def _tell_later(self) -> None:
        self._telling = False
        self._tell()

    def _tell(self) -> None:
        """State what changed; nobody waits for it."""
        self._telling_now = False
        changed, self._changed = self._changed, set()
        if not self._redis.connected:
            return
        for tenant in changed:
            answer = self._redis.run(
                STATE,
                _keys(tenant)[1:],
                self._process,
                b"%d" % self._running.get(tenant, 0),
                b"%d" % LIFE_MS,
            )
            answer.add_done_callback(_heed)

    async def _keep(self) -> None:
        stated_s, connects = time.monotonic(), 0
        while True:
            now_s = time.monotonic()
            if now_s - stated_s > RESTATE_S or self._redis.connects != connects:
                stated_s, connects = now_s, self._redis.connects
                self._changed.update(self._running)
                self._tell()
            count = await quietly(
                self._redis.run(ALIVE, (GATEWAYS,), self._process, b"%d" % ALIVE_MS)
            )
            if count:
                self.processes = count
            await asyncio.sleep(ALIVE_S)


class Admission:
    """One request that asks to be let in."""

    __slots__ = ("_answer", "_asked_s", "_caller", "_left", "_limits")

    def __init__(
        self, limits: Limits, caller: Caller, answer: "asyncio.Future[Any] | None", asked_s: float
    ) -> None:
        self._limits = limits
        self._caller = caller
        self._answer = answer
        self._asked_s = asked_s
        self._left = False

    async def verdict(self) -> tuple[Allowance, RateLimitExceeded | None]:
        """Where the caller stands, and why this request may not go on, if it may not."""
        limits, caller = self._limits, self._caller
        try:
            if self._answer is None:
                allowance, refused = limits.alone(caller)
            else:
                allowance, refused = limits.heard(caller, await self._answer, self._asked_s)
        except RedisAway:
            allowance, refused = limits.alone(caller)
        except RedisRefused as error:
            log.warning("limits_refused", cause=str(error)[:200])
            allowance, refused = limits.alone(caller)
        return allowance, _refusal(caller, allowance, refused) if refused else None

    def __enter__(self) -> None:
        """What is inside is the request."""

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """The request has ended. Leaving twice is leaving once."""
        if not self._left:
            self._left = True
            self._limits.left(self._caller.organization_id, self._caller.concurrency)


@lru_cache(maxsize=20_000)
def _keys(tenant: str) -> tuple[bytes, bytes]:
    """Where Redis keeps an organization's rate, and its requests under way."""
    braced = b"tokenhub:{%b}:" % tenant.encode()
    return braced + b"rpm", braced + b"running"


def _refusal(caller: Caller, allowance: Allowance, refused: int) -> RateLimitExceeded:
    if refused == UNDER_WAY:
        return RateLimitExceeded(
            f"{caller.concurrency} requests at the same time is the limit of the organization's plan."
            " Retry when one has ended.",
            headers={"retry-after": "1"},
        )
    whose, rpm = (
        ("this key", caller.key_rpm) if refused == KEY else ("the organization's plan", caller.rpm)
    )
    return RateLimitExceeded(
        f"{rpm} requests per minute is the limit of {whose}. Retry in {allowance.wait_s} s.",
        headers={"retry-after": str(allowance.wait_s)},
    )


def _heed(answer: "asyncio.Future[Any]") -> None:
    """Nobody waits for it, and a failure says itself when the next request asks."""
    if not answer.cancelled():
        answer.exception()
