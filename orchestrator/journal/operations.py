"""What the events about running mendloop itself carry: controllers, leases, keys."""

from __future__ import annotations

from orchestrator.journal.shape import Payload


class ControllerStarted(Payload):
    """What ``controller.started`` says."""

    holder: str
    version: str = ""
    recovered: tuple[str, ...] = ()
    """Incidents found open, which this controller takes over."""


class ControllerStopped(Payload):
    """What ``controller.stopped`` says."""

    holder: str
    reason: str = ""


class LeaseAcquired(Payload):
    """What ``lease.acquired`` says."""

    holder: str
    token: int


class LeaseLost(Payload):
    """What ``lease.lost`` says."""

    holder: str
    token: int
    reason: str = ""


class JournalKeyed(Payload):
    """What ``journal.keyed`` says."""

    verifier: str
    """The public key, as in its ``.pub`` file."""
