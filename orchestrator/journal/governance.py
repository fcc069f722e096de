"""What the events carry that are about rules, model documents, and how much may be done alone."""

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


class ModelsFollowed(Payload):
    """What ``models.followed`` says."""

    models: int
    """How many there are."""
    added: tuple[str, ...] = ()
    """Targets; none at a controller's start."""
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class ModelsRejected(Payload):
    """What ``models.rejected`` says."""

    errors: dict[str, str]
    """Place of each broken document -> what is wrong with it."""


GOVERNANCE: dict[str, type[Payload]] = {
    kinds.AUTONOMY_CHANGED: AutonomyChanged,
    kinds.POLICIES_LOADED: PoliciesLoaded,
    kinds.POLICIES_REJECTED: PoliciesRejected,
    kinds.MODELS_FOLLOWED: ModelsFollowed,
    kinds.MODELS_REJECTED: ModelsRejected,
}
