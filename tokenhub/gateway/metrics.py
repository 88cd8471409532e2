"""What a gateway process measures, for Prometheus: counted where it happens, read where it is kept."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenhub.metrics import REGISTRY

if TYPE_CHECKING:
    from tokenhub.gateway.runtime import Runtime

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Tally:
    """A histogram whose observation is a look-up and two additions; added up when it is read."""

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        self._name, self._words, self._bounds = name, words, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> Metric:
        """What was observed so far."""
        counted = accumulate(self._counts)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, counted, strict=True))
        return HistogramMetricFamily(self._name, self._words, buckets=buckets, sum_value=self._sum)


DURATION = Tally(
    "tokenhub_gateway_request_seconds",
    "From a request's headers to the last byte of its answer.", SECONDS,
)  # fmt: skip
FIRST_TOKEN = Tally(
    "tokenhub_gateway_first_token_seconds", "From a request's headers to its first content.", SECONDS
)  # fmt: skip
GROUP_RESULTS = Tally(
    "tokenhub_gateway_group_results", "Results that shared one transaction.",
    (1, 2, 5, 10, 20, 50, 100, 200, 400),
)  # fmt: skip
GROUP_SECONDS = Tally(
    "tokenhub_gateway_group_seconds", "From the oldest result of a group until it is durable.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)  # fmt: skip

_requests: defaultdict[tuple[int, str], int] = defaultdict(int)
_attempts: defaultdict[tuple[str, str], int] = defaultdict(int)


def answered(status: int, code: str, duration_s: float) -> None:
    """A request came to its end; ``code`` is the error's, empty for none."""
    _requests[status, code] += 1
    DURATION.observe(duration_s)


def attempted(provider: str, outcome: str) -> None:
    """An attempt at a provider ended."""
    _attempts[provider, outcome] += 1


def first_token(after_ms: int) -> None:
    """The first content of a request arrived."""
    FIRST_TOKEN.observe(after_ms / 1000)


def group_written(results: int, oldest_s: float) -> None:
    """A group became durable, ``oldest_s`` after its first result was ready."""
    GROUP_RESULTS.observe(results)
    GROUP_SECONDS.observe(oldest_s)


class CallsCollector(Collector):
    """What was counted of calls, put into Prometheus' words when it is asked for: calls only count."""

    def collect(self) -> Iterator[Metric]:
        """The counters and histograms of this process."""
        requests = CounterMetricFamily(
            "tokenhub_gateway_requests", "Requests to /v1, by HTTP status and error code.",
            labels=["status", "code"],
        )  # fmt: skip
        for (status, code), count in list(_requests.items()):
            requests.add_metric([str(status), code], count)
        yield requests
        attempts = CounterMetricFamily(
            "tokenhub_gateway_attempts", "Attempts at providers, by how they ended.",
            labels=["provider", "outcome"],
        )  # fmt: skip
        for (provider, outcome), count in list(_attempts.items()):
            attempts.add_metric([provider, outcome], count)
        yield attempts
        for tally in (DURATION, FIRST_TOKEN, GROUP_RESULTS, GROUP_SECONDS):
            yield tally.family()


REGISTRY.register(CallsCollector())


class RuntimeCollector(Collector):
    """What a gateway keeps, read when it is asked for."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """The gauges of this process."""
        for name, words, value in self._runtime.gauges():
            yield GaugeMetricFamily(f"tokenhub_gateway_{name}", words, value=value)
        tiers = GaugeMetricFamily(
            "tokenhub_gateway_offerings", "Offerings that this process takes for degraded or down.",
            labels=["state"],
        )  # fmt: skip
        for state, count in self._runtime.troubled().items():
            tiers.add_metric([state], count)
        yield tiers
