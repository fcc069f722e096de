"""What Prometheus may know of one server; the names are listed in ``Instruments``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.log_writer import LogStatus

_LATENCY_BOUNDS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 10.0),
)
"""Dense around the usual latency objectives, so that counts of slow requests are close."""


class Instruments:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mendloop_serving_requests",
            "Requests answered, by endpoint and HTTP status",
            ["endpoint", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mendloop_serving_request_seconds",
            "Time from a request's first byte read to its answer",
            ["endpoint"],
            buckets=_LATENCY_BOUNDS_S,
            registry=self._registry,
        )
        self.predictions = Counter(
            "mendloop_serving_predictions", "Rows answered", registry=self._registry
        )
        self.copies = Counter(
            "mendloop_serving_copies_answered",
            "Rows of copied requests answered to nobody, as a shadow",
            registry=self._registry,
        )
        self.failures = Counter(
            "mendloop_serving_prediction_failures",
            "Requests that the model failed to answer",
            registry=self._registry,
        )

    def watch_log(self, status: Callable[[], LogStatus]) -> None:
        """Report the prediction log's counts, read when scraped."""
        self._registry.register(_LogCollector(status))

    def watch_info(self, info: Callable[[], dict[str, str]]) -> None:
        """Report what is served, read when scraped."""
        self._registry.register(_InfoCollector(info))

    def observe(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(endpoint, str(code)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _LogCollector(Collector):
    def __init__(self, status: Callable[[], LogStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        name = "mendloop_serving_log"
        yield GaugeMetricFamily(f"{name}_queue_rows", "Rows not on disk yet", value=status.queued)
        yield CounterMetricFamily(f"{name}_rows_written", "Rows on disk", value=status.written)
        yield CounterMetricFamily(f"{name}_rows_lost", "Rows dropped: full", value=status.lost)


class _InfoCollector(Collector):
    def __init__(self, info: Callable[[], dict[str, str]]) -> None:
        self._info = info

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("mendloop_serving", "What is served", value=self._info())
