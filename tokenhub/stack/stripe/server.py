"""The HTTP server: reads requests, hands them to the API, the pages or the control plane."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tokenhub.stack.stripe import hosted
from tokenhub.stack.stripe.api import Api, Request
from tokenhub.stack.stripe.control import Control, is_local
from tokenhub.stack.stripe.store import Store

MAX_BODY_BYTES = 1_000_000
_JSON = {"Content-Type": "application/json"}


class Server(ThreadingHTTPServer):
    """One simulated Stripe; ``api`` and ``store`` are shared by its connections."""

    request_queue_size = 1024

    def __init__(self, host: str, port: int, store: Store, secret_key: str | None) -> None:
        super().__init__((host, port), Connection)
        self.store = store
        self.api = Api(store, secret_key)
        self.control = Control(store, self.api)


class Connection(BaseHTTPRequestHandler):
    """One connection, kept alive over requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: Server

    def _handle(self) -> None:
        body = self._body()
        if body is None:
            return
        parts = urlsplit(self.path)
        path = parts.path
        if path == "/_control" or path.startswith("/_control/"):
            if not is_local(str(self.client_address[0]), self.headers):
                self._write(404, b"", {})
                return
            status, answer = self.server.control.answer(
                self.command, path.removeprefix("/_control"), parts.query, body
            )
            self._write(status, answer, _JSON)
        elif path.startswith(("/pay/", "/authenticate/")):
            form = parse_qs(body.decode("utf-8", "replace"))
            with self.server.store.transaction():
                if self.command == "POST":
                    self.server.store.dirty = True
                page = hosted.answer(self.server.store, self.command, path, form)
            self._write(page.status, page.body.encode(), page.headers)
        else:
            self._call(path, parts.query, body)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the base class names them so

    def _call(self, path: str, query: str, body: bytes) -> None:
        reply = self.server.api.answer(
            Request(
                method=self.command,
                path=path,
                parameters="&".join(filter(None, (query, body.decode("utf-8", "replace")))),
                authorization=self.headers.get("Authorization", ""),
                idempotency_key=self.headers.get("Idempotency-Key"),
                version=self.headers.get("Stripe-Version"),
            )
        )
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._write(reply.status, reply.body, {**_JSON, **reply.headers})

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdigit():
            self.close_connection = True
            self._write(411, b"", {})
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._write(413, b"", {})
            return None
        return self.rfile.read(int(length))

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet: ``GET /_control/requests`` has the log."""
