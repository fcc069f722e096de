"""The controller: ticks over the targets, opens incidents, wakes their threads, holds the leases.

A tick looks first and acts afterwards. Whatever a port cannot answer is unknown: the tick ends and
the next one looks again. The journal says which incidents are open; the checkpointer says where
their threads stand; neither is believed about the world, which is read each time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from langgraph.checkpoint.base import BaseCheckpointSaver

from agents.contract import Tool
from agents.monitor.observe import Observation
from orchestrator import autonomy
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import ControllerStarted, ControllerStopped
from orchestrator.journal.steady import SteadyJournal
from orchestrator.kill_switch import KillSwitch
from orchestrator.looks import Looks
from orchestrator.model_changes import has_departed, take_up
from orchestrator.model_fleet import FixedFleet, Fleet
from orchestrator.model_fleet import Target as Target
from orchestrator.opening import broken_goals, open_incident
from orchestrator.ownership import Ownership
from orchestrator.reporting import TAKEN_OVER, write_end
from orchestrator.resources.telling import Tell, Telling
from orchestrator.rule_folder import RuleFolder
from orchestrator.rulebook import Rulebook
from orchestrator.session import Session
from orchestrator.sessions import Sessions
from orchestrator.take_over import Hands, accept, watch_hands
from orchestrator.threads import Threads
from orchestrator.track_record import TrackRecord
from policies.engine import PolicySet
from tools.clock import Clock
from tools.errors import MendloopError, Unavailable
from tools.lease import SharedLeases
from tools.managed_model import ManagedModel

log = structlog.get_logger()


class Controller:
    """Keeps a fleet of targets healthy, one tick at a time."""

    def __init__(
        self,
        targets: Sequence[Target] | Fleet,
        *,
        journal: Journal,
        checkpointer: BaseCheckpointSaver[Any],
        leases: SharedLeases,
        policies: PolicySet | None = None,
        tools: Mapping[str, Tool],
        kill_switch: Path | KillSwitch,
        rules: RuleFolder | None = None,
        holder: str = "",
        clock: Clock | None = None,
        new_id: Callable[[], str] = lambda: f"inc-{uuid.uuid4().hex[:10]}",
        tell: Tell | None = None,
    ) -> None:
        """``rules`` are read again when their files change; without, ``policies`` stay in force.

        ``tell`` is told how each target stands after each look. ``clock``: that of the targets,
        unless there may be none.
        """
        self.holder = holder or f"controller-{uuid.uuid4().hex[:8]}"
        self._fleet = FixedFleet(targets) if isinstance(targets, Sequence) else targets
        self._clock = clock or self._fleet.targets[0].desk.clock
        self.journal = journal = SteadyJournal(journal)
        self._incidents = IncidentBook(journal)
        self._hands, self._threads = Hands(journal), Threads(checkpointer)
        record = TrackRecord(journal, tools)
        self._rulebook = Rulebook.of(self._models(), record, policies=policies, source=rules)
        switch = KillSwitch(kill_switch) if isinstance(kill_switch, Path) else kill_switch
        self._sessions = Sessions(
            holder=self.holder,
            fleet=self._fleet,
            journal=journal,
            tools=tools,
            rulebook=self._rulebook,
            leases=leases,
            kill_switch=switch,
        )
        self._own = Ownership(
            leases,
            self.holder,
            incidents=self._incidents,
            begin=self._sessions.begin,
            monotonic_s=self._clock.monotonic_s,
        )
        self._new_id = new_id
        self._telling = tell and Telling(
            tell,
            journal=journal,
            incidents=self._incidents,
            hands=self._hands,
            kill_switch=switch,
        )
        self._said: dict[str, str] = {}
        self._silence = ""
        """Why the journal does not answer; empty while it does."""
        self._looks = Looks(self._clock.monotonic_s)

    def start(self) -> None:
        """Write down that this controller begins, and which incidents it finds open."""
        incidents = self._incidents.every()
        found = [i.id for i in incidents if i.status in ("open", "waiting")]
        self._threads.forget_ended({i.id for i in incidents}.difference(found))
        started = ControllerStarted(holder=self.holder, recovered=tuple(found))
        self.journal.append(
            kinds.CONTROLLER_STARTED,
            at=self._clock.now(),
            actor=self.holder,
            payload=started,
        )
        log.info("controller.started", holder=self.holder, recovered=len(found))

    def stop(self, reason: str) -> None:
        """Give the leases back; open incidents wait for the next controller."""
        self._own.leave()
        self.journal.append(
            kinds.CONTROLLER_STOPPED,
            at=self._clock.now(),
            actor=self.holder,
            payload=ControllerStopped(holder=self.holder, reason=reason),
        )
        log.info("controller.stopped", holder=self.holder, reason=reason)

    @property
    def held(self) -> int:
        """How many targets it looks after now."""
        return len(self._own)

    @property
    def waiting(self) -> int:
        """How many of them have new data whose turn has not come."""
        return len(self._looks)

    def tick(self, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Look at every target and take its incidents as far as they go now.

        Once ``is_stopping`` says so, the targets that are left wait for the next controller.
        """
        with self.journal.steady():
            self._tick(is_stopping)

    def _tick(self, is_stopping: Callable[[], bool]) -> None:
        with suppress(Unavailable):  # the journal does not take changed rules: asked again
            self._rulebook.refresh(self.journal, at=self._clock.now(), actor=self.holder)
        targets = self._follow()
        if self._telling is not None:
            self._telling.begin([target.model.target for target in targets])
        self._listen()
        if not self._silence:
            self._own.share_out(targets)
        for target in self._looks.begin(targets, self._own.has):
            if is_stopping():
                return
            name, trouble = target.model.target, ""
            try:
                if self._silence:
                    self._look_on(name)
                else:
                    self._tick_target(target)
                self._said.pop(name, None)
            except MendloopError as error:
                trouble = str(error)
                self._say_once(name, trouble)
            except Exception:  # the top of the loop: one target's defect must not stop the others
                trouble = "a defect of mendloop; its log has the details"
                log.exception("target.broken", target=name)
            session = self._own.standing(name)
            if self._telling is not None and session is not None:
                self._telling.after(session, trouble, held_up=self._silence)

    def _listen(self) -> None:
        """Whether the journal answers: while it does not, this tick looks on and changes nothing.

        Nothing is taken or handed over either: that could not be written down.
        """
        before, self._silence = self._silence, ""
        try:
            self.journal.head()
        except Unavailable as error:
            self._silence = str(error)
            if not before:
                log.error("journal.unavailable", reason=self._silence)
            return
        if before:
            log.info("journal.answers")

    def _look_on(self, target: str) -> None:
        """See how it is; what rests on records, new data above all, waits for the journal."""
        session = self._own.standing(target)
        if session is not None:
            self._sessions.take_note(session, self._looks.glimpse(session))

    def _follow(self) -> Sequence[Target]:
        """The targets of this tick."""
        before = self._fleet.targets
        with suppress(Unavailable):  # the journal does not take it: asked again
            self._fleet.refresh(self.journal, at=self._clock.now(), actor=self.holder)
        if self._fleet.targets != before:
            models = self._models()
            self._rulebook.weigh(models)
            self._own.follow(models)
        return self._fleet.targets

    def _models(self) -> tuple[ManagedModel, ...]:
        return tuple(target.model for target in self._fleet.targets)

    def _say_once(self, target: str, reason: str) -> None:
        """A trouble that lasts is one line of the log, not two a second."""
        if self._said.get(target) != reason:
            log.warning("target.unknown", target=target, reason=reason)
        self._said[target] = reason

    def _tick_target(self, target: Target) -> None:
        session = self._own.session(target)
        if session is None:
            return
        session.recall()
        is_busy = bool(self._standing(session))
        told = take_up(session, target, is_busy=is_busy)
        if told:
            self._say_once(session.target, told)
        observation = self._looks.at(session, is_troubled=is_busy)
        if observation.missing:
            self._say_once(session.target, observation.missing)
        self._sessions.take_in(session, observation)
        if autonomy.is_due(session):
            with self.journal.afresh():
                autonomy.review(session)
        if self._stands_down(session, observation):
            return
        if self._fleet.is_leaving(session.target):
            self._see_off(session)
            return
        for incident in self._open_incidents(session):
            self._advance(session, incident)

    def _see_off(self, session: Session) -> None:
        """Take back what is half-way of a model that leaves, and end its incidents."""
        standing = self._standing(session)
        if has_departed(session, standing):
            for incident in standing:
                self._threads.forget(incident.id)
            return
        for incident in standing:
            self._advance(session, incident)

    def _standing(self, session: Session) -> list[IncidentSummary]:
        """Its incidents that are not over."""
        mine = self._incidents.of(session.target)
        return [i for i in mine if i.status in ("open", "waiting")]

    def _stands_down(self, session: Session, observation: Observation) -> bool:
        """Whether a person has the target in hand: then its incidents end, and nothing is done."""
        holder = self._hands.holder(session.target)
        if holder == "returned":
            with self.journal.afresh():
                holder = self._hands.holder(session.target)
        if holder == "returned":
            accept(session)
            return False
        found = self._standing(session)
        if holder == "mendloop" and not watch_hands(session, observation.served, found):
            return False
        for incident in found:
            write_end(session, incident.id, TAKEN_OVER, "")
            self._threads.forget(incident.id)
        return True

    def _open_incidents(self, session: Session) -> list[IncidentSummary]:
        """The target's open incidents, one per concern, with those that are opened now."""
        mine = self._incidents.of(session.target)
        standing = [i for i in mine if i.status in ("open", "waiting")]
        broken = broken_goals(session, mine)
        if not broken:
            return standing
        with self.journal.afresh():
            if self._hands.holder(session.target) != "mendloop":
                return standing  # somebody took it in hand since this tick began
        return standing + [open_incident(session, goal, self._new_id()) for goal in broken]

    def _advance(self, session: Session, incident: IncidentSummary) -> None:
        """Take it as far as it goes now, with all that others wrote up to each act."""
        with self.journal.afresh():
            self._threads.advance(session, incident)
