"""What the events carry that are about rules, and about how much may be done alone."""

from __future__ import annotations

from typing import Literal

from orchestrator.journal import kinds
from orchestrator.journal.shape import Payload
from tools.managed_model import Rung


class AutonomyChanged(Payload):
    """What ``autonomy.changed`` says."""

    before: Rung
    after: Rung
    cause: Literal["earned", "revoked", "set"]
    """``set``: a person decided."""
    reason: str
    event_time: str = ""


class PoliciesLoaded(Payload):
    """What ``policies.loaded`` says."""

    digest: str
    names: tuple[str, ...]
    """Every document in force."""
    replaced: str = ""
    """Digest of the set before; empty at the start."""


class PoliciesRejected(Payload):
    """What ``policies.rejected`` says."""

    error: str
    digest: str
    """The set that stays in force."""


GOVERNANCE: dict[str, type[Payload]] = {
    kinds.AUTONOMY_CHANGED: AutonomyChanged,
    kinds.POLICIES_LOADED: PoliciesLoaded,
    kinds.POLICIES_REJECTED: PoliciesRejected,
}
