"""Adapter of the Metrics port for Istio's standard metrics in Prometheus.

The port wants counts that only grow. Series of single pods start anew with their pod, so each
series is added up by itself here, and a reader that starts anew has a new epoch: nobody subtracts
across what it did not see. Everything of one reading is evaluated at one moment, and answered by
one query, so that requests, failures and slow answers belong together.
Source of names and labels: https://istio.io/latest/docs/reference/config/metrics/
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.errors import Invalid
from tools.metrics import NoReading, Reading, VersionCounters
from tools.values import Value

_REQUESTS = "istio_requests_total"
_DURATION = "istio_request_duration_milliseconds"
ISTIO_EDGES_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
"""Where Istio's histogram counts unless told otherwise."""
_TIMEOUT_S = 5.0
_SeriesKey = tuple[tuple[str, str], ...]


class Watched(Value):
    """What to look for: one target as Istio's proxies label it."""

    namespace: str
    service: str
    """``destination_service_name``: the host of the routes, without its domain."""
    objective_ms: float
    """Must be an edge of the histogram: slow answers are counted, not estimated."""


class PrometheusMetrics:
    """Implements Metrics."""

    def __init__(
        self,
        url: str,
        watched: Mapping[str, Watched],
        *,
        monotonic_s: Callable[[], float],
        versions: Callable[[str], Sequence[str]] = lambda target: (),
        reporter: str = "source",
        headers: Mapping[str, str] | None = None,
        stale_after_s: float = 90.0,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """``versions``: those that have a route or a server, listed though nobody called them yet.

        ``reporter``: ``source`` counts what callers met (also refused connections), ``destination``
        what servers saw, for callers without a proxy. ``stale_after_s``: older samples are no
        reading. Raises Invalid for an objective at which nothing can be counted.
        """
        for target, each in watched.items():
            if each.objective_ms not in ISTIO_EDGES_MS:
                raise Invalid(
                    f"{target}: Istio does not count at {each.objective_ms:g} ms; choose one of "
                    f"{', '.join(f'{edge:g}' for edge in ISTIO_EDGES_MS)} ms",
                    field="spec.serving.latencyObjective",
                )
        self._connection = _connect(url, dict(headers or {}))
        self._watched = dict(watched)
        self._monotonic_s = monotonic_s
        self._versions = versions
        self._reporter = reporter
        self._stale_after_s = stale_after_s
        self._timeout_s = timeout_s
        self._epoch = uuid.uuid4().hex[:12]
        self._totals: dict[str, _Totals] = defaultdict(_Totals)

    def read(self, target: str) -> Reading | NoReading:
        """See Metrics."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests.exceptions import RequestException

        at_s = self._monotonic_s()
        watched = self._watched.get(target)
        if watched is None:
            return NoReading(at_s=at_s, reason=f"nobody said how Istio labels {target}")
        try:
            now = float(self._query("time()")[1])
            series = self._query(_selection(watched, self._reporter), at=now)
            aged = self._query(f"max(timestamp({_requests(watched, self._reporter)}))", at=now)
            self._must_be_fresh(now, aged)
            counts = self._totals[target].after(series)
        except (RequestException, PrometheusApiClientException, ValueError, KeyError) as error:
            return NoReading(at_s=at_s, reason=f"no reading of {target}: {error}")
        listed = sorted({*counts, *self._versions(target)})
        return Reading(
            at_s=at_s,
            epoch=self._epoch,
            versions=tuple(
                counts.get(v, VersionCounters(version=v, requests=0, errors=0, slow=0))
                for v in listed
            ),
        )

    def _query(self, query: str, *, at: float | None = None) -> Any:
        params = {} if at is None else {"time": str(at)}
        return self._connection.custom_query(query, params=params, timeout=self._timeout_s)

    def _must_be_fresh(self, now: float, aged: list[Any]) -> None:
        """Silence is not "no requests": a proxy that nobody scrapes looks the same."""
        if not aged:
            raise ValueError("Prometheus has no sample of it; are Istio's proxies scraped?")
        age_s = now - float(aged[0]["value"][1])
        if age_s > self._stale_after_s:
            raise ValueError(f"the newest sample is {age_s:.0f} s old")


class _Totals:
    """Counts of one target, over the lives of all its pods."""

    def __init__(self) -> None:
        self._last: dict[_SeriesKey, float] = {}
        self._sums: dict[tuple[str, str], float] = defaultdict(float)

    def after(self, series: list[Any]) -> dict[str, VersionCounters]:
        """The counters once these samples are added. Raises ValueError for impossible ones."""
        samples = [(each["metric"], float(each["value"][1])) for each in series]
        if any(not math.isfinite(value) or value < 0 for _, value in samples):
            raise ValueError("a counter is not a finite number")
        for labels, value in samples:
            key = tuple(sorted(labels.items()))
            before = self._last.get(key, 0.0)
            self._last[key] = value
            gained = value - before if value >= before else value  # its pod started anew
            version = labels["destination_version"].removeprefix("v")
            for what in _meanings(labels):
                self._sums[(version, what)] += gained
        versions = {version for version, _ in self._sums}
        return {version: self._counters(version) for version in versions}

    def _counters(self, version: str) -> VersionCounters:
        requests, errors, missing = (
            round(self._sums[(version, what)]) for what in ("requests", "errors", "missing")
        )
        slow = self._sums[(version, "answered")] - self._sums[(version, "in_time")]
        return VersionCounters(
            version=version,
            requests=requests,
            errors=errors,
            slow=max(0, round(slow)),
            missing=missing,
        )


def _meanings(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Which counts a series belongs to; failures are never slow."""
    code = labels.get("response_code", "")
    is_error = code.startswith("5") or code == "0"
    if labels["__name__"] == _REQUESTS:
        if is_error:
            return ("requests", "errors")
        return ("requests", "missing") if code.startswith(("3", "4")) else ("requests",)
    if is_error:
        return ()
    return ("answered",) if labels["__name__"].endswith("_count") else ("in_time",)


def _matchers(watched: Watched, reporter: str) -> str:
    wanted = {
        "reporter": reporter,
        "destination_service_name": watched.service,
        "destination_service_namespace": watched.namespace,
    }
    return ",".join(f'{name}="{value}"' for name, value in wanted.items())


def _requests(watched: Watched, reporter: str) -> str:
    return f"{_REQUESTS}{{{_matchers(watched, reporter)}}}"


def _selection(watched: Watched, reporter: str) -> str:
    names = f"{_REQUESTS}|{_DURATION}_count|{_DURATION}_bucket"
    edge = f"{watched.objective_ms:g}"
    return (
        f'{{__name__=~"{names}",le=~"|{edge}|{edge}[.]0",destination_version!="",'
        f"{_matchers(watched, reporter)}}}"
    )


def _connect(url: str, headers: dict[str, str]) -> Any:
    """A client that neither retries (a tick may not hang) nor takes half an answer for a whole."""
    from prometheus_api_client import PrometheusConnect
    from requests import Response, Session
    from urllib3.util.retry import Retry

    def refuse_partial(response: Response, *_: Any, **__: Any) -> None:
        if response.ok and response.json().get("warnings"):
            raise ValueError(f"a partial answer: {'; '.join(response.json()['warnings'])}")

    session = Session()
    session.trust_env = False
    session.hooks["response"].append(refuse_partial)
    return PrometheusConnect(
        url=url.rstrip("/"), headers=headers, session=session, retry=Retry(total=0)
    )
