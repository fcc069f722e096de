"""Port: cumulative counters of what each version of a target answered.

Counts, not ratios: the statistics work on differences of two readings. A reading that cannot be
had, is stale, NaN or from a restarted counter is a value (``NoReading``), never a zero.
Adapters: ``tools/scrape.py`` (``/metrics`` of the data plane and of the servers), later Prometheus.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from tools.values import Value


class VersionCounters(Value):
    """Counters of one version since its server started, as the *client side* of it saw them."""

    version: str
    requests: int
    """Answered or failed requests that the data plane sent to this version."""
    errors: int
    """Of these: 5xx, resets, refused connections, time-outs."""
    slow: int
    """Of these: slower than the target's latency objective (errors are not counted here)."""
    missing: int = 0
    """Of these: answered, but without a prediction (3xx and 4xx): refused inputs, a path or a
    schema that this version does not know. Callers' own mistakes meet every version alike."""


class Reading(Value):
    """One consistent look at every version's counters."""

    at_s: float
    """Monotonic seconds of the reader's clock."""
    versions: tuple[VersionCounters, ...]
    epoch: str
    """Changes when the counters started anew: differences across epochs are unknown."""
    mirrored: tuple[VersionCounters, ...] = ()
    """Copies of requests that versions got as a shadow; never part of ``versions``. Counters that
    shrink started anew, because the version was gone meanwhile."""


class NoReading(Value):
    """Why there is no reading: unknown, neither good nor bad."""

    at_s: float
    reason: str


class Metrics(Protocol):
    """Reads the counters of a target."""

    def read(self, target: str) -> Reading | NoReading:
        """Counters of every version that has a route or a server. Never raises Unavailable."""


@runtime_checkable
class FleetMetrics(Metrics, Protocol):
    """Metrics that tell the counters of many targets with one question."""

    def read_many(self, targets: Collection[str]) -> Mapping[str, Reading | NoReading]:
        """Of each what ``read`` would say, all of one moment."""
