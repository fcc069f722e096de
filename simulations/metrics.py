"""Counters of a simulated world: it counts what it answered, mendloop reads."""

from __future__ import annotations

from collections import defaultdict

from simulations.faults import Fault, exposed, no_fault
from tools.clock import Clock
from tools.errors import Unavailable
from tools.metrics import NoReading, Reading, VersionCounters


class MemoryMetrics:
    """Implements Metrics; the world calls ``count``."""

    def __init__(self, clock: Clock, *, fault: Fault = no_fault) -> None:
        self.dark = ""
        """Why nothing can be read; empty while it can."""
        self._clock = clock
        self._fault = fault
        self._epoch = 0
        self._counts: dict[tuple[str, bool], dict[str, VersionCounters]] = defaultdict(dict)

    def read(self, target: str) -> Reading | NoReading:
        """See Metrics."""
        at_s = self._clock.monotonic_s()
        try:
            with exposed(self._fault, "metrics.read"):
                if self.dark:
                    raise Unavailable(self.dark)
                return Reading(
                    at_s=at_s,
                    versions=self._of(target, mirrored=False),
                    epoch=f"epoch-{self._epoch}",
                    mirrored=self._of(target, mirrored=True),
                )
        except Unavailable as error:
            return NoReading(at_s=at_s, reason=str(error))

    def count(
        self,
        target: str,
        version: str,
        requests: int,
        *,
        errors: int = 0,
        slow: int = 0,
        missing: int = 0,
        mirrored: bool = False,
    ) -> None:
        """Add to a version's counters; 0 requests make it known."""
        if min(requests, errors, slow, missing) < 0 or errors + max(slow, missing) > requests:
            raise ValueError(
                f"{errors} errors, {slow} slow, {missing} missing do not fit {requests} requests"
            )
        counts = self._counts[(target, mirrored)]
        old = counts.get(version, VersionCounters(version=version, requests=0, errors=0, slow=0))
        counts[version] = VersionCounters(
            version=version,
            requests=old.requests + requests,
            errors=old.errors + errors,
            slow=old.slow + slow,
            missing=old.missing + missing,
        )

    def start_anew(self) -> None:
        """The data plane restarted: every counter is 0 again, in a new epoch."""
        self._epoch += 1
        self._counts.clear()

    def _of(self, target: str, *, mirrored: bool) -> tuple[VersionCounters, ...]:
        counts = self._counts[(target, mirrored)]
        return tuple(counts[version] for version in sorted(counts))
