"""How answers leave: whole or in pieces, in good order or broken in the way that a fault says."""

import asyncio
import socket
import struct
from collections.abc import Iterator

from tokenhub.stack.providers import mischief
from tokenhub.stack.providers.calls import Call
from tokenhub.stack.providers.faults import Fault
from tokenhub.stack.providers.wire import head, stream_head

SETTLE_S = 0.05
_CHUNK_ERROR = b"data: {this is not json\n\n"


class Delivery(asyncio.Protocol):
    """One connection, as far as answers leave by it."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._busy = False
        self._writable = asyncio.Event()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _done(self) -> None:
        """An answer that took its time is over."""
        self._busy = False

    def _write(self, status: int, body: bytes, kind: bytes = b"application/json") -> None:
        self._transport.write(head(status, kind, len(body)) + body)

    def _finish(self, call: Call, status: int, body: bytes, fault: Fault | None = None) -> None:
        call.status = status
        if fault is not None and fault.retry_after is not None:
            opening = head(status, b"application/json", len(body))
            later = b"\r\nretry-after: %d\r\n\r\n" % fault.retry_after
            self._transport.write(opening.removesuffix(b"\r\n\r\n") + later + body)
            return
        self._write(status, body)
        call.completed = status == 200 and not self._transport.is_closing()

    def _plain(self, call: Call, body: bytes, fault: Fault | None) -> None:
        if fault is None or fault.mode in ("slow", "no_usage", "bad_usage", "empty"):
            self._finish(call, 200, body)
            return
        call.status = 200
        if fault.mode in mischief.MODES:
            opening = head(200, b"application/json", len(body))
            self._play(call, mischief.Whole(opening, [body], stream=False), fault)
        elif fault.mode == "malformed":
            self._write(200, body[: len(body) // 2] + b"}}")
        elif fault.mode == "truncate":
            self._transport.write(
                head(200, b"application/json", len(body)) + body[: len(body) // 2]
            )
            self._transport.close()
        elif fault.mode == "disconnect":
            self._transport.write(
                head(200, b"application/json", len(body)) + body[: len(body) // 2]
            )
            self._reset()

    def _stream(self, call: Call, events: Iterator[bytes], fault: Fault | None) -> None:
        call.status = 200
        if fault is None or fault.mode in ("no_usage", "bad_usage", "empty"):
            body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
            self._transport.write(stream_head() + body + b"0\r\n\r\n")
            call.completed = not self._transport.is_closing()
            return
        if fault.mode in mischief.MODES:
            pieces = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
            whole = mischief.Whole(stream_head(), [*pieces, b"0\r\n\r\n"], stream=True)
            self._play(call, whole, fault)
            return
        self._busy = True
        asyncio.get_running_loop().create_task(self._stream_badly(call, events, fault))

    def _play(self, call: Call, whole: mischief.Whole, fault: Fault) -> None:
        self._busy = True
        wire = mischief.Wire(self._transport, self._writable.wait)

        async def play() -> None:
            goes_on = await mischief.play(wire, fault, whole)
            call.completed = fault.mode in mischief.COMPLETE and wire.open
            if goes_on:
                self._done()

        asyncio.get_running_loop().create_task(play())

    async def _stream_badly(self, call: Call, events: Iterator[bytes], fault: Fault) -> None:
        self._transport.write(stream_head())
        for number, event in enumerate(events):
            # The first event only opens the stream: a fault after n pieces lets n pieces of content out.
            if fault.mode != "slow" and number > fault.after_chunks:
                break
            if fault.mode == "slow":
                await asyncio.sleep(fault.delay_ms / 1000)
            await self._writable.wait()
            if self._transport.is_closing():
                return  # the caller has gone
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        if fault.mode != "slow":
            # What went out so far is to arrive as a piece of its own, as over a network.
            await asyncio.sleep(SETTLE_S)
        if fault.mode == "disconnect":
            self._reset()
        elif fault.mode == "malformed":
            self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(_CHUNK_ERROR), _CHUNK_ERROR))
        else:
            self._transport.write(b"0\r\n\r\n")
            call.completed = fault.mode == "slow" and not self._transport.is_closing()
        self._done()

    def _reset(self) -> None:
        if self._transport.is_closing():
            return  # the caller was first
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
