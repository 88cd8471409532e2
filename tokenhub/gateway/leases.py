"""Leases: part of a balance or of a budget set aside for this process, and held from memory per request.

For every lease, what the database says is left equals what is free here plus what is outstanding:
``granted - spent == free + outstanding``. A hold moves nano-USD from free to outstanding; a durable
settlement takes them out; a release brings them back.
"""

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Generic

import msgspec
import structlog

from accounts.ids import uuid7
from tokenhub.gateway.funds import Drawn, Funds, Of

log = structlog.get_logger(__name__)

WAIT_S = 10.0  # for money that other requests still hold
RECHECK_S = 0.5
TOGETHER = 200  # leases that are returned in one statement
CONTENDED_S = 5.0
AHEAD = 32  # a draw asks for this many requests' worth, and for more where draws are frequent
MOST_AHEAD = 16_384
DRAW_EVERY_S = 1.0


@dataclass(slots=True, eq=False)
class Lease:
    """This process's share of one balance or budget."""

    id: uuid.UUID
    of: Any
    free_nano: int = 0
    outstanding_nano: int = 0
    expires_s: float = 0.0
    used_s: float = 0.0


class Hold(msgspec.Struct, eq=False):
    """The highest possible cost of one request, set aside until it is settled or released."""

    lease: Lease
    amount_nano: int
    also: "tuple[Hold, ...]" = ()
    """The same amount, or more, held against budgets: settled and released with this one."""
    book: "LeaseBook[Any] | None" = None


@dataclass(slots=True, eq=False)
class _Waiter:
    need_nano: int
    least_nano: int | None
    deadline_s: float
    granted: asyncio.Future[Hold]


