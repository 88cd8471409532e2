"""The catalogue as this process serves from it: the pure snapshot, and how each offering is reached.

Built off the event loop and swapped in by one assignment; requests under way keep the one they began with.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction

from routing import selectors
from routing.credentials import Secret
from routing.types import Catalogue
from tokenhub.gateway.upstream import Origin

log = structlog.get_logger(__name__)

RETRY_S = 1.0
LOOK_AGAIN_S = 60.0
"""How long to wait at most for a price that is to come, should the database's clock have jumped."""


@dataclass(frozen=True, slots=True)
class Access:
    """How an offering is reached. Never shown: it holds the platform's credentials."""

    origin: Origin
    endpoint: int
    secrets: tuple[Secret, ...]

    @property
    def credential(self) -> str:
        """The first of them."""
        return self.secrets[0].value

    def __repr__(self) -> str:
        return f"Access({self.origin.authority})"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the catalogue; another price comes into force at ``change_due_s`` (monotonic)."""

    catalogue: Catalogue
    access: dict[int, Access]
    change_due_s: float | None = None


class Offerings:
    """The current snapshot, refreshed when the catalogue changes and when a price comes into force."""

    def __init__(self) -> None:
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.current: Snapshot | None = None
        self.loaded = asyncio.Event()

    def changed(self) -> None:
        """The catalogue changed: load it again soon."""
        self._stale.set()

    def start(self) -> None:
        """Load, and keep loading what changes."""
        self._stale.set()
        self._task = asyncio.create_task(self._run(), name="offerings")

    async def stop(self) -> None:
        """Stop refreshing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._stale.wait()
            except TimeoutError:
                log.info("prices_looked_at")
            self._stale.clear()
            try:
                self.current = await asyncio.to_thread(_load)
                self.loaded.set()
            except DatabaseError as error:
                log.warning("catalogue_not_loaded", cause=type(error).__name__)
                await self._try_again()
            except Exception:
                # Whatever is wrong with it now: a gateway that stops looking never hears of a change again.
                log.exception("catalogue_not_understood")
                await self._try_again()

    async def _try_again(self) -> None:
        await asyncio.sleep(RETRY_S)
        self._stale.set()

    def _wait_s(self) -> float | None:
        if self.current is None or self.current.change_due_s is None:
            return None
        return min(max(0.0, self.current.change_due_s - time.monotonic()), LOOK_AGAIN_S)


def _load() -> Snapshot:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # All of it as it was at one moment: what is added meanwhile would be there in part.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # What is in force says the database's clock, the same for every gateway, and not this machine's.
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
            read_s = time.monotonic()
            access = {
                offering: Access(Origin.parse(endpoint.base_url), endpoint.pk, secrets)
                for offering, endpoint, secrets in selectors.endpoints_by_offering()
            }
            catalogue = selectors.load_catalogue(now)
        change_s = catalogue.next_change_s
        due_s = None if change_s is None else read_s + change_s - now.timestamp()
        return Snapshot(catalogue, access, due_s)
    finally:
        connection.close()
