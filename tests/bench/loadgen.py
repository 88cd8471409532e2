"""A closed-loop load generator on raw asyncio protocols: cheap enough not to be what is measured.

``python -m tests.bench.loadgen`` reads one JSON object (``Load``) and prints another.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

PROMPT = "Hello [[tokens=200]]"
STREAMED_PROMPT = "Hello [[tokens=50]] [[id=bench-stream]]"


@dataclass
class Load:
    """What to call, how many at a time and for how long; each answer whole, or as a stream."""

    url: str
    path: str
    headers: dict[str, str]
    model: str
    connections: int
    seconds: float
    stream: bool = False
    secrets: list[str] = field(default_factory=list)
    """Keys to take turns with; without any, ``headers`` says who calls."""


@dataclass
class Seen:
    """What came back."""

    latencies_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    events: int = 0
    failures: int = 0


def requests(load: Load) -> Iterator[bytes]:
    """The same request for ever, by one key after the other."""
    body: dict[str, Any] = {
        "model": load.model,
        "max_tokens": 200,
        "messages": [{"role": "user", "content": STREAMED_PROMPT if load.stream else PROMPT}],
    }
    if load.stream:
        body["stream"] = True
    content = json.dumps(body, separators=(",", ":")).encode()
    target = urlsplit(load.url)

    def request(headers: dict[str, str]) -> bytes:
        lines = [f"POST {load.path} HTTP/1.1", f"host: {target.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["content-type: application/json", f"content-length: {len(content)}\r\n\r\n"]
        return "\r\n".join(lines).encode() + content

    made = [request({"authorization": f"Bearer {secret}"}) for secret in load.secrets]
    return itertools.cycle(made or [request(load.headers)])


class Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, turns: Iterator[bytes], seen: Seen) -> None:
        self._turns = turns
        self._seen = seen
        self._buffer = b""
        self._sent_s = 0.0
        self._began = False
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        self._buffer, self._began = b"", False
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._turns))

    def data_received(self, data: bytes) -> None:
        self._seen.events += data.count(b"data: ")
        if not self._began and b"data: " in data:
            self._began = True
            self._seen.first_s.append(time.perf_counter() - self._sent_s)
        # Of a stream only the end matters: keep little.
        self._buffer = (
            self._buffer + data if len(self._buffer) < 65_536 else self._buffer[:4096] + data
        )
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().find(b"content-length:")
        if length >= 0:
            complete = len(body) >= int(head[length + 15 :].split(b"\r\n", 1)[0])
        else:
            complete = body.endswith(b"0\r\n\r\n")
        if not complete:
            return
        self._seen.latencies_s.append(time.perf_counter() - self._sent_s)
        if not head.startswith(b"HTTP/1.1 200"):
            self._seen.failures += 1
        if self.stopping:
            self._transport.close()
        else:
            self._send()


async def run(load: Load) -> dict[str, float | None]:
    """Call for some seconds over some connections."""
    target = urlsplit(load.url)
    seen, turns = Seen(), requests(load)
    loop = asyncio.get_running_loop()
    open_connections = []
    for _ in range(load.connections):
        _, connection = await loop.create_connection(
            lambda: Connection(turns, seen), target.hostname, target.port
        )
        open_connections.append(connection)
    await asyncio.sleep(min(1.0, load.seconds / 4))
    seen.latencies_s.clear()
    seen.first_s.clear()
    seen.events = seen.failures = 0
    began_s = time.perf_counter()
    await asyncio.sleep(load.seconds)
    took_s = time.perf_counter() - began_s
    latencies, first = sorted(seen.latencies_s), sorted(seen.first_s)
    events, failures = seen.events, seen.failures
    for connection in open_connections:
        connection.stopping = True
    await asyncio.sleep(0.2)
    return {
        "requests": len(latencies),
        "failures": failures,
        "requests_per_s": len(latencies) / took_s,
        "p50_ms": _at(latencies, 0.5),
        "p99_ms": _at(latencies, 0.99),
        "events_per_s": events / took_s,
        "first_p50_ms": _at(first, 0.5),
        "first_p99_ms": _at(first, 0.99),
    }


def _at(measured: list[float], share: float) -> float | None:
    if not measured:
        return None
    if share == 0.5:
        return statistics.median(measured) * 1000
    return measured[int(len(measured) * share)] * 1000


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Load(**json.load(sys.stdin))))))
