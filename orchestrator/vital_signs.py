"""How a controller is: what is published after each tick for probes and Prometheus to read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.incident_book import IncidentBook
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
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
    """On held targets."""


class WaitingApprovals:
    """Requests that nobody has answered, read on from where the last look ended."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read = 0
        self._events: list[Event] = []

    def count(self, incidents: Collection[str]) -> int:
        """How many wait in these incidents. Raises Unavailable when the journal cannot be read."""
        newest = self._journal.head().seq
        if newest != self._read:
            found = self._journal.events(kinds=APPROVAL_KINDS, after=self._read, until=newest)
            kept = [event for event in self._events if event.incident in incidents]
            self._events, self._read = [*kept, *found], newest
        standing = fold_approvals(self._events)
        return sum(s.status == "pending" and s.incident in incidents for s in standing)


def open_incidents(book: IncidentBook, held: Collection[str]) -> dict[str, OpenIncident]:
    """The incidents of these targets that are not over, by id."""
    return {
        i.id: OpenIncident(
            target=i.target, goal=i.goal, opened_at=datetime.fromisoformat(i.detected_at)
        )
        for i in book.every()
        if i.status in ("open", "waiting") and i.target in held
    }


def counted(values: Sequence[str]) -> dict[str, int]:
    """How often each occurs."""
    return {value: values.count(value) for value in dict.fromkeys(values)}
