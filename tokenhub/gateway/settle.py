"""Group commit: all requests that finish in the same few milliseconds share one transaction.

A result is delivered only after its group is durable. A group whose outcome is unknown (the
database went away during the commit) is repeated under the same id, which makes it harmless.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import datetime

import msgspec
import psycopg
import structlog

from accounts.ids import uuid7
from routing.pricing import Line
from tokenhub.gateway import metrics
from tokenhub.gateway.database import DatabaseAway
from tokenhub.gateway.errors import UnbillableResult
from tokenhub.gateway.journal import Journal
from tokenhub.gateway.statement import PreparedLink
from tokenhub.gateway.undelivered import Undelivered

log = structlog.get_logger(__name__)

MAX_GROUP = 400
RETRY_S = 0.25
GIVE_UP_S = 30.0
LOOK_EVERY_S = 1.0
SETTLE = "SELECT array_to_string(billing_settle($1::uuid, $2::json), ' ')"
EMPTY_JSON = msgspec.Raw(b"{}")
EMPTY_LIST = msgspec.Raw(b"[]")


class Result(msgspec.Struct, kw_only=True):
    """One finished request, as ``billing_result`` in ``billing/sql/settle.sql`` takes it."""

    id: uuid.UUID
    organization_id: str
    lease_id: uuid.UUID | None = None
    budget_leases: list[uuid.UUID] = []
    key_id: str
    key_name: str
    created_at: datetime
    status: str
    billed: bool = False
    claimed: bool = False
    error_code: str = ""
    dialect: str
    modality: str
    model_requested: str
    model: str = ""
    provider: str = ""
    region: str = ""
    stream: bool = False
    units: dict[str, int] = {}
    lines: list[Line] = []
    model_fee_nano: int = 0
    service_fee_nano: int = 0
    service_fee_bps: int = 0
    service_fee_source: str = ""
    capped: bool = False
    price_version: int | None = None
    attempts: msgspec.Raw = EMPTY_LIST
    routing: msgspec.Raw = EMPTY_JSON
    latency_ms: int = 0
    first_token_ms: int | None = None
    session_id: str = ""

    @property
    def told(self) -> bool:
        """Whether it says anything that its charge does not depend on."""
        return self.routing is not EMPTY_JSON or self.attempts is not EMPTY_LIST

    def tell_nothing(self) -> None:
        """Leave out what its charge does not depend on."""
        self.routing, self.attempts = EMPTY_JSON, EMPTY_LIST
        self.session_id = self.model_requested = ""


class _Entry:
    __slots__ = ("abandoned", "durable", "on_durable", "ready_s", "result", "slot")

    def __init__(
        self,
        result: Result,
        on_durable: Callable[[bool], None] | None,
        durable: asyncio.Future[None],
    ) -> None:
        self.result = result
        self.on_durable = on_durable
        self.durable = durable
        self.abandoned = False
        self.slot = -1
        self.ready_s = time.monotonic()

    def give_up(self) -> None:
        """Nobody waits for it any longer: should it be charged yet, it is taken back."""
        if not self.durable.done():
            self.abandoned = True
            self.durable.set_exception(UnbillableResult())


class Settler:
    """The one writer of a gateway process."""

    def __init__(self, link: PreparedLink, journal: Journal) -> None:
        self._link = link
        self._journal = journal
        self.undelivered = Undelivered(journal)
        # Asked once: to find the running loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Entry] = []
        self._group: list[_Entry] = []
        """What is being written."""
        self._watching = False
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.away = False
        """Whether the database did not answer when last asked; nothing may go upstream meanwhile."""
        self.writing = False
        """Whether a group is on its way; its own outcome then says whether the database is there."""
        self.groups = 0
        self.results = 0

    def silence(self) -> None:
        """The database does not answer: nothing more may go upstream until it does again."""
        self.away = True

    @property
    def waiting(self) -> int:
        """How many results wait for the next group."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="settler")

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self.undelivered.stop()

    def submit(self, result: Result) -> None:
        """Put a request that is not billed on record; nobody waits for it."""
        self._add(_Entry(result, None, self._loop.create_future()))

    async def settle(self, result: Result, on_durable: Callable[[bool], None]) -> int:
        """Wait until a billed result is durable; then it must be delivered.

        ``on_durable(charged)`` is called once the outcome is known, whoever still waits. Returns
        the result's slot in the journal, to be given back in the instant of delivery. Raises
        ``UnbillableResult`` where the result must not be delivered and will not be charged.
        """
        entry = _Entry(result, on_durable, self._loop.create_future())
        entry.slot = self._journal.pending(result.id)
        self._add(entry)
        await entry.durable
        return entry.slot

    def _add(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._wake.set()
        if not self._watching:
            self._watching = True
            self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Give up what waits for too long: one alarm for them all, while there are any."""
        pending = self._group + self._waiting
        self._watching = bool(pending)
        if self._watching:
            self._loop.call_later(LOOK_EVERY_S, self._look)
        since_s = time.monotonic() - GIVE_UP_S
        for entry in pending:
            if entry.on_durable is not None and entry.ready_s <= since_s:
                entry.give_up()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                self._group = group
                self.writing = True
                try:
                    await self._write(group)
                except Exception:
                    # The writer must outlive every surprise: without it nothing is ever delivered.
                    log.exception("group_failed", results=len(group))
                    # Nobody knows whether they are charged; nobody is given them.
                    for entry in group:
                        self._finish(entry, charged=False, known=False)
                    self.undelivered.add(
                        {entry.result.id: entry.slot for entry in group if entry.result.billed}
                    )
                finally:
                    self._group = []
                    self.writing = False
            if self._stopping:
                return

    async def _write(self, group: list[_Entry]) -> None:
        group_id = uuid7()
        arguments = (group_id.hex.encode(), _encoded([entry.result for entry in group]))
        while True:
            try:
                rows = await self._link.fetch(SETTLE, arguments)
                break
            except DatabaseAway as error:
                if not self.away:
                    log.warning("database_away", cause=str(error), results=len(group))
                self.away = True
                if self._stopping:
                    raise
                await asyncio.sleep(RETRY_S)
            except psycopg.Error as error:
                await self._isolate(group, error)
                return
        if self.away:
            log.info("database_back", results=len(group))
        self.away = False
        metrics.group_written(len(group), time.monotonic() - group[0].ready_s)
        for entry in group:
            if entry.result.first_token_ms is not None:
                metrics.first_token(entry.result.first_token_ms)
        self.groups += 1
        self.results += len(group)
        refused = _ids(rows[0][0])
        for entry in group:
            self._finish(entry, charged=entry.result.billed and entry.result.id not in refused)
        abandoned = [entry for entry in group if entry.abandoned and entry.result.id not in refused]
        self.undelivered.add({entry.result.id: entry.slot for entry in abandoned})

    async def _isolate(self, group: list[_Entry], error: psycopg.Error) -> None:
        """One result the database refuses must not take its neighbours with it."""
        if len(group) > 1:
            for entry in group:
                await self._write([entry])
            return
        (entry,) = group
        log.error(
            "result_refused", request_id=f"req_{entry.result.id.hex}", sqlstate=error.sqlstate
        )
        if entry.result.told:
            # What it says of its way must not make a call free.
            entry.result.tell_nothing()
            await self._write(group)
            return
        self._finish(entry, charged=False)

    def _finish(self, entry: _Entry, *, charged: bool, known: bool = True) -> None:
        on_durable, entry.on_durable = entry.on_durable, None
        if on_durable is not None:
            on_durable(charged)
        if not charged and known:
            self._journal.done(entry.slot)
        if entry.durable.done():
            return
        if charged or not entry.result.billed:
            entry.durable.set_result(None)
        else:
            entry.durable.set_exception(UnbillableResult())


def _encoded(results: list[Result]) -> bytes:
    """As the database takes it, whose texts cannot have a NUL: a client or a provider may have sent one."""
    encoded = msgspec.json.encode(results)
    return encoded.replace(b"\\u0000", b"\\ufffd") if b"\\u0000" in encoded else encoded


def _ids(listed: bytes) -> frozenset[uuid.UUID]:
    """The requests that ``billing_settle`` refused."""
    return frozenset(uuid.UUID(one) for one in listed.decode().split())
