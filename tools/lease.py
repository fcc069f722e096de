"""Port: who may act on a target, with a fencing token that grows with every new owner.

Adapters: ``tools/file_lease.py`` (file lock, token kept beside it), later a Kubernetes Lease.
"""

from __future__ import annotations

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
