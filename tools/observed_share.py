"""Whether the requests followed the weights, from what each version's counters gained since.

Istio stores a route at once and its proxies follow some seconds later, or never: a selector that
matches nothing, a proxy that lost its control plane. Only the counted share tells.
"""

from __future__ import annotations

from collections.abc import Callable

from scipy import stats

from tools.metrics import Metrics, NoReading, Reading
from tools.traffic_split import TrafficSplit

ENOUGH = 60
"""Requests in a stretch before its share is compared with the weights."""
ALPHA = 1e-4
"""Chance per stretch to call a share wrong that followed; a stretch called wrong is only waited
out, so a false alarm costs seconds."""
QUIET_S = 30.0
"""Without one request for so long there is nothing to move: the stored weights have to do."""


class ObservedShare:
    """Compares stretch after stretch of a target's requests with the weights that were stored."""

    def __init__(self, metrics: Metrics, monotonic_s: Callable[[], float]) -> None:
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._since: dict[str, tuple[str, Reading]] = {}

    def follows(self, target: str, revision: str, split: TrafficSplit) -> bool | None:
        """True: the newest stretch has the shares of ``split``; False: it has others; None: too few
        requests yet, or no reading. Ask again and again: the first call begins the stretch."""
        now = self._metrics.read(target)
        if isinstance(now, NoReading):
            return None
        known = self._since.get(target)
        if known is None or known[0] != revision or known[1].epoch != now.epoch:
            self._since[target] = (revision, now)
            return None
        gained = _gained(known[1], now)
        if split.mirror is not None and not split.share(split.mirror.version):
            gained.pop(split.mirror.version, None)  # servers count copies as requests
        total = sum(gained.values())
        if total < ENOUGH:
            is_quiet = total == 0 and now.at_s - known[1].at_s >= QUIET_S
            return True if is_quiet else None
        if _agrees(gained, split):
            return True
        self._since[target] = (revision, now)  # the proxies may have followed in its midst
        return False


def _gained(before: Reading, now: Reading) -> dict[str, int]:
    was = {counters.version: counters.requests for counters in before.versions}
    return {c.version: max(0, c.requests - was.get(c.version, 0)) for c in now.versions}


def _agrees(gained: dict[str, int], split: TrafficSplit) -> bool:
    """Every version's count against its weight, exactly; one without weight must have none."""
    total = sum(gained.values())
    tested = [version for version in gained if 0 < split.share(version) < 100]
    if any(gained[version] for version in gained if not split.share(version)):
        return False
    return all(
        stats.binomtest(gained[v], total, split.share(v) / 100).pvalue >= ALPHA / len(tested)
        for v in tested
    )
