"""Gathers what a controller knows of each target at the end of its look, for those who tell of it.

One reading of the kill switch per tick, whatever the number of targets; of the journal only what
came since, and of approvals only those of an incident that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.incident_book import IncidentBook
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.journal.journal import Journal
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.resources.standing import Standing
from orchestrator.session import Session
from orchestrator.take_over import Hands
from tools.errors import MendloopError
from tools.values import Value

Tell = Callable[[Standing], None]


class _Known(Value):
    """What the journal tells of a target."""

    is_taken_over: bool = False
    incident: IncidentSummary | None = None
    open_incidents: int = 0
    awaits_approval: bool = False


class Telling:
    """One per controller."""

    def __init__(
        self,
        tell: Tell,
        *,
        journal: Journal,
        incidents: IncidentBook,
        hands: Hands,
        kill_switch: KillSwitch,
    ) -> None:
        """``tell`` must return at once."""
        self._tell = tell
        self._journal, self._incidents, self._hands = journal, incidents, hands
        self._kill_switch = kill_switch
        self._pauses: dict[str, Pause] = {}
        self._known: dict[str, _Known] = {}

    def begin(self, targets: Sequence[str]) -> None:
        """A tick begins."""
        self._pauses = self._kill_switch.pauses(targets)

    def after(self, session: Session, trouble: str, *, held_up: str = "") -> None:
        """The look at a target has ended, in ``trouble`` perhaps. Raises nothing on purpose.

        ``held_up``: why the journal cannot be asked; what it said last is told, with what is seen.
        """
        known = self._known.get(session.target, _Known())
        if not held_up:
            try:
                known = self._known[session.target] = self._read(session)
            except MendloopError as error:
                held_up = str(error)
        self._tell(self._standing(session, trouble, known, held_up))

    def _read(self, session: Session) -> _Known:
        found = self._incidents.of(session.target)
        standing = [i for i in found if i.status in ("open", "waiting")]
        return _Known(
            is_taken_over=self._hands.holder(session.target) == "person",
            incident=(standing or found)[-1] if found else None,
            open_incidents=len(standing),
            awaits_approval=any(self._awaits_approval(i) for i in standing),
        )

    def _standing(self, session: Session, trouble: str, known: _Known, held_up: str) -> Standing:
        served = session.served
        champion = served.champion if served else None
        return Standing(
            target=session.target,
            facts=session.state.values(),
            champion=champion.version if champion else "",
            is_ready=served is not None and champion is not None and served.is_ready(champion),
            challenger=served.challenger.version if served and served.challenger else "",
            shares=dict(served.split.shares) if served else None,
            trouble=trouble or session.missing,
            held_up=held_up,
            pause=self._pauses.get(session.target),
            is_taken_over=known.is_taken_over,
            incident=known.incident,
            open_incidents=known.open_incidents,
            awaits_approval=known.awaits_approval,
        )

    def _awaits_approval(self, incident: IncidentSummary) -> bool:
        if incident.status != "waiting":
            return False
        events = self._journal.events(incident=incident.id, kinds=APPROVAL_KINDS)
        return any(standing.status == "pending" for standing in fold_approvals(events))
