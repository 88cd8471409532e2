"""Calls of models answered by the connection itself, without an ASGI server's scope, messages and cycle.

They were a sixth of our own part of a call. Only a request that is small, whole and in no way special goes this
way; it is served by the same code as every other (``app.Gateway.serve``) and looks the same to its client.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tokenhub.gateway.edge import Leaving

if TYPE_CHECKING:
    from tokenhub.gateway.protocol import GatewayProtocol

PATHS = frozenset({b"/v1/chat/completions", b"/v1/messages", b"/v1/responses", b"/v1/embeddings"})
MAX_BODY_BYTES = 64 * 1024


class _NobodyWaits:
    """In the place of the event that wakes an ASGI application."""

    def set(self) -> None:
        """Nothing waits for it."""


_NOBODY_WAITS = _NobodyWaits()


class DirectEdge:
    """One request on a connection, and the way back.

    To uvicorn's protocol it is the connection's current cycle: a pipelined request waits until it is
    complete, a shutdown lets it finish, and a connection that is lost says so here.
    """

    method = "POST"

    def __init__(
        self,
        protocol: "GatewayProtocol",
        path: str,
        query: bytes,
        headers: Mapping[bytes, bytes],
        address: str,
    ) -> None:
        self.path = path
        self.query = query
        self.headers = headers
        self.address = address
        self.chunked = True
        """Whether pieces are chunks; to a client of HTTP/1.0, the end of the connection ends the answer."""
        self._protocol = protocol
        # what uvicorn's protocol asks of a cycle
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.more_body = True
        self.body: Any = b""
        self.message_event = _NOBODY_WAITS

    @property
    def backlog(self) -> int:
        return int(self._protocol.transport.get_write_buffer_size())

    async def receive(self) -> tuple[bytes, bool]:
        body, self.body = self.body, b""
        return body, False

    async def whole(
        self, status: int, headers: Mapping[str, str], body: bytes, leaving: Leaving | None = None
    ) -> None:
        if self._protocol.flow.write_paused:
            await self._drained()
        self._leave(self._head(status, headers) + body, leaving)
        self._end()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        if self._protocol.flow.write_paused:
            await self._drained()
        if self.chunked:
            headers = {**headers, "transfer-encoding": "chunked"}
        self._leave(self._head(status, headers))

    async def write(self, data: bytes, *, more: bool, leaving: Leaving | None = None) -> None:
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data = data if more else data + b"0\r\n\r\n"
        if self._protocol.flow.write_paused:
            await self._drained()
        self._leave(data, leaving)
        if not more:
            self._end()

    async def _drained(self) -> None:
        """Until the client has taken most of what was written, or has gone."""
        if not self.disconnected:
            await self._protocol.flow.drain()

    def _leave(self, data: bytes, leaving: Leaving | None = None) -> None:
        if leaving is not None:
            leaving()
        if not self.disconnected and data:
            self._protocol.transport.write(data)

    def _end(self) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        if not self.keep_alive:
            self._protocol.transport.close()
        self._protocol.on_response_complete()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if headers.get("connection") == "close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append("connection: close\r\n")
        said = "".join(lines)
        # Nothing that is put into a header may begin another.
        if said.count("\n") != len(lines) or said.count("\r") != len(lines) or "\x00" in said:
            raise ValueError("a header has more than one line")
        return b"%b%b\r\n" % (STATUS_LINE[status], said.encode("latin-1"))
