"""Port: who may act on a target, with a fencing token that grows with every new owner.

The same place tells which replicas live, so that they can share the targets: see
``orchestrator/fair_share.py``.
Adapters: ``tools/file_lease.py`` (file lock, token kept beside it), ``tools/kubernetes_lease.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tools.values import Value


class Lease(Value):
    """The right to act on one target."""

    target: str
    holder: str
    token: int


class Leases(Protocol):
    """Takes and gives back leases."""

    def acquire(self, target: str, holder: str) -> Lease | None:
        """The lease, renewed when ``holder`` has it already (same token); None: somebody has it.

        A holder that died loses it: at once where the platform can tell (file lock), otherwise
        after the lease's time. A new owner always gets a higher token.
        """

    def is_held(self, lease: Lease) -> bool:
        """Whether this very lease (holder and token) is still in force."""

    def release(self, lease: Lease) -> None:
        """Give it back; a lease no longer held is no error."""


class SharedLeases(Leases, Protocol):
    """Leases of a fleet that several replicas share out between them."""

    def acquire_many(self, targets: Collection[str], holder: str) -> dict[str, Lease]:
        """The same for all of these at once, as far as they are to be had. What cannot be told of
        one target is left out, and raises nothing."""

    def replicas(self, holder: str) -> frozenset[str]:
        """Every holder that lives, this one included: asking announces it, and again renews that.

        A replica that died is named until its leases have run out. Raises Unavailable when nobody
        can tell: then no share may be taken anew, and none is given away.
        """

    def leave(self, holder: str) -> None:
        """No longer a replica; whatever it still holds is anybody's at once."""
