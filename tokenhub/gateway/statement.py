"""One statement that is run again and again: prepared once on its connection, and awaited on its socket.

It is for the group commit, which every answer waits for: a cursor of psycopg's takes nine times the processor
time that libpq's exchange itself does. Opening, timeouts and reconnecting are ``Link``'s.
"""

import asyncio
import select
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from tokenhub.gateway.database import Arguments, Link

_NAME = b"tokenhub"
_GOOD = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class PreparedLink(Link):
    """A link of one statement: parameters are text as bytes (``$1``), and so are the values it returns."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self._exchange: _Exchange | None = None

    async def _run(self, statement: str, arguments: Arguments) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        if self._exchange is None:
            exchange = _Exchange(self._connection.pgconn)
            try:
                await exchange.prepare(statement.encode())
            except BaseException:
                exchange.close()
                raise
            self._exchange = exchange
        parameters: Any = arguments
        return await self._exchange.run(parameters)

    async def _drop(self) -> None:
        if self._exchange is not None:
            self._exchange.close()  # before the connection closes its socket
            self._exchange = None
        await super()._drop()


class _Exchange:
    """Questions and answers on a connection of libpq's, one at a time."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._open = True
        self._full = False
        """Whether the socket has not taken everything yet."""
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Look no more at the socket; it is the connection's."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    async def prepare(self, statement: bytes) -> None:
        """Make the statement known to the server."""
        self._pgconn.send_prepare(_NAME, statement)
        await self._answered()

    async def run(self, parameters: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """Its rows. Raises what the server refused, or ``psycopg.OperationalError`` where it is gone."""
        self._pgconn.send_query_prepared(_NAME, parameters)
        result = await self._answered()
        return [
            tuple(result.get_value(row, column) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]

    async def _answered(self) -> PGresult:
        if not self._open:
            raise psycopg.OperationalError("the connection is gone")
        self._answer = self._loop.create_future()
        self._writable()
        try:
            result = await self._answer
        finally:
            self._answer = None
        if result.status not in _GOOD:
            raise error_from_result(result)
        return result

    def _writable(self) -> None:
        """Hand libpq's buffer to the socket; what it does not take now, when it can."""
        try:
            left = self._pgconn.flush()
        except psycopg.Error as error:
            self._fail(error)
            return
        if left and not self._full:
            self._loop.add_writer(self._socket, self._writable)
        elif self._full and not left:
            self._loop.remove_writer(self._socket)
        self._full = bool(left)

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._whole():
                # uvloop says only once that a connection has broken, and maybe together with the last that came.
                if not _has_more(self._socket):
                    return
                self._pgconn.consume_input()
        except psycopg.Error as error:
            self._fail(error)
            return
        result, self._result = self._result, None
        if result is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(result)

    def _whole(self) -> bool:
        """Whether the answer has come to its end."""
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                return True
            self._result = result
        return False

    def _fail(self, error: psycopg.Error) -> None:
        """The connection is gone: the socket would be readable for ever."""
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _has_more(socket: int) -> bool:
    """Whether something can be read from a socket, be it its end."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))
