"""Requests to any provider, each through the pool of its origin.

Redirects are not followed, and compressed bodies (which we never ask for) are refused.
"""

import ssl
import time
from collections.abc import Awaitable, Mapping
from functools import lru_cache

from accounts import egress
from tokenhub.gateway.upstream.connection import Body, UpstreamError
from tokenhub.gateway.upstream.pool import Origin, Pool, Resolve, Response

_PLAIN = frozenset({b"", b"identity"})


class Client:
    """All pools of a gateway process; unless told otherwise, to public addresses only."""

    def __init__(self, resolve: Resolve = egress.resolve_async) -> None:
        self._resolve = resolve
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._by_origin: dict[Origin, Pool] = {}
        self._tls: ssl.SSLContext | None = None

    def post(
        self,
        origin: Origin,
        path: str,
        headers: Mapping[str, str],
        body: Body,
        *,
        first_byte_timeout_s: float,
        streaming: bool = False,
        content_type: str = "application/json",
    ) -> Awaitable[Response]:
        """Send a request, JSON unless said otherwise; ``UpstreamError`` where no answer's headers arrive in time."""
        more = {"content-type": content_type, "content-length": str(len(body))}
        return self._exchange(
            "POST", origin, path, {**headers, **more}, body, first_byte_timeout_s, streaming
        )

    async def get(
        self,
        origin: Origin,
        path: str,
        headers: Mapping[str, str],
        *,
        first_byte_timeout_s: float,
        stream_up_to_bytes: int = 0,
    ) -> Response:
        """Ask for something; ``UpstreamError`` where no answer's headers arrive in time.

        ``stream_up_to_bytes`` is for what is passed on as it comes and may be larger than any answer.
        """
        response = await self._exchange(
            "GET", origin, path, headers, b"", first_byte_timeout_s, stream_up_to_bytes > 0
        )
        if stream_up_to_bytes:
            response.allow(stream_up_to_bytes)
        return response

    async def _exchange(
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: Mapping[str, str],
        body: Body,
        first_byte_timeout_s: float,
        streaming: bool,
    ) -> Response:
        lines = [_request_line(method, origin, path)]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines.append("\r\n")
        pool = self._by_origin.get(origin) or self._pool(origin)
        response = await pool.request(
            "".join(lines).encode("latin-1"),
            body,
            first_byte_timeout_s=first_byte_timeout_s,
            streaming=streaming,
        )
        if response.header(b"content-encoding") not in _PLAIN:
            async with response:
                raise UpstreamError("invalid_response")
        return response

    def prune(self) -> None:
        """Close connections that were idle for too long; to be called now and then."""
        now_s = time.monotonic()
        for pool in self._pools.values():
            pool.prune(now_s)

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, origin: Origin) -> Pool:
        name = (origin.scheme, origin.host, origin.port)
        pool = self._pools.get(name)
        if pool is None:
            if origin.scheme == "https" and self._tls is None:
                self._tls = ssl.create_default_context()
            tls = self._tls if origin.scheme == "https" else None
            pool = Pool(origin, tls, self._resolve)
            self._pools[name] = pool
        self._by_origin[origin] = pool
        return pool


@lru_cache(maxsize=1_000)
def _request_line(method: str, origin: Origin, path: str) -> str:
    """How every request to a place begins."""
    return (
        f"{method} {origin.path}{path} HTTP/1.1\r\nhost: {origin.authority}\r\n"
        "accept-encoding: identity\r\n"
    )
