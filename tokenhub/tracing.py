"""Errors to Sentry and traces by OTLP, where their variables are set; else nothing of either is imported."""

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.conf import settings

from tokenhub.redact import clean

_tracer: Any = None
_kept: dict[str, Any] = {}


class _Part(NamedTuple):
    name: str
    began_s: float
    ended_s: float
    failed: bool
    attributes: Mapping[str, Any]


# What the request at hand has been through so far. Tasks that it starts write into the same list.
_parts: ContextVar["list[_Part] | None"] = ContextVar("parts", default=None)


def start(role: str) -> None:
    """Begin to report, once in each process; ``role`` is ``web``, ``gateway``, ``all`` or ``worker``."""
    if settings.SENTRY_DSN:
        _start_sentry(role)
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        _start_otel(role)


def stop() -> None:
    """Send what is waiting."""
    if "provider" in _kept:
        _kept["provider"].shutdown()


def is_on() -> bool:
    """Whether spans go anywhere: asked before a span's attributes are put together."""
    return _tracer is not None


def begin() -> None:
    """A request begins: what ``part`` tells from here on, in its task and those it starts, is of its span."""
    if _tracer is not None:
        _parts.set([])


def part(name: str, began_s: float, attributes: Mapping[str, Any], *, failed: bool = False) -> None:
    """A part of the request at hand has just ended, begun at a monotonic time: a span below the request's."""
    parts = _parts.get()
    if parts is not None:
        parts.append(_Part(name, began_s, time.monotonic(), failed, attributes))


def record(name: str, took_s: float, attributes: Mapping[str, Any]) -> None:
    """A span that has just ended, with its parts below it, without anything that looks like a credential."""
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

    # Everything is timed by the clock that does not jump; one reading of the other says where that is.
    now_s, now_ns = time.monotonic(), time.time_ns()

    def at_ns(moment_s: float) -> int:
        return now_ns - int((now_s - moment_s) * 1e9)

    whole = _tracer.start_span(name, kind=SpanKind.SERVER, start_time=at_ns(now_s - took_s))
    _tell(whole, attributes)
    parts, below = _parts.get() or (), set_span_in_context(whole)
    shared = {key: attributes[key] for key in ("request_id", "organization") if key in attributes}
    for found in parts:
        span = _tracer.start_span(
            found.name, below, SpanKind.CLIENT, start_time=at_ns(found.began_s)
        )
        _tell(span, {**shared, **found.attributes})
        if found.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=at_ns(found.ended_s))
    whole.end(end_time=now_ns)


def _tell(span: Any, attributes: Mapping[str, Any]) -> None:
    for key, value in clean(dict(attributes)).items():
        span.set_attribute(
            key, value if isinstance(value, str | int | float | bool) else str(value)
        )


def scrub(event: Any, _hint: Any = None) -> Any:
    """For Sentry: an event without credentials, bodies, cookies, headers or what variables held."""
    request = event.get("request")
    if isinstance(request, dict):
        for part in ("data", "cookies", "headers", "env", "query_string"):
            request.pop(part, None)
        request["url"] = str(request.get("url", "")).partition("?")[0]
    return clean(event, limit=12)


def _start_sentry(role: str) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.django import DjangoIntegration

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        integrations=[DjangoIntegration(), CeleryIntegration()],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=scrub,
        before_breadcrumb=scrub,
        traces_sample_rate=0,
    )
    sentry_sdk.set_tag("role", role)


def _start_otel(role: str) -> None:
    global _tracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"tokenhub-{role}", "process.pid": os.getpid()})
    provider = TracerProvider(resource=resource)
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    _kept["provider"] = provider
    _tracer = provider.get_tracer("tokenhub")
