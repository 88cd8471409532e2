"""One connection to the simulated providers: requests read, recorded, and answered well or badly."""

import asyncio
import time
from collections import deque
from typing import Any
from urllib.parse import parse_qs

import httptools
import msgspec

from tokenhub.stack.providers import anthropic, dashscope, openai
from tokenhub.stack.providers.answers import Answers
from tokenhub.stack.providers.calls import MARKER, Call, credential, model_of, task_of
from tokenhub.stack.providers.catalogue import Site
from tokenhub.stack.providers.faults import Fault
from tokenhub.stack.providers.server import Server
from tokenhub.stack.providers.wire import HTML, MP4, PNG


class Connection(Answers):
    """One client connection; answers requests in the order they came."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._queue: deque[tuple[str, str, dict[bytes, bytes], bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.close()

    # httptools

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        request = (method, self._url.decode("latin-1"), self._headers, b"".join(self._body))
        if self._busy:
            self._queue.append(request)
        else:
            self._handle(*request)

    # requests

    def _done(self) -> None:
        super()._done()
        if self._queue:
            self._handle(*self._queue.popleft())

    def _handle(self, method: str, url: str, headers: dict[bytes, bytes], body: bytes) -> None:
        path, _, query = url.partition("?")
        if path.startswith("/_control"):
            given = {name: values[0] for name, values in parse_qs(query).items()}
            status, answer = self._server.control(
                method, path.removeprefix("/_control"), given, body
            )
            self._write(status, msgspec.json.encode(answer))
        elif path.startswith("/_media/"):
            picture = path.endswith(".png")
            self._write(200, PNG if picture else MP4, b"image/png" if picture else b"video/mp4")
        else:
            self._call(method, path, headers, body)

    def _call(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        """A call of one provider: recorded first, then a fault or the answer."""
        server = self._server
        _, slug, region, *rest = [*path.split("/", 3), "", ""]
        route = "/" + rest[0]
        site = server.catalogue.get((slug, region))
        task = server.tasks.get(task_of(route)) if method == "GET" else None
        # A poll is about the request that made the task: marks and faults of that one hold for it.
        about = body if task is None else task.request
        marker = MARKER.search(about) if b"[[id=" in about else None
        call = Call(
            id=server.next_id(),
            provider=slug,
            region=region,
            model=model_of(body, headers) if task is None else task.model,
            path=route,
            bytes_received=len(body),
            request_id=headers.get(b"x-request-id", b"").decode("latin-1") or None,
            marker=marker.group(1).decode("utf-8", "replace") if marker else None,
            created_at=time.time(),
        )
        server.calls.append(call)
        if site is None:
            self._finish(call, 404, openai.error(404, f"no provider {slug} in {region}"))
            return
        shape = anthropic if "anthropic" in site.dialects else (
            dashscope if route.startswith("/api/v1/") else openai
        )  # fmt: skip
        fault = server.faults.take(slug, region, call.model, about, method, credential(headers))
        if fault is not None:
            self._busy = True
            asyncio.get_running_loop().create_task(
                self._misbehave(fault, call, shape, site, method, route, headers, body)
            )
            return
        self._answer(call, shape, site, method, route, headers, body, None)

    async def _misbehave(
        self,
        fault: Fault,
        call: Call,
        shape: Any,
        site: Site,
        method: str,
        route: str,
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> None:
        match fault.mode:
            case "refuse":
                self._reset()
            case "timeout":
                return  # busy for ever: the caller gives up
            case "http_error":
                words = f"secret-upstream-detail of {site.slug}: key sim-{site.slug} failed"
                self._finish(call, fault.status, shape.error(fault.status, words), fault)
            case "redirect":
                call.status = 302
                self._transport.write(
                    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                )
            case "html_error":
                call.status = fault.status
                self._write(fault.status, HTML, b"text/html")
            case "html":
                call.status = 200
                self._write(200, HTML, b"text/html")
            case _:
                if fault.mode == "slow":
                    await asyncio.sleep(fault.delay_ms / 1000)
                self._busy = False
                self._answer(call, shape, site, method, route, headers, body, fault)
                if self._busy:
                    return  # a stream under way ends by itself
        self._done()
