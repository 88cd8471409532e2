"""Sentry and OpenTelemetry: loaded only where they are set, and never told a credential."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, marker
from tests.processes import BASE_DIR, eventually
from tokenhub import tracing
from tokenhub.redact import GONE

ERROR = 2  # a span's status, in OTLP
CANARY = "thk_" + "Canary0" * 7


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that keeps what it is sent, as path and unpacked body."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            elif self.headers.get("content-encoding") == "br":
                body = brotli.decompress(body)
            got.append((self.path, body))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(code: str, **environ: str) -> str:
    """A process of its own with Django set up; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "import django\ndjango.setup()\nfrom tokenhub import tracing\n" + code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tokenhub.settings", **environ},
        cwd=BASE_DIR, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_either_is_loaded_unless_it_is_set() -> None:
    said = run(
        "import sys\ntracing.start('web')\nimport tokenhub.asgi, tokenhub.celery\n"
        # Parts of OpenTelemetry are loaded by others who find it installed; what sends is not.
        "wanted = ('sentry_sdk', 'opentelemetry.exporter', 'opentelemetry.sdk.trace')\n"
        "print([name for name in sys.modules if name.startswith(wanted)])"
    )

    assert said.strip() == "[]"


def test_an_error_arrives_at_sentry_without_any_credential() -> None:
    with collector() as (host, got):
        run(
            f"key = {CANARY!r}\n"
            "tracing.start('worker')\n"
            "import logging, sentry_sdk\n"
            "logging.getLogger('x').warning('calling with %s', key)\n"
            "try:\n    raise RuntimeError(f'refused: Bearer {key}')\n"
            "except RuntimeError:\n    sentry_sdk.capture_exception()\n"
            "sentry_sdk.flush(10)\n",
            SENTRY_DSN=f"http://public@{host}/1",
        )
        sent = b"".join(body for _, body in got).decode()

    assert "RuntimeError" in sent
    assert GONE in sent
    assert CANARY not in sent
    assert '"role": "worker"' in sent or '"role":"worker"' in sent


def test_a_gateway_sends_its_traces_with_request_and_organization(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    tenant = factories.organization(credit_nano=10**9)
    secret = factories.key(tenant).secret
    with collector() as (host, got):
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        server = new_gateway(gateway_environ, **environ).start()
        try:
            answer = Gateway(server.url, gateway.providers).chat(secret)
            request = answer.headers["x-request-id"]
            eventually(lambda: any(request.encode() in body for _, body in got), what="the trace")
        finally:
            server.stop()
        sent = b"".join(body for _, body in got)

    assert {path for path, _ in got} == {"/v1/traces"}
    assert b"POST /v1/chat/completions" in sent
    assert b"tokenhub-gateway" in sent
    assert secret.encode() not in sent


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_trace_has_each_attempt_and_the_settlement_below_its_request(
    gateway: Gateway, gateway_environ: dict[str, str], streamed: bool
) -> None:
    tenant = factories.organization(credit_nano=10**9)
    secret = factories.key(tenant).secret
    mark = marker()
    text = f"[[id={mark}]] Hello"
    first = gateway.chat(secret, text=text).headers["x-tokenhub-provider"]
    gateway.providers.fault(first, "http_error", status=500, contains=mark)
    spans: list[Any] = []
    with collector() as (host, got):
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        server = new_gateway(gateway_environ, **environ).start()
        try:
            other = Gateway(server.url, gateway.providers)
            answer = (
                other.stream(secret, text=text).response
                if streamed
                else other.chat(secret, text=text)
            )
            request = answer.headers["x-request-id"]
            eventually(lambda: any(request.encode() in body for _, body in got), what="the trace")
        finally:
            server.stop()
        for _, body in got:
            sent = ExportTraceServiceRequest.FromString(body)
            spans += [span for each in sent.resource_spans for scope in each.scope_spans for span in scope.spans]  # fmt: skip

    mine = [span for span in spans if attributes(span)["request_id"] == request]
    [whole] = [span for span in mine if not span.parent_span_id]
    parts = sorted(
        (span for span in mine if span.parent_span_id), key=lambda span: span.start_time_unix_nano
    )
    assert [span.name for span in parts] == ["attempt", "attempt", "settle"]
    assert {span.parent_span_id for span in parts} == {whole.span_id}
    assert {span.trace_id for span in mine} == {whole.trace_id}
    assert {attributes(span)["organization"] for span in mine} == {tenant.id}
    failed, answered, settled = parts
    assert (attributes(failed)["provider"], failed.status.code) == (first, ERROR)
    assert attributes(failed)["http.response.status_code"] == 500
    assert attributes(answered)["provider"] == answer.headers["x-tokenhub-provider"] != first
    assert (attributes(answered)["outcome"], answered.status.code) == ("succeeded", 0)
    assert float(attributes(settled)["total_usd"]) > 0
    for span in parts:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
    assert failed.end_time_unix_nano <= answered.start_time_unix_nano


@pytest.mark.parametrize("part", ["data", "cookies", "headers", "env", "query_string"])
def test_what_sentry_would_keep_of_a_request_is_taken_out(part: str) -> None:
    event = {
        "request": {"url": f"https://x.example/a?key={CANARY}", part: {"x": CANARY}},
        "extra": {"secret": "y"},
    }

    assert tracing.scrub(event) == {
        "request": {"url": "https://x.example/a"},
        "extra": {"secret": GONE},
    }
