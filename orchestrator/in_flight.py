"""What is under way on a target and what waits for a person, read from the journal alone."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.approvals import Standing, fold_approvals
from orchestrator.incident_book import LIFE
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.incidents import IncidentSummary, fold_incidents
from orchestrator.journal.interventions import TargetTakenOver
from orchestrator.journal.journal import Journal
from tools.values import Value

_ENDED = ("resolved", "escalated")
_SHORT = 160


class InFlight(Value):
    """One open incident: what it does now."""

    incident: str
    target: str
    goal: str
    doing: str
    """The tool in hand, ``deciding``, or ``waiting: ...``."""
    split: dict[str, int] = {}
    """Percent by version since mendloop's last shift; empty when it moved nothing."""


class TakenOver(Value):
    """One target that a person holds."""

    target: str
    by: str
    at: str
    reason: str
    seen: tuple[str, ...]


def in_flight(journal: Journal, *, target: str = "") -> list[InFlight]:
    """Every open incident, of ``target`` or of all.

    Reads the lives of all incidents and the steps of the open ones: whoever stops something does
    not wait for a long journal to be read.
    """
    life = journal.events(kinds=LIFE, target=target or None)
    found = []
    for standing in fold_incidents(life):
        if standing.status in _ENDED:
            continue
        mine = journal.events(incident=standing.id)
        (incident,) = fold_incidents(mine)
        shift = journal.last(kinds.TRAFFIC_SHIFTED, target=incident.target)
        found.append(
            InFlight(
                incident=incident.id,
                target=incident.target,
                goal=incident.goal,
                doing=_doing(incident, mine),
                split=shift.payload["after"] if shift else {},
            )
        )
    return found


def waiting_approvals(events: Sequence[Event]) -> list[Standing]:
    """Requests that a person may still answer."""
    over = {i.id for i in fold_incidents(events) if i.status in _ENDED}
    return [s for s in fold_approvals(events) if s.status == "pending" and s.incident not in over]


def taken_over(journal: Journal, target: str) -> TakenOver | None:
    """Who holds the target; None while it is mendloop's."""
    taken = journal.last(kinds.TARGET_TAKEN_OVER, target=target)
    if taken is None:
        return None
    back = journal.last(kinds.TARGET_HANDED_BACK, target=target)
    if back is not None and back.seq > taken.seq:
        return None
    said = taken.read(TargetTakenOver)
    return TakenOver(target=target, by=said.by, at=taken.at, reason=said.reason, seen=said.seen)


def all_taken_over(journal: Journal, events: Sequence[Event]) -> list[TakenOver]:
    """Every target that a person holds, by name."""
    targets = sorted({e.target for e in events if e.kind == kinds.TARGET_TAKEN_OVER})
    return [found for name in targets if (found := taken_over(journal, name)) is not None]


def _doing(incident: IncidentSummary, events: Sequence[Event]) -> str:
    asked = [s for s in fold_approvals(events) if s.status == "pending"]
    if asked:
        return f"waits for a person: {asked[-1].request.tool}"
    pending = [a for a in incident.actions if not a.verdict and a.outcome != "refused"]
    if pending:
        return pending[-1].tool
    waits = [e for e in events if e.kind == kinds.INCIDENT_WAITING]
    if waits and incident.status == "waiting":
        reason: str = waits[-1].payload["reason"]
        return f"waiting: {reason if len(reason) <= _SHORT else f'{reason[: _SHORT - 3]}...'}"
    return "deciding"
