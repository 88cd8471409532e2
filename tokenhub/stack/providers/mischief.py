"""Faults of the wire itself: the right answer, sent in a way it should not be."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tokenhub.stack.providers.faults import Fault

MODES = frozenset({
    "slow_headers", "slow_body", "stall", "comments", "big_headers", "big_body", "gzip", "wrong_type",
    "double_done", "early_hints", "bad_length", "bad_chunk",
})  # fmt: skip
COMPLETE = frozenset({"slow_headers", "slow_body", "wrong_type", "double_done", "early_hints"})
"""Modes in which the whole answer arrives after all."""
BYTES_AT_A_TIME = 64
MEGABYTE = b"a" * 2**20
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(slots=True)
class Wire:
    """Where an answer goes."""

    transport: asyncio.Transport
    drained: Callable[[], Awaitable[object]]

    @property
    def open(self) -> bool:
        return not self.transport.is_closing()

    async def write(self, data: bytes, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        await self.drained()
        if self.open:
            self.transport.write(data)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer as it should be: its head, and its pieces, with their framing."""

    head: bytes
    pieces: list[bytes]
    stream: bool

    @property
    def kind(self) -> bytes:
        return b"text/event-stream" if self.stream else b"application/json"


async def play(wire: Wire, fault: Fault, whole: Whole) -> bool:
    """Send an answer as a fault has it; whether the connection can go on afterwards."""
    pause_s, body = fault.delay_ms / 1000, b"".join(whole.pieces)
    match fault.mode:
        case "slow_headers":
            await wire.write(whole.head[:20])
            await wire.write(whole.head[20:] + body, pause_s)
        case "slow_body":
            await wire.write(whole.head)
            for start in range(0, len(body), BYTES_AT_A_TIME):
                await wire.write(body[start : start + BYTES_AT_A_TIME], pause_s)
        case "stall":
            await wire.write(whole.head + _some(whole, fault.after_chunks))
            return False
        case "comments":
            await wire.write(CHUNKED % whole.kind)
            sign = b": alive\n\n" if whole.stream else b"\n"
            while wire.open:
                await wire.write(b"%x\r\n%b\r\n" % (len(sign), sign), 0.05)
        case "big_headers":
            await wire.write(b"HTTP/1.1 200 OK\r\nx-filler: ")
            for _ in range(8):
                await wire.write(MEGABYTE)
            await wire.write(b"\r\n" + whole.head.partition(b"\r\n")[2] + body)
        case "big_body":
            await wire.write(CHUNKED % whole.kind + (b"6\r\ndata: \r\n" if whole.stream else b""))
            for _ in range(200):
                await wire.write(b"%x\r\n%b\r\n" % (len(MEGABYTE), MEGABYTE))
            return False
        case "gzip":
            packed = gzip.compress(body + b" " * 2**24)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
            await wire.write(head % (whole.kind, len(packed)) + packed)
        case "wrong_type":
            await wire.write(whole.head.replace(whole.kind, b"text/plain") + body)
        case "double_done":
            await wire.write(_twice(whole))
        case "early_hints":
            await wire.write(HINTS + whole.head + body)
        case "bad_length":
            head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: many\r\n\r\n"
            await wire.write(head % whole.kind + body)
        case "bad_chunk":
            await wire.write(CHUNKED % whole.kind + b"zz\r\n" + body)
    return True


def _some(whole: Whole, after_chunks: int) -> bytes:
    if whole.stream:
        return b"".join(whole.pieces[: after_chunks + 1])
    body = b"".join(whole.pieces)
    return body[: len(body) // 2]


def _twice(whole: Whole) -> bytes:
    """A stream whose end comes twice, with an event between; a plain answer that comes twice."""
    if whole.stream:
        *events, done, last = whole.pieces
        return whole.head + b"".join([*events, done, events[-1], done, last])
    body = b"".join(whole.pieces)
    length = b"content-length: %d"
    return whole.head.replace(length % len(body), length % (2 * len(body))) + body + body
