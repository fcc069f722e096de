"""Leases that fail when they are asked, as a cluster's may."""

from __future__ import annotations

from collections.abc import Collection

from simulations.faults import exposed
from simulations.fuzz.world import FuzzWorld
from tools.lease import Lease


class FaultyLeases:
    """The world's leases; asking for one, or whether it is held, may fail."""

    def __init__(self, world: FuzzWorld) -> None:
        self._world = world

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases."""
        with exposed(self._world.fault, "lease.acquire"):
            return self._world.leases.acquire(target, holder)

    def acquire_many(self, targets: Collection[str], holder: str) -> dict[str, Lease]:
        """See SharedLeases."""
        taken = {target: self.acquire(target, holder) for target in targets}
        return {target: lease for target, lease in taken.items() if lease is not None}

    def is_held(self, lease: Lease) -> bool:
        """See Leases."""
        with exposed(self._world.fault, "lease.is_held"):
            return self._world.leases.is_held(lease)

    def release(self, lease: Lease) -> None:
        """See Leases."""
        self._world.leases.release(lease)

    def replicas(self, holder: str) -> frozenset[str]:
        """See SharedLeases."""
        return self._world.leases.replicas(holder)

    def leave(self, holder: str) -> None:
        """See SharedLeases."""
        self._world.leases.leave(holder)