@dataclass(slots=True, eq=False)
class _Purse:
    """What this process knows of one organization's money, or of one budget in one period."""

    of: Any
    lease: Lease | None = None
    waiters: deque[_Waiter] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    # Draws and returns of one organization follow each other: each computes from the one before.
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    pump: asyncio.Task[None] | None = None
    contended_until_s: float = 0.0
    outstanding_nano: int = 0
    drawn: Drawn = Drawn(0, 0, 0)  # noqa: RUF009  (it is immutable)
    ahead: int = AHEAD
    drawn_s: float = 0.0

    @property
    def unused(self) -> bool:
        """Whether no request holds of the lease or waits for it."""
        return not self.waiters and (self.lease is None or not self.lease.outstanding_nano)

    def look_ahead(self, now_s: float) -> None:
        """A busy organization draws for longer: about one draw a second, whatever its traffic."""
        often = now_s - self.drawn_s < DRAW_EVERY_S
        self.ahead = min(self.ahead * 2, MOST_AHEAD) if often else max(self.ahead // 2, AHEAD)
        self.drawn_s = now_s


class LeaseBook(Generic[Of]):
    """Every lease of one kind that this gateway process has."""

    def __init__(self, funds: Funds[Of], holder: str, ttl_s: float) -> None:
        self._funds = funds
        self._holder = holder
        self._ttl_s = ttl_s
        self._purses: dict[Of, _Purse] = {}
        # A budget has a purse for each period and amount; notifications name the budget alone.
        self._named: dict[str, list[_Purse]] = {}

    def try_hold(self, of: Of, need_nano: int) -> Hold | None:
        """Hold from memory where the lease at hand covers it; never waits."""
        purse = self._purses.get(of)
        if purse is None or purse.waiters:
            return None
        return self._hold(purse, need_nano)

    async def hold(self, of: Of, need_nano: int, least_nano: int | None = None) -> Hold:
        """Hold ``need_nano``, drawing what is missing.

        Where other requests still hold money that may come back, waits its turn for it, ten
        seconds at most. What would then be refused holds what there is, where that is at least
        ``least_nano``. Raises what the funds say of a need they do not cover, or ``DatabaseAway``.
        """
        held = self.try_hold(of, need_nano)
        if held is not None:
            return held
        purse = self._purses.get(of)
        if purse is None:
            purse = self._purses[of] = _Purse(of)
            self._named.setdefault(self._funds.name(of), []).append(purse)
        granted: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        purse.waiters.append(_Waiter(need_nano, least_nano, time.monotonic() + WAIT_S, granted))
        purse.changed.set()
        if purse.pump is None:
            purse.pump = asyncio.create_task(self._serve(purse), name="lease-pump")
        return await granted

    async def set_aside(
        self, of: Of, lease: uuid.UUID, holder: str, need_nano: int, ttl_s: float
    ) -> None:
        """Draw a lease of its own for something that outlives this process; raises as ``hold`` does."""
        drawn = await self._funds.draw(lease, of, holder, need_nano, need_nano, ttl_s)
        if drawn.granted_nano <= 0:
            raise self._funds.short(of, need_nano, drawn)

    async def let_go(self, of: Of, lease: uuid.UUID) -> None:
        """Give such a lease back."""
        await self._funds.give_back(lease, of, 0)

    def release(self, hold: Hold) -> None:
        """Nothing is charged: the whole hold is free again."""
        self._back(hold, hold.amount_nano)
        for other in hold.also:
            assert other.book is not None
            other.book.release(other)

    def settled(self, hold: Hold, charged_nano: int) -> None:
        """A charge of at most the hold is durable: the rest is free again."""
        self._back(hold, hold.amount_nano - charged_nano)
        for other in hold.also:
            assert other.book is not None
            other.book.settled(other, charged_nano)

    def wanted(self, name: str) -> None:
        """Another process needs money of this name: give back what is free, now and for a while."""
        for purse in self._named.get(name, ()):
            # What is too little for who waits here may be enough elsewhere, and together it surely is.
            if not purse.waiters or not _covers(purse.lease, purse.waiters[0].need_nano):
                purse.contended_until_s = time.monotonic() + CONTENDED_S
                self._give_back_soon(purse)

    def returned(self, name: str) -> None:
        """Money of this name came free somewhere: waiting requests look again."""
        for purse in self._named.get(name, ()):
            purse.changed.set()

    async def keep(self) -> None:
        """Renew what is in use and return what is idle; to be called every second or so."""
        now_s = time.monotonic()
        renew: list[Lease] = []
        idle: list[_Purse] = []
        for purse in list(self._purses.values()):
            lease = purse.lease
            if lease is None:
                if not purse.waiters and purse.pump is None and not purse.outstanding_nano:
                    self._forget(purse)
            elif purse.unused and now_s - lease.used_s > self._ttl_s / 3:
                idle.append(purse)
            elif lease.expires_s - now_s < self._ttl_s * 2 / 3:
                renew.append(lease)
        if renew:
            asked_s = time.monotonic()
            alive = await self._funds.renew([lease.id for lease in renew], self._ttl_s)
            for lease in renew:
                if lease.id in alive:
                    lease.expires_s = asked_s + self._ttl_s
                else:
                    self._fenced(lease)
        for first in range(0, len(idle), TOGETHER):
            await self._close_idle(idle[first : first + TOGETHER])

    async def close(self) -> None:
        """Give everything back; for an orderly end."""
        for purse in list(self._purses.values()):
            if purse.lease is not None:
                await self._give_back(purse)

    def open(self) -> int:
        """How many leases this process holds."""
        return sum(purse.lease is not None for purse in self._purses.values())

    def on_hold_nano(self) -> int:
        """What requests of this process hold now, over all organizations."""
        return sum(purse.outstanding_nano for purse in self._purses.values())

    def _hold(self, purse: _Purse, need_nano: int) -> Hold | None:
        lease = purse.lease
        if lease is None or lease.free_nano < need_nano:
            return None
        now_s = time.monotonic()
        # Past two thirds of its life unrenewed, the lease may be reaped before the request ends.
        if lease.expires_s - now_s < self._ttl_s / 3:
            return None
        lease.free_nano -= need_nano
        lease.outstanding_nano += need_nano
        purse.outstanding_nano += need_nano
        lease.used_s = now_s
        return Hold(lease, need_nano, book=self)

    def _forget(self, purse: _Purse) -> None:
        del self._purses[purse.of]
        name = self._funds.name(purse.of)
        self._named[name].remove(purse)
        if not self._named[name]:
            del self._named[name]

    def _back(self, hold: Hold, free_again_nano: int) -> None:
        lease = hold.lease
        lease.outstanding_nano -= hold.amount_nano
        lease.free_nano += free_again_nano
        purse = self._purses[lease.of]
        purse.outstanding_nano -= hold.amount_nano
        purse.changed.set()
        if (
            purse.lease is lease
            and purse.contended_until_s > time.monotonic()
            and not purse.waiters
        ):
            self._give_back_soon(purse)

    def _fenced(self, lease: Lease) -> None:
        """The lease was reaped under us: its money is no longer ours to hold against."""
        purse = self._purses[lease.of]
        lease.free_nano = 0
        if purse.lease is lease:
            purse.lease = None
        log.warning("lease_lost", lease=str(lease.id), outstanding_nano=lease.outstanding_nano)

    async def _serve(self, purse: _Purse) -> None:
        """Serve waiting requests in their order; the only one that draws for this organization."""
        try:
            while purse.waiters:
                waiter = purse.waiters[0]
                if waiter.granted.cancelled():
                    purse.waiters.popleft()
                    continue
                purse.changed.clear()
                try:
                    held, may_come_back = await self._obtain(purse, waiter.need_nano)
                except Exception as error:  # noqa: BLE001  (the waiter raises it)
                    purse.waiters.popleft()
                    if not waiter.granted.done():
                        waiter.granted.set_exception(error)
                    continue
                if held is not None:
                    purse.waiters.popleft()
                    if waiter.granted.cancelled():
                        self.release(held)
                    else:
                        waiter.granted.set_result(held)
                    continue
                left_s = waiter.deadline_s - time.monotonic()
                if not may_come_back or left_s <= 0:
                    await self._end(purse, waiter)
                    continue
                try:
                    async with asyncio.timeout(min(left_s, RECHECK_S)):
                        await purse.changed.wait()
                except TimeoutError:
                    continue
        finally:
            purse.pump = None

    async def _end(self, purse: _Purse, waiter: _Waiter) -> None:
        """No more is to come for the first who waits: what there is, where that is enough, or a refusal."""
        try:
            held = await self._obtain_some(purse, waiter)
        except Exception as error:  # noqa: BLE001  (the waiter raises it)
            purse.waiters.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(error)
            return
        purse.waiters.popleft()
        if waiter.granted.done():
            if held is not None:
                self.release(held)
        elif held is not None:
            waiter.granted.set_result(held)
        else:
            short_of_nano = waiter.least_nano or waiter.need_nano
            waiter.granted.set_exception(self._funds.short(purse.of, short_of_nano, purse.drawn))

    async def _obtain_some(self, purse: _Purse, waiter: _Waiter) -> Hold | None:
        """Everything that is left, where it is at least what the waiter can do with."""
        if waiter.least_nano is None:
            return None
        async with purse.busy:
            free_nano = purse.lease.free_nano if purse.lease is not None else 0
            some_nano = min(waiter.need_nano, free_nano + purse.drawn.available_nano)
            if some_nano < waiter.least_nano:
                return None
            if some_nano > free_nano:
                missing_nano = some_nano - free_nano
                if not await self._draw(purse, missing_nano, missing_nano):
                    return None  # somebody was faster
            return self._hold(purse, some_nano)

    async def _obtain(self, purse: _Purse, need_nano: int) -> tuple[Hold | None, bool]:
        """A hold if the balance allows, and whether money that is now held elsewhere may still come back."""
        async with purse.busy:
            held = self._hold(purse, need_nano)
            if held is not None:
                return held, True
            free_nano = purse.lease.free_nano if purse.lease is not None else 0
            missing_nano = max(1, need_nano - free_nano)
            queued_nano = sum(waiter.need_nano for waiter in purse.waiters)
            want_nano = missing_nano
            now_s = time.monotonic()
            if purse.contended_until_s < now_s:
                purse.look_ahead(now_s)
                want_nano = max(missing_nano, queued_nano, need_nano * purse.ahead)
            if await self._draw(purse, missing_nano, want_nano):
                return self._hold(purse, need_nano), True
            if purse.drawn.granted_nano < 0:
                return None, True
            return None, purse.drawn.elsewhere_nano > 0 or purse.outstanding_nano > 0

    async def _draw(self, purse: _Purse, missing_nano: int, want_nano: int) -> bool:
        """Draw what is wanted, at least what is missing; ``False`` where nothing was granted."""
        lease = purse.lease or Lease(uuid7(), purse.of)
        asked_s = time.monotonic()
        purse.drawn = drawn = await self._funds.draw(
            lease.id, purse.of, self._holder, missing_nano, want_nano, self._ttl_s
        )
        if drawn.granted_nano < 0:
            self._fenced(lease)
            return False
        if drawn.granted_nano == 0:
            return False
        lease.free_nano += drawn.granted_nano
        lease.expires_s = asked_s + self._ttl_s
        purse.lease = lease
        return True

    def _give_back_soon(self, purse: _Purse) -> None:
        if purse.lease is not None and not purse.busy.locked():
            task = asyncio.create_task(self._give_back(purse), name="lease-return")
            task.add_done_callback(_log_failure)

    async def _give_back(self, purse: _Purse) -> None:
        async with purse.busy:
            lease = purse.lease
            if lease is None or (not lease.free_nano and lease.outstanding_nano):
                return
            giving_nano, lease.free_nano = lease.free_nano, 0
            keep_nano = lease.outstanding_nano
            if not keep_nano:
                purse.lease = None
            returned_nano = await self._funds.give_back(lease.id, purse.of, keep_nano)
            # A settlement that became durable meanwhile was still counted as kept.
            lease.free_nano += giving_nano - returned_nano

    async def _close_idle(self, purses: list[_Purse]) -> None:
        """Return the leases of purses that nobody uses any more, together."""
        unused = [purse for purse in purses if purse.unused and not purse.busy.locked()]
        closing: list[tuple[uuid.UUID, Any]] = []
        for purse in unused:
            await purse.busy.acquire()
            if purse.lease is not None and purse.unused:
                purse.lease.free_nano = 0
                closing.append((purse.lease.id, purse.of))
                purse.lease = None
        try:
            if closing:
                await self._funds.close(closing)
        finally:
            for purse in unused:
                purse.busy.release()


def _covers(lease: Lease | None, need_nano: int) -> bool:
    return lease is not None and lease.free_nano >= need_nano


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("lease_return_failed", cause=str(error))
