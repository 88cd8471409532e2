"""Everything a gateway process keeps: connections, caches, leases, the writer; started and stopped as one."""

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.db import connection

from accounts.ids import uuid7
from billing.services import take_back
from routing.types import DEGRADED, DOWN, Health
from tokenhub.gateway.breaker import Breaker
from tokenhub.gateway.database import APPLICATION, DatabaseAway, Link
from tokenhub.gateway.decisions import Decisions
from tokenhub.gateway.directory import Caller, Directory
from tokenhub.gateway.errors import InvalidApiKey, RateLimitExceeded, ServiceUnavailable
from tokenhub.gateway.funds import Balances, Budgets
from tokenhub.gateway.health import HealthLink
from tokenhub.gateway.idempotency import Claims
from tokenhub.gateway.journal import Journal, abandoned
from tokenhub.gateway.keyring import Credentials
from tokenhub.gateway.leases import LeaseBook
from tokenhub.gateway.limits import scripts
from tokenhub.gateway.limits.shared import Limits
from tokenhub.gateway.listener import Listener
from tokenhub.gateway.media.links import Links
from tokenhub.gateway.offerings import Offerings, Snapshot
from tokenhub.gateway.redis import Redis
from tokenhub.gateway.settle import Settler
from tokenhub.gateway.statement import PreparedLink
from tokenhub.gateway.taskbook import TaskBook
from tokenhub.gateway.upstream import Client

log = structlog.get_logger(__name__)

KEEP_EVERY_S = 0.5
START_WITHIN_S = 30.0
REDIS_WITHIN_S = 3.0
KEY_WITHIN_S = 5.0
"""For a key to be looked up, with all that wait before it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a provider may take, in seconds: for a whole plain answer, and between bytes of a stream."""

    plain_s: float
    stream_s: float


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """How long a media task may take, and how soon it is first looked at, in seconds."""

    deadline_s: float
    poll_s: float


@dataclass(frozen=True, slots=True)
class Config:
    """What a gateway is started with."""

    database_url: str
    redis_url: str
    encryption_keys: tuple[str, ...]
    lease_ttl_s: float
    timeouts: Timeouts
    data_dir: Path
    keep_alive_s: float
    """How long a stream may be silent towards its client."""
    tasks: TaskTimes
    public_url: str
    """Where clients find ``/v1``, for links."""


