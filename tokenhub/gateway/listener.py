"""Hears what changed, from every process and from SQL alike, over PostgreSQL's NOTIFY."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from tokenhub.gateway.database import connect
from tokenhub.gateway.directory import Directory
from tokenhub.gateway.funds import Allowance
from tokenhub.gateway.leases import LeaseBook

log = structlog.get_logger(__name__)

CHANNEL = "tokenhub_changes"
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 2.0
"""A database that is silent for longer is taken to be away."""


class Listener:
    """Keeps the directory honest: hears changes, or says that it does not."""

    def __init__(
        self,
        url: str,
        directory: Directory,
        leases: LeaseBook[str],
        budgets: LeaseBook[Allowance],
        catalogue_changed: Callable[[], None],
        health_changed: Callable[[], None],
        silent: Callable[[], None],
    ) -> None:
        self._url = url
        self._directory = directory
        self._leases = leases
        self._budgets = budgets
        self._catalogue_changed = catalogue_changed
        self._health_changed = health_changed
        self._silent = silent
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        self.heard_s = time.monotonic()
        """When the database answered on this connection last; what changed before has been heard."""

    def start(self) -> None:
        """Begin to listen, and to reconnect whenever the connection breaks."""
        self._task = asyncio.create_task(self._run(), name="listener")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                if self._directory.trusted:
                    log.warning("listener_lost", cause=type(error).__name__)
            except Exception:
                log.exception("listener_failed")
            finally:
                self._directory.trusted = False
                self.listening.clear()
            await asyncio.sleep(0.2)

    async def _listen(self) -> None:
        async with await connect(self._url, "listener") as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            # What changed before this moment was not heard.
            self._directory.forget_all()
            self._catalogue_changed()
            self._health_changed()
            self._directory.trusted = True
            self.listening.set()
            self.heard_s = time.monotonic()
            while True:
                async for notify in connection.notifies(timeout=HEARTBEAT_S):
                    self._hear(notify.payload)
                await self._ask(connection)
                self.heard_s = time.monotonic()

    async def _ask(self, connection: psycopg.AsyncConnection[Any]) -> None:
        # Beside the time-out: to give a statement up, psycopg asks the silent server for up to ten seconds more.
        overdue = asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, self._not_answered)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await connection.execute("SELECT 1")
        finally:
            overdue.cancel()

    def _not_answered(self) -> None:
        log.warning("listener_lost", cause="silence")
        self._directory.trusted = False
        self._silent()

    def _hear(self, payload: str) -> None:
        subject, _, name = payload.partition(":")
        match subject:
            case "key":
                self._directory.forget_key(bytes.fromhex(name))
            case "organization":
                self._directory.forget_organization(name)
            case "plans":
                self._directory.forget_all()
            case "catalogue":
                self._catalogue_changed()
            case "health":
                self._health_changed()
            case "lease_wanted":
                self._leases.wanted(name)
            case "lease_returned":
                self._leases.returned(name)
            case "budget_wanted":
                self._budgets.wanted(name)
            case "budget_returned":
                self._budgets.returned(name)
            case _:
                log.warning("unknown_change", subject=subject)
