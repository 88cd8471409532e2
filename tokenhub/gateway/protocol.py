"""uvicorn's HTTP protocol with bytes that leave at once, limits on what a connection may cost, and a short way
for calls of models.

uvloop queues what is written until the end of the loop's turn. A result that is paid for must not
wait there: between its charge and its bytes in the kernel, as little as possible may happen.
"""

import asyncio
import math
import os
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from accounts.ids import uuid7
from tokenhub.gateway import direct
from tokenhub.gateway.direct import DirectEdge

if TYPE_CHECKING:
    from tokenhub.gateway.app import Gateway

GATEWAY = "tokenhub.gateway"
"""Where the application's lifespan puts the gateway, for connections to find."""
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 100
REQUEST_WITHIN_S = float(os.environ.get("TOKENHUB_REQUEST_WITHIN_S", "60"))
"""A request's head and body must have arrived by then: a slow sender holds no connection for ever."""


class DirectTransport:
    """A transport that writes to the socket itself as long as nothing is queued before."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        connection = transport.get_extra_info("socket")
        tls = transport.get_extra_info("sslcontext") is not None
        self._socket = -1 if tls or connection is None else connection.fileno()
        self._held: list[bytes] | None = None

    def cork(self) -> None:
        """Hold what is written until ``uncork``, so that it leaves in one piece."""
        if self._held is None:
            self._held = []

    def uncork(self, about_to_leave: Callable[[], None] | None = None) -> None:
        """Write what was held; ``about_to_leave`` is called right before the kernel gets it."""
        held, self._held = self._held, None
        if held:
            whole = b"".join(held)
            if about_to_leave is not None:
                about_to_leave()
            self.write(whole)

    def write(self, data: bytes) -> None:
        """Hand bytes to the kernel now, or queue what it does not take."""
        if self._held is not None:
            self._held.append(data)
            return
        transport = self._transport
        if self._socket < 0 or transport.is_closing() or transport.get_write_buffer_size():
            transport.write(data)
            return
        try:
            sent = os.write(self._socket, data)
        except OSError:
            sent = 0  # full or broken: the transport finds out which
        if sent < len(data):
            transport.write(data[sent:] if sent else data)

    def close(self) -> None:
        """Write what is held, then close."""
        self.uncork()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatewayProtocol(HttpToolsProtocol):
    """One client connection.

    Calls of models that are small, whole and in no way special are served from here (``direct.py``);
    everything else goes on to the ASGI application, by uvicorn's own ways.
    """

    cycle: Any  # the request that came last: uvicorn's, or a DirectEdge

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(DirectTransport(transport))  # type: ignore[arg-type]
        self._gateway: Gateway | None = self.app_state.get(GATEWAY)
        self._proxies: Any = getattr(self.app, "trusted_hosts", ())
        self._answering: Any = None  # the request under way: ``cycle``, or one that came before it
        self._header_bytes = 0
        self._due_s = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = 0.0
        self._due_within(REQUEST_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._answering is not None and not self._answering.response_complete:
            # uvicorn tells the request that came last, and another may have been pipelined behind this one.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client may end its side of the connection once it has asked: it still gets its answer.

        One that has gone altogether looks the same until it is written to.
        """
        whole = self._due_s == math.inf
        if not whole or self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False  # nothing more can come
        return True

    def data_received(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def _without_upgrade(self, rest: bytes) -> bytes:
        """A request that offers another protocol, as the one without the offer, before the ``rest`` of what came.

        The offer may be ignored; but the parser has skipped the body, and would take it for the next request.
        """
        kept = [header for header in self.headers if header[0] != b"upgrade"]
        if self.transport.is_closing():
            return b""
        if len(kept) == len(self.headers):
            self.send_400_response("There are no tunnels here.")  # CONNECT
            return b""
        line = (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        head = [b"%b %b HTTP/%b\r\n" % line, *(b"%b: %b\r\n" % header for header in kept), b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return b"".join(head) + rest

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._header_bytes = 0
        self._due_within(REQUEST_WITHIN_S)

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._header_bytes += len(url)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            self._refuse_head()
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.transport.is_closing() or self.parser.should_upgrade():
            return
        path, _, query = self.url.partition(b"?")
        if path in direct.PATHS and self._goes_directly(path, query):
            return
        # What uvicorn prepares for every request, here for those that it serves.
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        scope: Any = self.scope
        scope["headers"] = headers
        scope["extensions"] = {"tokenhub.transport": self.transport}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        if type(self.cycle) is DirectEdge:
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._due_s = math.inf
        if self.transport.is_closing():
            return
        if type(self.cycle) is DirectEdge:
            self._serve(self.cycle)
        else:
            super().on_message_complete()
            if self.cycle.response_complete:  # refused before its body was here
                self._due_within(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """The next request may begin: the one that was pipelined, or else one that comes in time."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            # In a context of its own: this one is that of the request that was just answered.
            Context().run(self._start_asgi_task, *self.pipeline.pop())
        elif self._due_s == math.inf:
            self._due_within(self.timeout_keep_alive)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    # the direct way

    def _goes_directly(self, path: bytes, query: bytes) -> bool:
        """Whether this request is served from here; its body is on its way."""
        if self._gateway is None or self.expect_100_continue or self.limit_concurrency is not None:
            return False
        if self.pipeline or (self.cycle is not None and not self.cycle.response_complete):
            return False  # answers leave in the order of the requests
        parser = self.parser
        version = parser.get_http_version()
        if parser.get_method() != b"POST" or version not in ("1.1", "1.0"):
            return False
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        if len(length) > 5 or not length.isdigit() or int(length) > direct.MAX_BODY_BYTES:
            return False
        if b"transfer-encoding" in headers:
            return False
        edge = DirectEdge(self, path.decode(), query, headers, self._address(headers))
        edge.chunked = version == "1.1"
        edge.keep_alive = edge.chunked and parser.should_keep_alive()
        self.cycle = self._answering = edge
        return True

    def _address(self, headers: dict[bytes, bytes]) -> str:
        """The client's address, as uvicorn finds it behind proxies that are trusted."""
        host = self.client[0] if self.client else ""
        if b"x-forwarded-for" in headers and host in self._proxies:
            given = b", ".join(v for name, v in self.headers if name == b"x-forwarded-for")
            said, _ = self._proxies.get_trusted_client_address(given.decode("latin1"))
            return said or host
        return host

    def _serve(self, edge: DirectEdge) -> None:
        assert self._gateway is not None
        task = self.loop.create_task(self._gateway.serve(edge))
        self.tasks.add(task)  # a shutdown waits for it, whether or not its client does

        def served(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            if not edge.response_complete and not edge.disconnected:
                self.transport.close()

        task.add_done_callback(served)

    # what a connection may cost

    def send_400_response(self, msg: str) -> None:
        """What could not be read has an id to ask us about, like every other answer; else as uvicorn's own."""
        public_id = f"req_{uuid7().hex}"
        self.logger.warning("%s (%s)", msg, public_id)
        fields = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(msg)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", public_id.encode()),
            (b"request-id", public_id.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head, msg.encode()))
        self.transport.close()

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self.send_400_response("Request header fields too large.")

    def _due_within(self, within_s: float) -> None:
        """By then something must have come. One alarm serves all waits: it looks again when it is early."""
        self._due_s = self.loop.time() + within_s
        if self._alarm is None or self._alarm_s > self._due_s:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_s = self._due_s
        self._alarm = self.loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._due_s == math.inf or self.transport.is_closing():
            return
        if self.loop.time() < self._due_s:
            self._set_alarm()
        else:
            self.transport.close()
