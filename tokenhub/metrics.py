"""``/metrics`` for Prometheus: to this machine, or to who has the token; nobody else learns that it is there.

A gateway answers with what its process measures, a console with the platform as a whole: jobs, queues,
webhooks. That is read from PostgreSQL and Redis when it is asked for, so it is the same whichever process
answers and however many workers there are.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
LOOPBACK = frozenset({"127.0.0.1", "::1"})
# What a proxy adds: behind one, everybody comes from this machine.
_PROXIED = frozenset({b"x-forwarded-for", b"x-real-ip", b"forwarded", b"via"})
QUEUE = "celery"

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

WEB_REQUESTS = Counter(
    "tokenhub_web_requests", "Requests to pages and the REST API, by method and status.",
    ["method", "status"], registry=REGISTRY,
)  # fmt: skip
WEB_SECONDS = Histogram(
    "tokenhub_web_request_seconds", "From a request's headers to the beginning of its answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10), registry=REGISTRY,
)  # fmt: skip
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def may_read(client: str | None, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether who asks from ``client`` with these headers is shown the metrics."""
    given = dict(headers)
    token: str = settings.METRICS_TOKEN
    if token:
        wanted = f"Bearer {token}".encode()
        return hmac.compare_digest(given.get(b"authorization", b""), wanted)
    return client in LOOPBACK and not _PROXIED & given.keys()


async def exposition() -> bytes:
    """Everything that is registered, as text; off the event loop, since it asks the database."""
    return await asyncio.to_thread(_exposition)


def page_answered(method: str, status: int, seconds: float) -> None:
    """A page began to be answered."""
    WEB_REQUESTS.labels(method if method in _METHODS else "other", str(status)).inc()
    WEB_SECONDS.observe(seconds)


def _exposition() -> bytes:
    try:
        return generate_latest(REGISTRY)
    finally:
        connection.close()


class PlatformCollector(Collector):
    """Jobs, queues and what waits, from where they are kept."""

    def collect(self) -> Iterator[Metric]:
        """A handful of small queries; without the database, that it is away."""
        began_s = time.monotonic()
        try:
            families = [*_jobs(), *_backlog()]
            up = 1.0
        except DatabaseError as error:
            log.warning("metrics_without_database", cause=type(error).__name__)
            families, up = [], 0.0
        yield _gauge("database_up", "Whether PostgreSQL answers.", up)
        yield from families
        yield from _redis()
        yield _gauge("scrape_seconds", "How long this took.", time.monotonic() - began_s)


def _jobs() -> Iterator[Metric]:
    # Imported late: this module is loaded before the apps are.
    from tokenhub.operations.runs import jobs

    runs = CounterMetricFamily("tokenhub_job_runs", "Runs of a background job.", labels=["job"])
    failures = CounterMetricFamily("tokenhub_job_failures", "Of them, failed.", labels=["job"])
    last = GaugeMetricFamily(
        "tokenhub_job_last_success_timestamp_seconds", "When a job last succeeded.", labels=["job"]
    )
    took = GaugeMetricFamily("tokenhub_job_last_seconds", "How long it last took.", labels=["job"])
    well = GaugeMetricFamily(
        "tokenhub_job_ok", "1 where a job succeeds in time, 0 where it fails, is late or killed.", labels=["job"]
    )  # fmt: skip
    for job in jobs():
        well.add_metric([job.name], float(job.state in ("ok", "never")))
        if job.run is None:
            continue
        runs.add_metric([job.name], job.run.runs)
        failures.add_metric([job.name], job.run.failures)
        if job.run.succeeded_at is not None:
            last.add_metric([job.name], job.run.succeeded_at.timestamp())
        if job.run.duration_ms is not None:
            took.add_metric([job.name], job.run.duration_ms / 1000)
    return iter((runs, failures, last, took, well))


def _backlog() -> Iterator[Metric]:
    from tokenhub.operations.overview import waiting

    family = GaugeMetricFamily(
        "tokenhub_waiting", "What waits for an operator, by what it is; counted to 1,000.", labels=["what", "urgent"]
    )  # fmt: skip
    for each in waiting():
        family.add_metric([each.what, "yes" if each.urgent else "no"], each.count)
    yield family


def _redis() -> Iterator[Metric]:
    depth = 0
    try:
        if settings.REDIS_URL:
            with Redis.from_url(
                settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1
            ) as redis:
                depth = int(redis.llen(QUEUE))
        up = 1.0
    except (RedisError, OSError):
        up = 0.0
    yield _gauge("redis_up", "Whether Redis answers.", up)
    if up:
        yield _gauge("queue_jobs", "Background jobs that wait for a worker.", depth)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tokenhub_{name}", words, value=value)
