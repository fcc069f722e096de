"""Gathers what a controller knows of each target at the end of its look, for those who tell of it.

One reading of the kill switch per tick, whatever the number of targets; of the journal only what
came since, and of approvals only those of an incident that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.incident_book import IncidentBook
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.journal.journal import Journal
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.resources.standing import Standing
from orchestrator.session import Session
from orchestrator.take_over import Hands
from tools.errors import MendloopError

Tell = Callable[[Standing], None]
log = structlog.get_logger()


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

    def begin(self, targets: Sequence[str]) -> None:
        """A tick begins."""
        self._pauses = self._kill_switch.pauses(targets)

    def after(self, session: Session, trouble: str) -> None:
        """The look at a target has ended, in ``trouble`` perhaps. Raises nothing on purpose."""
        try:
            self._tell(self._standing(session, trouble))
        except MendloopError as error:  # the journal does not answer: told at the next tick
            log.warning("standing.untold", target=session.target, reason=str(error))

    def _standing(self, session: Session, trouble: str) -> Standing:
        found = self._incidents.of(session.target)
        standing = [i for i in found if i.status in ("open", "waiting")]
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
            is_taken_over=self._hands.holder(session.target) == "person",
            pause=self._pauses.get(session.target),
            incident=(standing or found)[-1] if found else None,
            open_incidents=len(standing),
            awaits_approval=any(self._awaits_approval(i) for i in standing),
        )

    def _awaits_approval(self, incident: IncidentSummary) -> bool:
        if incident.status != "waiting":
            return False
        events = self._journal.events(incident=incident.id, kinds=APPROVAL_KINDS)
        return any(standing.status == "pending" for standing in fold_approvals(events))
