"""Adapter of the Metrics port for Istio's standard metrics in Prometheus.

The port wants counts that only grow. Series of single pods start anew with their pod, so each
series is added up by itself here, and a reader that starts anew has a new epoch: nobody subtracts
across what it did not see. Everything of one reading is evaluated at one moment, and answered by
one query, so that requests, failures and slow answers belong together; a fleet is one query too.
Source of names and labels: https://istio.io/latest/docs/reference/config/metrics/
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from tools.errors import Invalid, MendloopError
from tools.metrics import NoReading, Reading, VersionCounters
from tools.prometheus_query import REQUESTS, Answered, question
from tools.prometheus_query import Watched as Watched

ISTIO_EDGES_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
"""Where Istio's histogram counts unless told otherwise."""
_TIMEOUT_S = 5.0
_CALLERS, _SERVERS = "source", "destination"
"""Whose proxies counted, in Istio's label ``reporter``."""


class PrometheusMetrics:
    """Implements FleetMetrics."""

    def __init__(
        self,
        url: str,
        watched: Mapping[str, Watched],
        *,
        monotonic_s: Callable[[], float],
        versions: Callable[[str], Sequence[str]] = lambda target: (),
        reporter: str = "source",
        token: Callable[[], str] | None = None,
        stale_after_s: float = 90.0,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """``versions``: those that have a route or a server, listed though nobody called them yet.

        ``token``: bearer token, asked for before every query, because tokens are renewed.
        ``reporter``: ``source`` counts what callers met (also refused connections), ``destination``
        what servers saw, for callers without a proxy. ``stale_after_s``: older samples are no
        reading. Raises Invalid for an objective at which nothing can be counted.
        """
        self._connection = _connect(url, token)
        self._watched: dict[str, Watched] = {}
        self._monotonic_s = monotonic_s
        self._versions = versions
        self._reporter = reporter
        self._stale_after_s = stale_after_s
        self._timeout_s = timeout_s
        self._epochs: dict[str, str] = {}
        self._totals: dict[str, _Totals] = defaultdict(_Totals)
        self._copies: dict[str, _Totals] = defaultdict(_Totals)
        for target, each in watched.items():
            self.watch(target, each)

    def watch(self, target: str, watched: Watched) -> None:
        """One more, or another description of one: then its counts begin anew.

        Raises Invalid for an objective at which nothing can be counted.
        """
        if watched.objective_ms not in ISTIO_EDGES_MS:
            raise Invalid(
                f"{target}: Istio does not count at {watched.objective_ms:g} ms; choose one of "
                f"{', '.join(f'{edge:g}' for edge in ISTIO_EDGES_MS)} ms",
                field="spec.serving.latencyObjective",
            )
        if self._watched.get(target) != watched:
            self._totals.pop(target, None)
            self._copies.pop(target, None)
            self._epochs[target] = uuid.uuid4().hex[:12]
        self._watched[target] = watched

    def read(self, target: str) -> Reading | NoReading:
        """See Metrics."""
        return self.read_many([target])[target]

    def read_many(self, targets: Collection[str]) -> Mapping[str, Reading | NoReading]:
        """See FleetMetrics. Copies are asked for with a question of their own, a moment later."""
        at_s = self._monotonic_s()
        watched = [self._watched[target] for target in targets if target in self._watched]
        told = self._ask(watched, self._reporter)
        copied = [each for each in watched if each.has_copies and self._reporter == _CALLERS]
        seen = self._ask(copied, _SERVERS) if copied else told
        return {target: self._read(target, at_s, told, seen) for target in targets}

    def _ask(self, watched: Sequence[Watched], reporter: str) -> Answered | str:
        """What Prometheus says of these, or why it says nothing."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests.exceptions import RequestException

        if not watched:
            return "nobody is watched"
        try:
            return Answered(self._query(question(watched, reporter)))
        except (
            RequestException,
            PrometheusApiClientException,
            MendloopError,
            ValueError,
            LookupError,
            TypeError,
        ) as error:
            return str(error)

    def _read(
        self, target: str, at_s: float, told: Answered | str, seen: Answered | str
    ) -> Reading | NoReading:
        watched = self._watched.get(target)
        if watched is None:
            return NoReading(at_s=at_s, reason=f"nobody said how Istio labels {target}")
        try:
            if isinstance(told, str):
                raise ValueError(told)
            self._must_be_fresh(told.age_s(watched))
            counts = self._totals[target].after(told.series(watched))
            listed = sorted({*counts, *self._versions(target)})
            copied = self._copied(target, watched, seen, answered=counts)
        except (ValueError, LookupError, TypeError, MendloopError) as error:
            return NoReading(at_s=at_s, reason=f"no reading of {target}: {error}")
        return Reading(
            at_s=at_s,
            epoch=self._epochs[target],
            versions=tuple(
                counts.get(v, VersionCounters(version=v, requests=0, errors=0, slow=0))
                for v in listed
            ),
            mirrored=copied,
        )

    def _copied(
        self,
        target: str,
        watched: Watched,
        seen: Answered | str,
        *,
        answered: Mapping[str, VersionCounters],
    ) -> tuple[VersionCounters, ...]:
        """What servers got that no caller was answered by: all that a version without a share got.

        Raises ValueError when that is not known: a copy forgotten would be counted twice.
        """
        if not watched.has_copies or self._reporter != _CALLERS:
            return ()
        if isinstance(seen, str):
            raise ValueError(f"nothing tells of copies: {seen}")
        counts = self._copies[target].after(seen.series(watched))
        called = {version for version, each in answered.items() if each.requests}
        return tuple(counts[v] for v in sorted(counts) if v not in called and counts[v].requests)

    def _query(self, query: str) -> Any:
        return self._connection.custom_query(query, timeout=self._timeout_s)

    def _must_be_fresh(self, age_s: float | None) -> None:
        """Silence is not "no requests": a proxy that nobody scrapes looks the same."""
        if age_s is None:
            raise ValueError("Prometheus has no sample of it; are Istio's proxies scraped?")
        if age_s > self._stale_after_s:
            raise ValueError(f"the newest sample is {age_s:.0f} s old")


class _Totals:
    """Counts of one target, over the lives of all its pods."""

    def __init__(self) -> None:
        self._last: dict[bytes, float] = {}
        self._sums: dict[tuple[str, str], float] = defaultdict(float)

    def after(self, series: list[Any]) -> dict[str, VersionCounters]:
        """The counters once these samples are added. Raises ValueError for impossible ones."""
        samples = [(each["metric"], float(each["value"][1])) for each in series]
        if any(not math.isfinite(value) or value < 0 for _, value in samples):
            raise ValueError("a counter is not a finite number")
        for labels, value in samples:
            key = _series_key(labels)
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


def _series_key(labels: Mapping[str, str]) -> bytes:
    """A series among all others, small: a fleet has tens of thousands, with two dozen labels."""
    return blake2b(repr(sorted(labels.items())).encode(), digest_size=16).digest()


def _meanings(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Which counts a series belongs to; failures are never slow."""
    code = labels.get("response_code", "")
    is_error = code.startswith("5") or code == "0"
    if labels["__name__"] == REQUESTS:
        if is_error:
            return ("requests", "errors")
        return ("requests", "missing") if code.startswith(("3", "4")) else ("requests",)
    if is_error:
        return ()
    return ("answered",) if labels["__name__"].endswith("_count") else ("in_time",)


def _connect(url: str, token: Callable[[], str] | None) -> Any:
    """A client that neither retries (a tick may not hang) nor takes half an answer for a whole."""
    from prometheus_api_client import PrometheusConnect
    from requests import PreparedRequest, Response, Session
    from urllib3.util.retry import Retry

    def refuse_partial(response: Response, *_: Any, **__: Any) -> None:
        if not response.ok:
            return
        content = response.json()
        if not _is_an_answer(content):
            raise ValueError("the answer is not what Prometheus gives")
        if content.get("warnings"):
            raise ValueError(f"a partial answer: {'; '.join(map(str, content['warnings']))}")

    def sign(request: PreparedRequest) -> PreparedRequest:
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token()}"
        return request

    session = Session()
    session.trust_env = False
    session.auth = sign
    session.hooks["response"].append(refuse_partial)
    return PrometheusConnect(url=url.rstrip("/"), session=session, retry=Retry(total=0))


def _is_an_answer(content: Any) -> bool:
    data = content.get("data") if isinstance(content, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(result, list):
        return False
    return data.get("resultType") != "vector" or all(
        isinstance(each, dict) and isinstance(each.get("metric"), dict) for each in result
    )
