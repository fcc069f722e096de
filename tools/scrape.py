"""Adapter of the Metrics port on one machine: counters from Envoy's admin interface.

Envoy records the duration of every answered request twice: in the histogram ``answered`` and, when
the answer was a failure (5xx, reset, refused connection, time-out), also in ``failed`` (see
``tools/envoy_bootstrap.py``). Requests, errors and slow answers are read off these two, which
Envoy merges once a second and together, so that one reading is consistent: slow are the answers
past the objective in ``answered`` less those in ``failed``. Answers without a prediction (3xx,
4xx) have a histogram of their own, ``refused``. A client that left before its answer
is no request. Copies of requests (mirrors) are read off the statistics of their own clusters; a
copy that both failed and was slow counts as both there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping

from prometheus_client.parser import text_string_to_metric_families

from tools.envoy_admin import EnvoyAdmin
from tools.envoy_bootstrap import ANSWERED, EPOCH_TAG, FAILED, REFUSED, STAT_PREFIX
from tools.envoy_config import MIRROR_SUFFIX, version_of
from tools.errors import Unavailable
from tools.metrics import NoReading, Reading, VersionCounters

_PATTERN = (
    rf"^({STAT_PREFIX}\.({ANSWERED}|{FAILED}|{REFUSED})|cluster\..*\.(membership_total"
    r"|upstream_rq_completed|upstream_rq_5xx|upstream_rq_time))"
)
_ANSWERED = f"envoy_{STAT_PREFIX}_{ANSWERED}"
_FAILED = f"envoy_{STAT_PREFIX}_{FAILED}"
_REFUSED = f"envoy_{STAT_PREFIX}_{REFUSED}"
_MEMBERS = "envoy_cluster_membership_total"
# The parser gives counters the suffix _total that OpenMetrics asks for and Envoy leaves out.
_COPIES = "envoy_cluster_upstream_rq_completed_total"
_COPIES_BY_CLASS = "envoy_cluster_upstream_rq_xx_total"
_COPY_TIME = "envoy_cluster_upstream_rq_time"

_Samples = dict[tuple[str, str], dict[str, float]]
"""(metric, cluster) to ``value``, ``count`` or a histogram's ``le`` edge to number."""


class EnvoyMetrics:
    """Implements Metrics."""

    def __init__(
        self,
        admin: EnvoyAdmin,
        objective_ms: Mapping[str, float],
        *,
        monotonic_s: Callable[[], float],
    ) -> None:
        """``objective_ms``: latency objective of each target; one that is not among the edges that
        the platform was started with gives no reading."""
        self._admin = admin
        self._objective_ms = dict(objective_ms)
        self._monotonic_s = monotonic_s

    def read(self, target: str) -> Reading | NoReading:
        """See Metrics."""
        at_s = self._monotonic_s()
        if target not in self._objective_ms:
            return NoReading(at_s=at_s, reason=f"no latency objective is known for {target}")
        try:
            text = self._admin.metrics(_PATTERN)
            return _reading(text, target, self._objective_ms[target], at_s)
        except (Unavailable, ValueError) as error:
            return NoReading(at_s=at_s, reason=f"no reading of {target}: {error}")


def _reading(text: str, target: str, objective_ms: float, at_s: float) -> Reading:
    """Raises ValueError, saying what is odd, when the answer cannot be trusted."""
    epochs, samples = _parse(text)
    if len(epochs) != 1:
        raise ValueError(f"expected metrics of one run of Envoy, got epochs {sorted(epochs)}")
    names = {cluster for metric, cluster in samples if metric == _MEMBERS}
    names |= {cluster for metric, cluster in samples if metric == _ANSWERED}
    found = {name: version_of(name.removesuffix(MIRROR_SUFFIX)) for name in names}
    ours = {name: version[1] for name, version in found.items() if version and version[0] == target}
    live = {version: name for name, version in ours.items() if not name.endswith(MIRROR_SUFFIX)}
    copies = {
        version: name
        for name, version in ours.items()
        if name.endswith(MIRROR_SUFFIX) and samples.get((_COPIES, name), {}).get("value")
    }
    return Reading(
        at_s=at_s,
        epoch=epochs.pop(),
        versions=tuple(_live(samples, live[v], v, objective_ms) for v in sorted(live)),
        mirrored=tuple(_copied(samples, copies[v], v, objective_ms) for v in sorted(copies)),
    )


def _live(samples: _Samples, cluster: str, version: str, objective_ms: float) -> VersionCounters:
    answered = samples.get((_ANSWERED, cluster), {})
    failed = samples.get((_FAILED, cluster), {})
    slow = _above(answered, objective_ms) - _above(failed, objective_ms)
    refused = samples.get((_REFUSED, cluster), {}).get("count", 0.0)
    return _counters(version, answered.get("count", 0.0), failed.get("count", 0.0), slow, refused)


def _copied(samples: _Samples, cluster: str, version: str, objective_ms: float) -> VersionCounters:
    completed = samples[(_COPIES, cluster)]["value"]
    errors = samples.get((_COPIES_BY_CLASS, cluster), {}).get("value", 0.0)
    slow = _above(samples.get((_COPY_TIME, cluster), {}), objective_ms)
    return _counters(version, completed, errors, slow)


def _counters(
    version: str, requests: float, errors: float, slow: float, missing: float = 0.0
) -> VersionCounters:
    counts = (requests, errors, slow, missing)
    if not all(math.isfinite(count) and count >= 0 for count in counts):
        raise ValueError(f"v{version} has impossible counters {counts}")
    return VersionCounters(
        version=version,
        requests=round(requests),
        errors=round(errors),
        slow=round(slow),
        missing=round(missing),
    )


def _above(histogram: Mapping[str, float], edge_ms: float) -> float:
    if not histogram:
        return 0.0
    for edge, count in histogram.items():
        if edge != "count" and float(edge) == edge_ms:
            return histogram["count"] - count
    raise ValueError(
        f"the latency objective {edge_ms:g} ms is not among the edges that Envoy counts at; start "
        "the platform with it"
    )


def _parse(text: str) -> tuple[set[str], _Samples]:
    epochs: set[str] = set()
    samples: _Samples = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            cluster = labels.get("cluster") or labels.get("envoy_cluster_name")
            # Requests of 1xx to 4xx have their own samples; only failures are of interest.
            is_wanted = labels.get("envoy_response_code_class", "5") == "5"
            if not cluster or not is_wanted or sample.name.endswith("_sum"):
                continue
            epochs.update({labels[EPOCH_TAG]} if EPOCH_TAG in labels else ())
            metric, key = _place(sample.name, labels.get("le"))
            samples[(metric, cluster)][key] = sample.value
    return epochs, samples


def _place(name: str, edge: str | None) -> tuple[str, str]:
    if edge is not None:
        return name.removesuffix("_bucket"), edge
    if name.endswith("_count"):
        return name.removesuffix("_count"), "count"
    return name, "value"
