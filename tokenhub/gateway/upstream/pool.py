"""The pooled connections to one origin, and a provider's answer while it arrives on one of them.

One request at a time per connection; the most recently used connection is used next.
"""

import asyncio
import errno
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from accounts import egress
from tokenhub.gateway.errors import ServiceUnavailable
from tokenhub.gateway.upstream.connection import (
    SMALL_BODY_BYTES,
    Body,
    Connection,
    Stale,
    UpstreamError,
)

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 20.0
MAX_IDLE_PER_ORIGIN = 512
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What this machine is out of says nothing of a provider."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a provider listens."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """The origin and path prefix of a base URL; ``ValueError`` for anything but http(s)."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"“{url}” is not an http(s) URL.")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        default = 443 if self.scheme == "https" else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"


class Response:
    """A provider's answer while it arrives. Leave it through ``async with``."""

    def __init__(self, pool: "Pool", connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self.status = connection.status

    def header(self, name: bytes) -> bytes:
        """A header by its lower-case name, or empty."""
        return self._connection.headers.get(name, b"")

    def allow(self, limit_bytes: int) -> None:
        """Let the body be as large as this."""
        self._connection.limit_bytes = limit_bytes

    async def read(self, timeout_s: float) -> bytes:
        """The whole body within a time."""
        try:
            return await self._connection.read(timeout_s)
        except Stale:
            raise UpstreamError("disconnected") from None

    async def chunks(self, idle_timeout_s: float) -> AsyncIterator[bytes]:
        """The body as it arrives; ``UpstreamError`` where it stalls or is cut off."""
        while True:
            try:
                data = await self._connection.next_chunk(idle_timeout_s)
            except Stale:
                raise UpstreamError("disconnected") from None
            if not data:
                return
            yield data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.release(self._connection)


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to the addresses that may be connected to."""


class Pool:
    """The connections to one origin."""

    def __init__(
        self, origin: Origin, tls: ssl.SSLContext | None, resolve: Resolve = egress.resolve_async
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._resolve = resolve
        self._idle: list[Connection] = []

    async def request(
        self, head: bytes, body: Body, *, first_byte_timeout_s: float, streaming: bool
    ) -> Response:
        """Send a request and wait for the answer's headers.

        A kept-alive connection that the peer closed before a byte of the answer is replaced once:
        nothing was received, so nothing was answered. ``ServiceUnavailable`` where we can open no other.
        """
        replaced = False
        while True:
            # The others that are idle may be as stale as the first: one more of them would be one more try.
            connection = None if replaced else self._take()
            reused = connection is not None
            if connection is None:
                connection = await self._connect()
            try:
                if isinstance(body, bytes) and len(body) < SMALL_BODY_BYTES:
                    await connection.send(head, body)
                else:
                    async with asyncio.timeout(first_byte_timeout_s):
                        await connection.send(head, body)
                connection.streaming = streaming
                await connection.wait_headers(first_byte_timeout_s)
            except Stale:
                connection.abort()
                if reused:
                    replaced = True
                    continue
                raise UpstreamError("disconnected") from None
            except TimeoutError:
                connection.abort()
                raise UpstreamError("timeout") from None
            except BaseException:
                connection.abort()
                raise
            return Response(self, connection)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete; close any other."""
        if connection.reusable and len(self._idle) < MAX_IDLE_PER_ORIGIN:
            connection.finish()
            connection.released_s = time.monotonic()
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    def prune(self, now_s: float) -> None:
        """Close connections that were idle for too long."""
        while self._idle and now_s - self._idle[0].released_s > IDLE_CONNECTION_S:
            self._idle.pop(0).abort()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                addresses = await self._resolve(self._origin.host, self._origin.port)
                return await self._connect_to(addresses)
        except egress.Refused:
            raise UpstreamError("refused_address") from None
        except TimeoutError:
            raise UpstreamError("connect_timeout") from None
        except ssl.SSLError:
            raise UpstreamError("tls_error") from None
        except OSError as error:
            if error.errno in _OURS:
                raise ServiceUnavailable(
                    "This gateway has no connection left to give. Retry shortly.",
                    headers={"retry-after": "1"},
                ) from None
            raise UpstreamError("connect_error") from None

    async def _connect_to(self, addresses: list[str]) -> Connection:
        """To the first of the checked addresses that answers within its share of the time."""
        loop = asyncio.get_running_loop()
        for number, address in enumerate(addresses, 1):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S / len(addresses)):
                    _, connection = await loop.create_connection(
                        Connection,
                        address,
                        self._origin.port,
                        ssl=self._tls,
                        server_hostname=self._origin.host if self._tls else None,
                    )
                    return connection
            except OSError:
                if number == len(addresses):
                    raise
        raise UpstreamError("connect_error")
