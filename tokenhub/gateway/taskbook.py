"""Tasks as the gateway sees them: opened with their money held, told what became of them, read for their owner."""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from tokenhub.gateway.database import DatabaseAway, Link
from tokenhub.gateway.errors import CannotBill, InsufficientBalance, NotFound, ServiceUnavailable

WAIT_S = 10.0  # for money that requests under way may give back
RECHECK_S = 0.25
LEASE_MARGIN_S = 3_600.0
"""The hold outlives the deadline: who ends a task late still finds its money."""

_TASK = """
SELECT t.id, t.status, t.shape, t.model_requested, t.model, t.provider, t.region, t.dialect, t.offering,
       t.upstream_id, t.credential, t.seconds, t.resolution, t.size, t.quoted_nano, t.total_nano,
       t.created_at, t.finished_at, t.error_code, t.error_message, t.media_url, coalesce(u.units, '{}')
  FROM billing_mediatask t LEFT JOIN billing_usage u ON u.id = t.id
 WHERE t.id = %s AND t.organization_id = %s
"""


class Task(msgspec.Struct, array_like=True):
    """One task as it is on record."""

    id: uuid.UUID
    status: str
    shape: str
    model_requested: str
    model: str
    provider: str
    region: str
    dialect: str
    offering: int | None
    upstream_id: str
    credential: str
    seconds: int
    resolution: str
    size: str
    quoted_nano: int
    total_nano: int
    created_at: datetime
    finished_at: datetime | None
    error_code: str
    error_message: str
    media_url: str
    units: dict[str, int]
    """What was charged of a success: seconds by resolution."""

    @property
    def public_id(self) -> str:
        """The id the client sees."""
        return f"task_{self.id.hex}"


class TaskBook:
    """Every task, in the database; nothing of them is kept here."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def open(self, row: dict[str, Any], lease_ttl_s: float) -> None:
        """Put a task on record and hold its money, both or neither.

        Where requests under way hold money that may come back, waits for it, ten seconds at most.
        Raises ``InsufficientBalance`` or ``ServiceUnavailable``.
        """
        payload = msgspec.json.encode(row).decode()
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                rows = await self._link.fetch(
                    "SELECT granted, elsewhere FROM billing_open_task(%s::json, %s)",
                    (payload, lease_ttl_s),
                )
            except DatabaseAway:
                raise CannotBill() from None
            granted_nano, elsewhere_nano = rows[0]
            if granted_nano > 0:
                return
            if granted_nano < 0:
                raise ServiceUnavailable(
                    "Another request has this Idempotency-Key by now; nothing was begun for this one."
                )
            if elsewhere_nano <= 0 or time.monotonic() > until_s:
                raise InsufficientBalance(
                    "The balance does not cover the price of this video. Top up, or ask for a shorter one."
                )
            await asyncio.sleep(RECHECK_S)

    async def begun(self, task_id: uuid.UUID, made: dict[str, Any]) -> None:
        """A provider began it. ``ServiceUnavailable`` where that could not be put on record: it will fail."""
        payload = msgspec.json.encode(made).decode()
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                rows = await self._link.fetch(
                    "SELECT billing_begin_task(%s, %s::json)", (task_id, payload)
                )
                if rows[0][0]:
                    return
                break
            except DatabaseAway:
                if time.monotonic() > until_s:
                    break
                await asyncio.sleep(RECHECK_S)
        raise ServiceUnavailable(
            "The video could not be recorded safely. Nothing will be billed; ask for it again."
        )

    async def failed(self, task_id: uuid.UUID, ending: dict[str, Any]) -> None:
        """No provider began it. Where this does not arrive, whoever follows tasks ends it later."""
        payload = msgspec.json.encode({"status": "failed", **ending}).decode()
        await self._link.fetch("SELECT billing_finish_task(%s, %s::json)", (task_id, payload))

    async def find(self, organization_id: str, public_id: str) -> Task:
        """A task of an organization; ``NotFound`` for any other, ``ServiceUnavailable`` where nobody can say."""
        try:
            if not public_id.startswith("task_") or len(public_id) != 37:
                raise ValueError
            task_id = uuid.UUID(hex=public_id.removeprefix("task_"))
        except ValueError:
            raise _no_such(public_id) from None
        try:
            rows = await self._link.fetch(_TASK, (task_id, organization_id))
        except DatabaseAway:
            raise ServiceUnavailable(
                "Tasks cannot be read at this moment. Retry shortly.", headers={"retry-after": "2"}
            ) from None
        if not rows:
            raise _no_such(public_id)
        return Task(*rows[0])


def instant(at: datetime) -> str:
    """A time as PostgreSQL reads it."""
    return at.astimezone(UTC).isoformat()


def _no_such(public_id: str) -> NotFound:
    return NotFound(f"There is no task “{public_id[:60]}” of this organization.")
