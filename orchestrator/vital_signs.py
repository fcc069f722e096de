"""How a controller is after a tick: what probes and Prometheus are told, read by other threads."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from orchestrator.journal.incidents import IncidentSummary
from orchestrator.resources.standing import Standing
from tools.values import Value


class OpenIncident(Value):
    """An incident that is not over."""

    target: str
    goal: str
    opened_at: datetime


class VitalSigns(Value):
    """One controller after a tick."""

    targets: int
    held: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Held targets whose look was cut short."""
    paused: tuple[str, ...] = ()
    taken_over: tuple[str, ...] = ()
    incidents: tuple[OpenIncident, ...] = ()
    """Of held targets."""
    models_rejected: int = 0
    """Documents that are broken now."""
    rules_rejected: bool = False
    """Whether the operators' rules are broken now."""
    approvals_waiting: int = 0
    """Held targets on which a step waits for a person."""


def vital_signs(
    standings: Collection[Standing],
    incidents: Collection[IncidentSummary],
    *,
    targets: int,
    models_rejected: int,
    rules_rejected: bool,
) -> VitalSigns:
    """From what was told of each held target in one tick, and all incidents that are known."""
    held = {standing.target for standing in standings}
    return VitalSigns(
        targets=targets,
        held=tuple(sorted(held)),
        unknown=tuple(sorted(s.target for s in standings if s.trouble)),
        paused=tuple(sorted(s.target for s in standings if s.pause is not None)),
        taken_over=tuple(sorted(s.target for s in standings if s.is_taken_over)),
        incidents=tuple(
            OpenIncident(
                target=i.target, goal=i.goal, opened_at=datetime.fromisoformat(i.detected_at)
            )
            for i in incidents
            if i.status in ("open", "waiting") and i.target in held
        ),
        models_rejected=models_rejected,
        rules_rejected=rules_rejected,
        approvals_waiting=sum(standing.awaits_approval for standing in standings),
    )
