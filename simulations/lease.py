"""Leases in memory that run out in virtual time, as those of a cluster do."""

from __future__ import annotations

from collections.abc import Collection

from tools.clock import Clock
from tools.errors import Invalid
from tools.lease import Lease


class MemoryLeases:
    """Implements SharedLeases for all controllers of one simulated world; share one object."""

    def __init__(self, clock: Clock, *, ttl_s: float = 15.0) -> None:
        """``ttl_s``: a holder that does not acquire again within it has lost the lease."""
        self._clock = clock
        self._ttl_s = ttl_s
        self._current: dict[str, Lease] = {}
        self._expires_s: dict[str, float] = {}
        self._last_token: dict[str, int] = {}
        self._newest: dict[str, Lease] = {}
        self._alive_until_s: dict[str, float] = {}

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases."""
        if not target:
            raise Invalid("expected namespace/name, got nothing", field="target")
        current = self._in_force(target)
        if current is not None and current.holder != holder:
            return None
        lease = current or Lease(
            target=target, holder=holder, token=self._last_token.get(target, 0) + 1
        )
        self._current[target] = self._newest[target] = lease
        self._last_token[target] = lease.token
        self._expires_s[target] = self._clock.monotonic_s() + self._ttl_s
        return lease

    def acquire_many(self, targets: Collection[str], holder: str) -> dict[str, Lease]:
        """See SharedLeases."""
        taken = {target: self.acquire(target, holder) for target in targets}
        return {target: lease for target, lease in taken.items() if lease is not None}

    def is_held(self, lease: Lease) -> bool:
        """See Leases."""
        return self._in_force(lease.target) == lease

    def release(self, lease: Lease) -> None:
        """See Leases."""
        if self._in_force(lease.target) == lease:
            del self._current[lease.target]

    def replicas(self, holder: str) -> frozenset[str]:
        """See SharedLeases."""
        now_s = self._clock.monotonic_s()
        self._alive_until_s[holder] = now_s + self._ttl_s
        return frozenset(name for name, until_s in self._alive_until_s.items() if now_s < until_s)

    def leave(self, holder: str) -> None:
        """See SharedLeases."""
        self.expire(holder)

    def expire(self, holder: str) -> None:
        """The holder is dead, and the time that its leases had left has passed."""
        self._alive_until_s.pop(holder, None)
        for target in [t for t, lease in self._current.items() if lease.holder == holder]:
            del self._current[target]

    def newest(self, target: str) -> Lease | None:
        """Whoever got the target last, in force or not; None: nobody yet."""
        return self._newest.get(target)

    def _in_force(self, target: str) -> Lease | None:
        if self._clock.monotonic_s() >= self._expires_s.get(target, 0.0):
            return None
        return self._current.get(target)