class Runtime:
    """One gateway process. Create it on the event loop it will serve on."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.timeouts = config.timeouts
        instance = uuid7().hex[-12:]
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{instance}"
        # The name by which the database knows this process's writer, dead or alive.
        self._settle_link = PreparedLink(config.database_url, f"settle-{instance}")
        self.journal = Journal(config.data_dir / "gateway", instance)
        self._lease_link = Link(config.database_url, "lease")
        self._lookup_link = Link(config.database_url, "lookup")
        self._task_link = Link(config.database_url, "tasks")
        self.tasks = TaskBook(self._task_link)
        self._claim_link = Link(config.database_url, f"claims-{instance}")
        self.client = Client()
        self.links = Links(config.encryption_keys, config.public_url)
        self.redis = Redis(config.redis_url, scripts.ALL)
        self.limits = Limits(self.redis, self.holder)
        self.claims = Claims(self._claim_link, self.redis, config.encryption_keys)
        self.decisions = Decisions()
        self.breaker = Breaker()
        self.credentials = Credentials()
        self._health = HealthLink(self.breaker, self.credentials)
        self.offerings = Offerings()
        self.settler = Settler(self._settle_link, self.journal)
        self.leases = LeaseBook(Balances(self._lease_link), self.holder, config.lease_ttl_s)
        self.budgets = LeaseBook(Budgets(self._lease_link), self.holder, config.lease_ttl_s)
        self.directory = Directory(self._lookup_link, config.encryption_keys)
        self._listener = Listener(
            config.database_url,
            self.directory,
            self.leases,
            self.budgets,
            self.offerings.changed,
            self._health.changed,
            self.settler.silence,
        )
        self._plans: dict[int, frozenset[str]] = {}
        self._plans_loaded = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._used: dict[str, float] = {}

    async def start(self) -> None:
        """Be ready to serve, or keep trying in the background where the database is away."""
        self.redis.start()
        self.limits.start()
        self.offerings.start()
        self._health.start()
        self.settler.start()
        self._listener.start()
        self._keeper = asyncio.create_task(self._keep(), name="keeper")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_WITHIN_S):
                await self._listener.listening.wait()
                await self.offerings.loaded.wait()
                await self._plans_loaded.wait()
        # Without it the gateway serves all the same, within its share of every limit.
        await self.redis.ready(REDIS_WITHIN_S)
        log.info("gateway_started", holder=self.holder)

    async def stop(self) -> None:
        """Settle what is finished, give leases back, close."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self.settler.stop()
        try:
            await self.leases.close()
            await self.budgets.close()
        except DatabaseAway:
            log.warning("leases_left_to_expire")
        await self.limits.stop()
        await self.redis.stop()
        await self._listener.stop()
        await self._health.stop()
        await self.offerings.stop()
        self.client.close()
        self.journal.close(self.settler.undelivered.slots)
        for link in (
            self._settle_link,
            self._claim_link,
            self._lease_link,
            self._lookup_link,
            self._task_link,
        ):
            await link.close()

    def snapshot(self) -> Snapshot:
        """The catalogue to decide with; ``ServiceUnavailable`` before the first was loaded."""
        current = self.offerings.current
        if current is None:
            raise ServiceUnavailable(
                "The gateway is starting. Retry shortly.", headers={"retry-after": "1"}
            )
        return current

    def health(self) -> Health:
        """What is known of the offerings now."""
        return self.breaker.health(time.monotonic())

    def plans_up_to(self, rank: int) -> frozenset[str]:
        """The slugs of every plan of at most this rank."""
        return self._plans.get(rank, frozenset())

    async def caller(self, secret: str, address: str = "") -> Caller:
        """Whose key this is; ``InvalidApiKey``, or ``ServiceUnavailable`` where nobody can say.

        ``address`` is where it was presented: keys that nobody has are counted by it.
        """
        found = self.directory.cached(secret)
        if found is not None:
            return found
        if self.settler.away:
            raise _unchecked()
        try:
            async with asyncio.timeout(KEY_WITHIN_S):
                return await self.directory.find(secret, address)
        except (DatabaseAway, TimeoutError):
            raise _unchecked() from None

    async def caller_again(self, caller: Caller, secret: str) -> Caller | None:
        """The caller as it is now; ``None`` where it may no longer call.

        Raises ``ServiceUnavailable`` where nobody can say: that is no change of anybody's boundaries.
        """
        try:
            current = await self.caller(secret)
        except (InvalidApiKey, RateLimitExceeded):
            return None
        return None if current.revoked or current.suspended else current

    def used(self, caller: Caller) -> None:
        """Note that a key was used now; written with the housekeeping, not with the request."""
        self._used[caller.key_id] = time.time()

    @property
    def ready(self) -> bool:
        """Whether calls can be served and billed now."""
        return (
            self.directory.trusted and not self.settler.away and self.offerings.current is not None
        )

    def gauges(self) -> list[tuple[str, str, float]]:
        """How it is now, for ``/metrics``: a name, what it says, and the value."""
        return [
            ("ready", "Whether calls can be served and billed.", self.ready),
            ("database_away", "Whether the last group found no database.", self.settler.away),
            ("listening", "Whether changes are heard at once.", self.directory.trusted),
            ("waiting_results", "Results that wait for the next group.", self.settler.waiting),
            ("leases", "Balance leases of this process.", self.leases.open()),
            (
                "held_usd",
                "Of them, held by calls that are under way.",
                self.leases.on_hold_nano() / 1e9,
            ),
        ]

    def troubled(self) -> dict[str, int]:
        """How many offerings are degraded and down, as this process decides."""
        tiers = list(self.breaker.tiers(time.monotonic()).values())
        return {"degraded": tiers.count(DEGRADED), "down": tiers.count(DOWN)}

    def freshness(self) -> dict[str, object]:
        """How old what this process decides by may be at most, for ``/readyz``.

        While changes are heard, everything is as it was heard last: within a heartbeat. While they are
        not, no key is trusted from memory, and catalogue and health are as old as the silence.
        """
        now_s = time.monotonic()
        return {
            "changes": "heard" if self.directory.trusted else "not heard",
            "stale_s": round(now_s - self._listener.heard_s, 1),
            "health_read_s_ago": round(now_s - self._health.loaded_s, 1),
            "billing": "away" if self.settler.away else "ok",
        }

    async def _keep(self) -> None:
        """Housekeeping, and an early word when the database is away."""
        while True:
            try:
                await self._load_plans()
                await self.leases.keep()
                await self.budgets.keep()
                await self._note_used()
                await self.claims.keep()
                self.client.prune()
                if not self.settler.writing:
                    self.settler.away = False
                await self._recover()
            except DatabaseAway:
                self.settler.away = True
            except OSError as error:
                log.warning("journals_in_trouble", cause=str(error))
            except Exception:
                log.exception("keeper_failed")
            await asyncio.sleep(KEEP_EVERY_S)

    async def _note_used(self) -> None:
        used, self._used = self._used, {}
        if used:
            await self._lease_link.fetch(
                "UPDATE keys_apikey k SET last_used_at = to_timestamp(u.at)"
                " FROM unnest(%s::uuid[], %s::float8[]) AS u (id, at) WHERE k.id = u.id",
                (list(used), list(used.values())),
            )

    async def _load_plans(self) -> None:
        rows = await self._lease_link.fetch("SELECT rank, slug FROM billing_plan")
        self._plans = {
            rank: frozenset(slug for other, slug in rows if other <= rank) for rank, _ in rows
        }
        self._plans_loaded.set()

    async def _recover(self) -> None:
        """Take back what a dead gateway on this machine had charged and not delivered."""
        if self.journal.mend():
            log.error("journal_removed", path=str(self.journal.path))
        for path, pending in abandoned(self.journal.path.parent):
            if pending:
                writer = f"{APPLICATION}-settle-{path.stem}"
                rows = await self._lease_link.fetch(
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = %s", (writer,)
                )
                if rows:
                    continue  # its last statement may still commit: look again later
                ids = [f"req_{request.hex}" for request in pending]
                taken = await asyncio.to_thread(_take_back, ids)
                log.warning("undelivered_taken_back", pending=len(ids), taken_back=taken)
            path.unlink(missing_ok=True)


def _unchecked() -> ServiceUnavailable:
    return ServiceUnavailable(
        "Keys cannot be checked at this moment; nothing was sent to a provider. Retry shortly.",
        headers={"retry-after": "2"},
    )


def _take_back(request_ids: list[str]) -> int:
    try:
        return take_back(request_ids, reason="not_delivered")
    finally:
        connection.close()
