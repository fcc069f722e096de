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
    previous: str = ""
    """The public key that it follows; empty for the first, and where the old one was lost."""
    signature: str = ""
    """Base64, by the previous key: it hands over to the new one."""


class JournalPruned(Payload):
    """What ``journal.pruned`` says."""

    before: str
    """Wall clock: payloads of older events were taken, if nothing newer carries them too."""
    payloads: tuple[str, ...]
    """``sha256:...`` of every payload taken."""
    bytes: int
    reason: str = ""


class JournalSealed(Payload):
    """What ``journal.sealed`` says."""

    first: int
    last: int
    """Events ``first`` to ``last`` are in the file, with their payloads."""
    file: str
    """Its name, in the folder ``segments`` of the home."""
    sha256: str
    """Of the file as a whole."""
