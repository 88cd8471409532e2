"""The gateway's own way to PostgreSQL: few connections, plain statements, and a clear word when it is away."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import structlog

from tokenhub import peers

log = structlog.get_logger(__name__)

APPLICATION = "tokenhub-gateway"
STATEMENT_TIMEOUT_S = 10


Arguments = Sequence[object] | Mapping[str, object]


class DatabaseAway(Exception):
    """No answer from PostgreSQL, or none that can be worked with. Whether the last statement took effect is unknown."""


UNFIT = frozenset({"25", "42"})
"""Classes of SQLSTATE that say the same of every statement of ours: this server takes no writes (a standby, since a
failover), or does not have or allow what we use (it is being restored). It is as good as none."""
TOO_MUCH = "54"
"""And one that psycopg takes for the server's trouble, although the statement would always meet it."""


class Link:
    """One connection that is opened when needed and again after it broke. One statement at a time."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()

    async def fetch(
        self, statement: str, arguments: Arguments = (), *, once: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction and return its rows.

        A connection that turns out to be dead is replaced once, so a statement must be one that may
        run twice; one whose second answer says nothing of the first is run ``once``. Raises
        ``DatabaseAway`` where the database does not answer, and psycopg's own errors for what it refused.
        """
        async with self._lock:
            if self._connection is not None:
                try:
                    return await self._fetch(statement, arguments)
                except DatabaseAway:
                    if once:
                        raise
                    log.info("connection_replaced", application=self._name)
            return await self._fetch(statement, arguments)

    async def _fetch(self, statement: str, arguments: Arguments) -> list[tuple[Any, ...]]:
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                if self._connection is None:
                    self._connection = await connect(self._url, self._name)
                return await self._run(statement, arguments)
        except (psycopg.Error, OSError, TimeoutError) as error:
            if isinstance(error, psycopg.Error) and not _away(error):
                raise
            if isinstance(error, psycopg.InternalError | psycopg.ProgrammingError):
                log.error("database_unfit", application=self._name, cause=str(error)[:200])
            await self._drop()
            raise DatabaseAway(type(error).__name__) from error
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _run(self, statement: str, arguments: Arguments) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        cursor = await self._connection.execute(statement, arguments)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Close the connection, if there is one."""
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _away(error: psycopg.Error) -> bool:
    """Whether it is the server that fails, and not the statement."""
    kind = (error.sqlstate or "")[:2]
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return kind != TOO_MUCH
    return kind in UNFIT


async def connect(url: str, name: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """An autocommit connection to a server that takes writes, which notices a dead peer by itself."""
    return await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        application_name=f"{APPLICATION}-{name}",
        target_session_attrs="read-write",
        **peers.POSTGRES,
    )
