"""The edge of a request: where its bytes come from and its answer's bytes go, whoever serves them.

``AsgiEdge`` speaks an ASGI server's messages, ``direct.DirectEdge`` writes to the connection itself. What lies
behind the edge does not know which of them it has.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Leaving = Callable[[], None]
"""Called once, in the instant before the kernel gets the bytes, or where there is nobody to get them."""


class ClientGone(Exception):
    """The client left before its request was complete."""


class Edge(Protocol):
    """One request and the way back to its client. A client that has gone takes what is written, silently."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    """By their lower-case names."""
    address: str
    """The client's, or empty."""

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""

    async def receive(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more is to come; ``ClientGone``."""

    async def whole(
        self, status: int, headers: Mapping[str, str], body: bytes, leaving: Leaving | None = None
    ) -> None:
        """Answer in one piece."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer that comes in pieces."""

    async def write(self, data: bytes, *, more: bool, leaving: Leaving | None = None) -> None:
        """The next piece; the last one where not ``more``."""


class AsgiEdge:
    """An edge of ASGI messages."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = bytes(scope.get("query_string", b""))
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        client = scope.get("client")
        self.address: str = client[0] if client else ""
        self._receive = receive
        self._send = send
        self._transport = scope.get("extensions", {}).get("tokenhub.transport")

    @property
    def backlog(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def receive(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message.get("body", b""), message.get("more_body", False)

    async def whole(
        self, status: int, headers: Mapping[str, str], body: bytes, leaving: Leaving | None = None
    ) -> None:
        if self.method == "HEAD":
            body = b""
        end = {"type": "http.response.body", "body": body}
        await self._together(leaving, _start(status, headers), end)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        await self._send(_start(status, headers))

    async def write(self, data: bytes, *, more: bool, leaving: Leaving | None = None) -> None:
        message = {"type": "http.response.body", "body": data, "more_body": more}
        if leaving is None:
            await self._send(message)
        else:
            await self._together(leaving, message)

    async def _together(self, leaving: Leaving | None, *messages: MutableMapping[str, Any]) -> None:
        """Send in one piece, as far as the server lets us."""
        waiting = [] if leaving is None else [leaving]

        def leave() -> None:
            if waiting:
                waiting.pop()()

        transport = self._transport
        if transport is None:
            leave()
            for message in messages:
                await self._send(message)
            return
        transport.cork()
        try:
            for message in messages:
                await self._send(message)
        finally:
            transport.uncork(leave)
            leave()  # a client that has gone takes nothing: the result was complete


def _start(status: int, headers: Mapping[str, str]) -> MutableMapping[str, Any]:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}
