"""The incidents as the journal tells them, read on from where the last look ended.

A fleet's controller asks for every target at every tick; folding the whole journal each time would
make a tick longer with every incident there ever was.
"""

from __future__ import annotations

from collections import defaultdict

from orchestrator.journal import kinds
from orchestrator.journal.incidents import IncidentSummary, fold_on
from orchestrator.journal.journal import Journal

LIFE = (
    kinds.INCIDENT_OPENED,
    kinds.INCIDENT_WAITING,
    kinds.INCIDENT_RESUMED,
    kinds.INCIDENT_RESOLVED,
    kinds.INCIDENT_ESCALATED,
)


class IncidentBook:
    """Every incident without its actions, as far as the journal has come."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._read = 0
        self._found: dict[str, IncidentSummary] = {}
        self._of_target: dict[str, list[str]] = defaultdict(list)

    def every(self) -> list[IncidentSummary]:
        """All incidents, oldest first. Raises Unavailable when the journal cannot be read."""
        self._read_on()
        return list(self._found.values())

    def known(self) -> list[IncidentSummary]:
        """The same as of the last time when the journal answered."""
        return list(self._found.values())

    def of(self, target: str) -> list[IncidentSummary]:
        """The target's incidents, oldest first."""
        self._read_on()
        return [self._found[incident] for incident in self._of_target.get(target, ())]

    def _read_on(self) -> None:
        newest = self.journal.head().seq
        if newest == self._read:
            return
        for event in self.journal.events(kinds=LIFE, after=self._read, until=newest):
            is_new = event.incident not in self._found
            fold_on(self._found, event)
            if is_new and event.incident in self._found:
                self._of_target[event.target].append(event.incident)
        self._read = newest
