"""The gateway's way to Redis: one connection, every command pipelined on it, and a clear word when it is away.

Commands of one turn of the event loop leave in one write and their answers come back in order, so that
a hundred requests at once cost one round trip. redis-py's own client takes several times the processor time
of a whole request for each command; what is written here is the protocol's length-prefixed framing and no more.
"""

import asyncio
import contextlib
import hashlib
import ssl
import time
from collections import deque
from typing import Any, cast

import structlog
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

log = structlog.get_logger(__name__)

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 2.0
RETRY_S = 0.25

_UNFIT = ("READONLY", "OOM", "NOREPLICAS", "MISCONF", "MASTERDOWN", "LOADING", "NOAUTH", "NOSCRIPT")  # fmt: skip
"""Refusals that say the same of every command of ours; before Redis 7 they stand inside of a script's error."""

Reply = Any
"""``None``, an integer, bytes, or a list of them."""


class RedisAway(Exception):
    """No answer from Redis. Whether the command took effect is unknown."""


class RedisRefused(Exception):
    """Redis answered with an error."""


class Script:
    """A Lua script, called by its digest; loaded with each new connection."""

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class Redis:
    """One connection, opened when the process starts and again whenever it broke."""

    def __init__(self, url: str, scripts: tuple[Script, ...]) -> None:
        # An installation may do without: everybody who asks here then hears that it is away.
        self._options: dict[str, Any] | None = parse_url(url) if url else None  # type: ignore[no-untyped-call]
        self._scripts = scripts
        self._wire: _Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self.connects = 0
        """How often it was connected: who keeps something there says it again when this grows."""

    @property
    def connected(self) -> bool:
        """Whether commands can be sent now."""
        return self._wire is not None

    def start(self) -> None:
        """Connect, and reconnect whenever the connection breaks."""
        if self._options is not None:
            self._task = asyncio.create_task(self._run(self._options), name="redis")

    async def ready(self, within_s: float) -> bool:
        """Wait for the first connection, for a while."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._first.wait()
        return self.connected

    async def stop(self) -> None:
        """Send what is waiting, then close."""
        if self._wire is not None:
            self._wire.flush()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def run(
        self, script: Script, keys: tuple[bytes, ...], *arguments: bytes
    ) -> "asyncio.Future[Reply]":
        """Run a script. The future raises ``RedisAway`` or ``RedisRefused``."""
        return self.call(b"EVALSHA", script.digest, b"%d" % len(keys), *keys, *arguments)

    def call(self, *parts: bytes) -> "asyncio.Future[Reply]":
        """Send one command."""
        if self._wire is None:
            future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            future.set_exception(RedisAway("not connected"))
            return future
        return self._wire.call(parts)

    async def _run(self, options: dict[str, Any]) -> None:
        away = False
        while True:
            wire: _Wire | None = None
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    wire = await _connect(options, self._scripts)
                log.info("redis_connected")
                away = False
                self._wire = wire
                self.connects += 1
                self._first.set()
                await wire.lost.wait()
            except (OSError, TimeoutError, RedisAway, RedisRefused) as error:
                if not away:
                    log.warning("redis_away", cause=f"{type(error).__name__}: {error}"[:200])
                away = True
            except Exception:
                log.exception("redis_failed")
            finally:
                self._wire = None
                if wire is not None:
                    wire.close()
            await asyncio.sleep(RETRY_S)


async def _connect(options: dict[str, Any], scripts: tuple[Script, ...]) -> "_Wire":
    loop = asyncio.get_running_loop()
    kind = options.get("connection_class")
    if kind is UnixDomainSocketConnection:
        _, wire = await loop.create_unix_connection(_Wire, options["path"])
    else:
        tls = ssl.create_default_context() if kind is SSLConnection else None
        _, wire = await loop.create_connection(
            _Wire, options.get("host", "127.0.0.1"), options.get("port", 6379), ssl=tls
        )
    try:
        if password := options.get("password"):
            user = options.get("username")
            await wire.call((b"AUTH", *((user.encode(),) if user else ()), password.encode()))
        if database := options.get("db"):
            await wire.call((b"SELECT", b"%d" % database))
        for script in scripts:
            await wire.call((b"SCRIPT", b"LOAD", script.source))
        # One that takes no writes (a replica, since a failover) is as good as none: the name may lead to another soon.
        await wire.call((b"SET", b"tokenhub:writable", b"1", b"PX", b"1000"))
    except BaseException:
        wire.close()
        raise
    return wire


class _Wire(asyncio.Protocol):
    """The protocol: commands out, answers in, matched by their order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._in = bytearray()
        self._watch: asyncio.TimerHandle | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        """Fail whatever is waiting."""
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(RedisAway("connection lost"))
        self.lost.set()

    def call(self, parts: tuple[bytes, ...]) -> "asyncio.Future[Reply]":
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.lost.is_set():
            future.set_exception(RedisAway("connection lost"))
            return future
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(b"*%d\r\n" % len(parts))
        self._out += [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
        self._waiting.append((future, time.monotonic()))
        if self._watch is None:
            self._watch = self._loop.call_later(ANSWER_WITHIN_S, self._look, None)
        return future

    def flush(self) -> None:
        """Everything of this turn leaves in one write."""
        if self._out and self._transport is not None and not self._transport.is_closing():
            out, self._out = self._out, []
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        self._in += data
        at = 0
        while self._waiting:
            try:
                reply, at = _read(self._in, at)
            except _Incomplete:
                break
            except ValueError:
                self.close()
                return
            future, _ = self._waiting.popleft()
            if not future.done():
                if isinstance(reply, RedisRefused):
                    future.set_exception(reply)
                    if any(word in reply.args[0] for word in _UNFIT):
                        self.close()  # the next connection finds out whether it is better off
                        return
                else:
                    future.set_result(reply)
        del self._in[:at]

    def _look(self, suspect: "asyncio.Future[Reply] | None") -> None:
        """Give up a connection whose oldest command is not answered.

        A loop that was busy may look before it has read: only what is still waiting a moment later counts.
        """
        self._watch = None
        if not self._waiting:
            return
        oldest, since_s = self._waiting[0]
        left_s = since_s + ANSWER_WITHIN_S - time.monotonic()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._look, None)
        elif oldest is suspect:
            log.warning("redis_stalled", waiting=len(self._waiting))
            self.close()
        else:
            self._watch = self._loop.call_later(0.05, self._look, oldest)


class _Incomplete(Exception):
    pass


def _read(data: bytearray, at: int) -> tuple[Reply, int]:
    """One answer (RESP2) that begins at a place, and where the next begins."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line = data[at], bytes(data[at + 1 : end])
    end += 2
    if kind == 0x2B:  # +
        return line, end
    if kind == 0x3A:  # :
        return int(line), end
    if kind == 0x2D:  # -
        return RedisRefused(line.decode("latin-1")), end
    size = int(line)
    if kind == 0x24:  # $
        if size < 0:
            return None, end
        if len(data) < end + size + 2:
            raise _Incomplete
        return bytes(data[end : end + size]), end + size + 2
    if kind == 0x2A:  # *
        if size < 0:
            return None, end
        items = []
        for _ in range(size):
            item, end = _read(data, end)
            items.append(item)
        return items, end
    raise ValueError("not an answer of Redis")


async def quietly(future: "asyncio.Future[Reply]") -> Reply:
    """The answer, or ``None`` where Redis does not give one."""
    with contextlib.suppress(RedisAway, RedisRefused):
        return await future
    return None
