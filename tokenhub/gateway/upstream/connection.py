"""One connection to a provider and the answer that is arriving on it, on httptools.

A provider's answer is hostile input: headers, lines and bodies are bounded.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol

import httptools

MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
SMALL_BODY_BYTES = 64 * 1024
"""Less goes out in one piece, without waiting for the socket."""
BUFFER_HIGH_BYTES = 256 * 1024


class Pieces(Protocol):
    """A body that is not in memory whole; it can be sent again from its beginning."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


Body = bytes | Pieces


class UpstreamError(Exception):
    """The exchange failed; ``outcome`` names how, in the words of the request's trace."""

    def __init__(self, outcome: str, retry_after_s: float | None = None) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.retry_after_s = retry_after_s
        """How long the provider asked us to stay away."""


class Stale(Exception):
    """A kept-alive connection was closed by the peer before a byte of the answer."""


class Connection(asyncio.Protocol):
    """One connection and the answer that is arriving on it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.released_s = 0.0
        self._parser: Any = None
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = 0.0
        self._reset()
        self._closed = False

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._raw_bytes = 0
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._received = 0
        self._complete = False
        self._failure: Exception | None = None
        self._started = False
        self._busy = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._headers_done = False
        self._keep_alive = False
        self.limit_bytes = MAX_BODY_BYTES

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            # Nobody asked: whatever this is, it must not become somebody's answer.
            self.abort()
            return
        self._started = True
        # Counted as it comes: the parser would gather a header, or skip a chunk's extension, without end.
        self._raw_bytes += len(data)
        try:
            self._parser.feed_data(data)
            most = 2 * max(MAX_BODY_BYTES, self.limit_bytes)
            if self._raw_bytes > (most if self._headers_done else MAX_HEADER_BYTES):
                raise httptools.HttpParserError("it does not end")
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamError("invalid_response"))
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            cause = error.__context__
            self._fail(
                cause if isinstance(cause, UpstreamError) else UpstreamError("invalid_response")
            )

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        if hasattr(self, "_writable"):
            self._writable.set()
        if self._busy and not self._complete:
            # Without a length, the end of the connection is the end of the body.
            until_close = (
                self._headers_done
                and b"content-length" not in self.headers
                and b"transfer-encoding" not in self.headers
            )
            if until_close and exc is None:
                self._complete = True
                self._notify()
            else:
                self._fail(UpstreamError("disconnected") if self._started else Stale())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise UpstreamError("invalid_response")
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers = {}
            return
        self.status = status
        self._headers_done = True
        self._notify()

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        if self._received > self.limit_bytes:
            raise UpstreamError("invalid_response")
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > BUFFER_HIGH_BYTES and not self._paused and self.streaming:
            self._paused = True
            if self.transport is not None:
                self.transport.pause_reading()
        self._notify()

    def on_message_complete(self) -> None:
        if not self._headers_done:
            return
        # Asked here: once the message is over, the parser has forgotten its headers.
        self._keep_alive = bool(self._parser.should_keep_alive())
        self._complete = True
        self._notify()

    # the exchange

    streaming = False

    @property
    def alive(self) -> bool:
        """Whether another request may be sent."""
        return not self._closed and self.transport is not None and not self.transport.is_closing()

    async def send(self, head: bytes, body: Body) -> None:
        """Write a request; large bodies wait for the socket."""
        self._reset()
        self._busy = True
        # A new one each time: what a provider sent beyond its answer must not become the next one's beginning.
        self._parser = httptools.HttpResponseParser(self)
        if not self.alive or self.transport is None:
            raise Stale
        if not isinstance(body, bytes):
            self.transport.write(head)
            for piece in body:
                await self._writable.wait()
                if not self.alive:
                    return  # what was answered, if anything, says why
                self.transport.write(piece)
        elif len(body) < SMALL_BODY_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
            await self._writable.wait()

    async def wait_headers(self, timeout_s: float) -> None:
        """Until the final status and headers are in."""
        due_s = self._loop.time() + timeout_s
        while not self._headers_done:
            await self._wait(due_s)

    async def read(self, timeout_s: float) -> bytes:
        """The whole body."""
        due_s = self._loop.time() + timeout_s
        while not self._complete:
            await self._wait(due_s)
        return b"".join(self._chunks) if len(self._chunks) != 1 else self._chunks[0]

    async def next_chunk(self, timeout_s: float) -> bytes:
        """What has arrived since the last call; empty at the end of the body."""
        while not self._chunks:
            if self._complete:
                return b""
            await self._wait(self._loop.time() + timeout_s)
        data = b"".join(self._chunks) if len(self._chunks) != 1 else self._chunks[0]
        self._chunks = []
        self._buffered = 0
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """Whether the answer ended so that the connection can carry another."""
        return self._complete and self._keep_alive and self.alive

    def finish(self) -> None:
        """The exchange is over; late bytes close the connection."""
        self._busy = False
        self.streaming = False

    def abort(self) -> None:
        """Close at once."""
        self._busy = False
        if self.transport is not None:
            self.transport.abort()

    async def _wait(self, due_s: float) -> None:
        """Until something arrives; where nothing has by ``due_s``, the exchange has failed."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        self._due_s = due_s
        # One alarm serves many waits, and many exchanges: it looks again when it is early.
        if self._alarm is None or self._alarm_s > due_s:
            self._set_alarm()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None and not self._chunks:
            raise self._failure

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_s = self._due_s
        self._alarm = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None or self._closed:
            return
        if self._loop.time() < self._due_s:
            self._set_alarm()
        else:
            self._fail(UpstreamError("timeout"))

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._failure is None and not self._complete:
            self._failure = error
        self._notify()
        if self.transport is not None:
            self.transport.abort()
