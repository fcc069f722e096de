"""What Prometheus is asked about Istio's standard metrics, and what its answer says of each target.

Every series of all targets and the time of each target's newest sample come with one query, of one
moment. Source of names and labels: https://istio.io/latest/docs/reference/config/metrics/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from tools.values import Value

REQUESTS = "istio_requests_total"
_DURATION = "istio_request_duration_milliseconds"
_NAMESPACE, _SERVICE = "destination_service_namespace", "destination_service_name"
_NEWEST = "mendloop_newest_sample"
"""Label that sets the times of the newest samples apart from the counters."""


class Watched(Value):
    """What to look for: one target as Istio's proxies label it."""

    namespace: str
    service: str
    """``destination_service_name``: the host of the routes, without its domain."""
    objective_ms: float
    """Must be an edge of the histogram: slow answers are counted, not estimated."""
    has_copies: bool = False
    """Whether requests may be copied to a version: callers' proxies do not count those."""


def question(watched: Collection[Watched], reporter: str) -> str:
    """PromQL for all of these; one is asked for by name, many by their namespaces."""
    matchers = f'reporter="{reporter}",' + _matcher(_NAMESPACE, {w.namespace for w in watched})
    if len(watched) == 1:
        matchers += "," + _matcher(_SERVICE, {w.service for w in watched})
    names = f"{REQUESTS}|{_DURATION}_count|{_DURATION}_bucket"
    edges = "|".join(sorted({f"{e}|{e}[.]0" for e in (f"{w.objective_ms:g}" for w in watched)}))
    counters = f'{{__name__=~"{names}",le=~"|{edges}",destination_version!="",{matchers}}}'
    newest = f"max by ({_NAMESPACE}, {_SERVICE}) (timestamp({REQUESTS}{{{matchers}}}))"
    return f'{counters} or label_replace({newest}, "{_NEWEST}", "1", "", "")'


class Answered:
    """One answer, sorted by target."""

    def __init__(self, found: list[Any]) -> None:
        """Raises KeyError or ValueError for what is no answer to ``question``."""
        self._series: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self._age_s: dict[tuple[str, str], float] = {}
        for each in found:
            labels, (now, value) = each["metric"], each["value"]
            place = (labels.get(_NAMESPACE, ""), labels.get(_SERVICE, ""))
            if _NEWEST in labels:
                self._age_s[place] = float(now) - float(value)
            else:
                self._series[place].append(each)

    def age_s(self, watched: Watched) -> float | None:
        """How old the newest sample is; None: there is none."""
        return self._age_s.get((watched.namespace, watched.service))

    def series(self, watched: Watched) -> list[Any]:
        """The target's counters; of the histogram, the bucket of its objective alone."""
        edge = f"{watched.objective_ms:g}"
        found = self._series.get((watched.namespace, watched.service), [])
        return [s for s in found if s["metric"].get("le", "") in ("", edge, f"{edge}.0")]


def _matcher(label: str, values: Collection[str]) -> str:
    if len(values) == 1:
        return f'{label}="{next(iter(values))}"'
    return f'{label}=~"{"|".join(sorted(values))}"'
