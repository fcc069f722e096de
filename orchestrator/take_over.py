"""Stands down where a person changes a target by hand, and goes on when it is handed back.

Whose a target is follows from three kinds of events: taken over (announced, or found out), handed
back, and the state that was then accepted as mendloop's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agents.deployer.promotion import after_promotion
from agents.memory import TargetMemory
from agents.monitor.foreign import after_hand_back, baseline_of, foreign_changes
from agents.served import Served, look
from orchestrator.journal import kinds
from orchestrator.journal.acts import StepIntended
from orchestrator.journal.incidents import IncidentSummary, open_intents
from orchestrator.journal.interventions import BaselineAccepted, TargetTakenOver
from orchestrator.journal.journal import Journal
from orchestrator.recorder import Line
from orchestrator.session import Session
from tools.routing import Router

Holder = Literal["mendloop", "person", "returned"]
"""``returned``: handed back, and not accepted yet."""

_KINDS = (kinds.TARGET_TAKEN_OVER, kinds.TARGET_HANDED_BACK, kinds.BASELINE_ACCEPTED)
_STEPS = (kinds.STEP_INTENDED, kinds.STEP_OUTCOME)


def _after(before: Holder, kind: str) -> Holder:
    """The one rule: taking over counts at any time, handing back only from a person, and accepting
    only what was handed back."""
    if kind == kinds.TARGET_TAKEN_OVER:
        return "person"
    if kind == kinds.TARGET_HANDED_BACK:
        return "returned" if before == "person" else before
    return "mendloop" if before == "returned" else before


class Hands:
    """In whose hands each target is, read on from where the last look at the journal ended."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read = 0
        self._holders: dict[str, Holder] = {}

    def holder(self, target: str) -> Holder:
        """Raises Unavailable when the journal cannot be read."""
        newest = self._journal.head().seq
        if newest != self._read:
            for event in self._journal.events(kinds=_KINDS, after=self._read, until=newest):
                before = self._holders.get(event.target, "mendloop")
                self._holders[event.target] = _after(before, event.kind)
            self._read = newest
        return self._holders.get(target, "mendloop")


def holder_of(journal: Journal, target: str) -> Holder:
    """The same without a memory of what was read: right before an act."""
    holder: Holder = "mendloop"
    for event in journal.events(target=target, kinds=_KINDS):
        holder = _after(holder, event.kind)
    return holder


def watch_hands(session: Session, served: Served, standing: Sequence[IncidentSummary]) -> bool:
    """Compare what serves with what mendloop left; True when somebody else changed it."""
    busy = _busy(session, standing)
    seen = foreign_changes(served, session.memory, busy=busy)
    if seen:
        note_taken_over(session, seen)
        return True
    baseline = baseline_of(served, busy=busy)
    if baseline is not None and baseline != session.memory.baseline:
        memory = _promoted_all_the_same(session, served)
        session.remember(memory.model_copy(update={"baseline": baseline}), [])
    return False


def _promoted_all_the_same(session: Session, served: Served) -> TargetMemory:
    """A promotion that was given up with its answer lost may have taken effect: what it watched is
    the champion, and its watch goes on as the probation."""
    memory, champion = session.memory, served.champion
    if memory.canary is None or champion is None or champion.version != memory.canary.version:
        return memory
    watermark = session.desk.log.extent(session.target).watermark
    return after_promotion(session.model, served, memory, watermark)


def note_taken_over(session: Session, seen: tuple[str, ...]) -> None:
    """Write down that the target is a person's from here on, unless somebody has by now."""
    if holder_of(session.recorder.journal, session.target) != "mendloop":
        return
    line: Line = (kinds.TARGET_TAKEN_OVER, "monitor", TargetTakenOver(seen=seen))
    session.remember(None, [line])


def accept(session: Session) -> None:
    """Take what is found after a hand-back for mendloop's own, and go on from there.

    Taken up after a crash it does the same again: the stamp changes nothing the second time.
    """
    model, serving = session.model, session.model.spec.serving
    Router(session.desk.traffic).adopt(
        model.metadata.namespace,
        serving.route,
        serving.host,
        key=f"accepted-{session.lease.token}",
        token=session.lease.token,
    )
    served = look(session.desk, model)
    memory, notes = after_hand_back(model, served, session.memory)
    found = {
        "split": dict(served.split.shares),
        "champion": served.champion.version if served.champion else "",
        "challenger": served.challenger.version if served.challenger else "",
        "former": served.former.version if served.former else "",
        "masked": {v: list(s.config.masked) for v, s in served.servers.items()},
    }
    line: Line = (
        kinds.BASELINE_ACCEPTED,
        "orchestrator",
        BaselineAccepted(found=found, notes=notes),
    )
    session.remember(memory, [line])
    session.look()


def _busy(session: Session, standing: Sequence[IncidentSummary]) -> set[str]:
    """In what mendloop itself may be changing something: differences there are its own."""
    busy = {i.concern for i in standing if i.concern == "data"}
    for incident in standing:
        events = session.recorder.journal.events(incident=incident.id, kinds=_STEPS)
        begun = [event.read(StepIntended) for event in open_intents(events)]
        if any(session.tools[step.tool].contract.changes_production for step in begun):
            busy.add("aliases")
    return busy
