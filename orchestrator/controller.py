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
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command

from agents.contract import Tool
from agents.monitor.observe import Observation, observe
from agents.monitor.service import Pulse
from agents.survey import Glance, survey
from orchestrator import autonomy
from orchestrator.claims import claim
from orchestrator.goals import GOALS, Goal
from orchestrator.graph import build_graph
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.incidents import IncidentSummary, fold_incidents
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import (
    ControllerStarted,
    ControllerStopped,
    IncidentOpened,
    LeaseAcquired,
)
from orchestrator.kill_switch import KillSwitch
from orchestrator.model_changes import has_departed, take_up
from orchestrator.model_fleet import FixedFleet, Fleet
from orchestrator.model_fleet import Target as Target
from orchestrator.ownership import Ownership
from orchestrator.recorder import Recorder
from orchestrator.reporting import TAKEN_OVER, window_lines, write_end
from orchestrator.resources.telling import Tell, Telling
from orchestrator.resting import is_resting
from orchestrator.rule_folder import RuleFolder
from orchestrator.rulebook import Rulebook
from orchestrator.session import Session
from orchestrator.take_over import Hands, accept, watch_hands
from orchestrator.track_record import TrackRecord
from policies.engine import PolicySet
from tools.clock import Clock
from tools.errors import MendloopError, Unavailable
from tools.lease import Lease, SharedLeases
from tools.managed_model import ManagedModel

log = structlog.get_logger()

RECURSION_LIMIT = 200
"""Nodes that one thread may run through in one tick; a bound, never reached by design."""


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
        self.journal = journal
        self._incidents = IncidentBook(journal)
        self._own = Ownership(leases, self.holder, incidents=self._incidents, begin=self._begin)
        self._hands = Hands(journal)
        self._checkpointer = checkpointer
        self._graph = build_graph(checkpointer)
        self._leases = leases
        record = TrackRecord(journal, tools)
        self._rulebook = Rulebook.of(self._models(), record, policies=policies, source=rules)
        self._tools = tools
        self._kill_switch = (
            KillSwitch(kill_switch) if isinstance(kill_switch, Path) else kill_switch
        )
        self._new_id = new_id
        self._telling = tell and Telling(
            tell,
            journal=journal,
            incidents=self._incidents,
            hands=self._hands,
            kill_switch=self._kill_switch,
        )
        self._pulses: dict[str, Pulse] = {}
        """Kept when a lease is lost and taken again: readings stay true whoever read them."""
        self._said: dict[str, str] = {}
        self._glances: dict[str, Glance] = {}

    def start(self) -> None:
        """Write down that this controller begins, and which incidents it finds open."""
        incidents = self._incidents.every()
        found = [i.id for i in incidents if i.status in ("open", "waiting")]
        for incident in incidents:
            if incident.id not in found:  # its controller may have died before it tidied up
                self._checkpointer.delete_thread(incident.id)
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

    def tick(self, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Look at every target and take its incidents as far as they go now.

        Once ``is_stopping`` says so, the targets that are left wait for the next controller.
        """
        with suppress(Unavailable):  # the journal does not take changed rules: asked again
            self._rulebook.refresh(self.journal, at=self._clock.now(), actor=self.holder)
        targets = self._follow()
        if self._telling is not None:
            self._telling.begin([target.model.target for target in targets])
        self._own.share_out(targets)
        self._glances = self._survey(targets)
        for target in targets:
            if is_stopping():
                return
            name, trouble = target.model.target, ""
            try:
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
                self._telling.after(session, trouble)

    def _survey(self, targets: Sequence[Target]) -> dict[str, Glance]:
        """What one question per port tells of this controller's share."""
        mine = [target for target in targets if self._own.has(target.model.target)]
        return survey([(target.model, target.desk) for target in mine])

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
        told = take_up(session, target, is_busy=bool(self._standing(session)))
        if told:
            self._say_once(session.target, told)
        observation = observe(
            session.desk,
            session.model,
            session.memory,
            session.event_time,
            session.pulse,
            self._glances.get(session.target),
        )
        if observation.missing:
            self._say_once(session.target, observation.missing)
        self._take_in(session, observation)
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
                self._checkpointer.delete_thread(incident.id)
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
            accept(session)
            return False
        found = self._standing(session)
        if holder == "mendloop" and not watch_hands(session, observation.served, found):
            return False
        for incident in found:
            write_end(session, incident.id, TAKEN_OVER, "")
            self._checkpointer.delete_thread(incident.id)
        return True

    def _begin(self, target: Target, lease: Lease) -> Session | None:
        """The target's session under a lease that was just taken."""
        name = target.model.target
        recorder = Recorder(self.journal, target.desk.clock, name)
        if self._hands.holder(name) == "mendloop":  # else not even a stamp is written
            claim(target.model, target.desk, lease.token)
        if not self._leases.is_held(lease):
            return None  # held up on the way: somebody else has it by now
        recorder = recorder.under(lease.token)
        taken = LeaseAcquired(holder=self.holder, token=lease.token)
        recorder.write(kinds.LEASE_ACQUIRED, taken, actor=self.holder)
        recorder.name_model(target.model)
        return Session(
            model=target.model,
            desk=target.desk,
            recorder=recorder,
            tools=self._tools,
            rulebook=self._rulebook,
            leases=self._leases,
            lease=lease,
            kill_switch=self._kill_switch,
            memory=recorder.last_memory(),
            pulse=self._pulses.get(name, Pulse()),
            fleet=self._models(),
        )

    def _take_in(self, session: Session, observation: Observation) -> None:
        session.event_time = observation.event_time
        session.served, session.missing = observation.served, observation.missing
        session.pulse = self._pulses[session.target] = observation.pulse
        session.remember(observation.memory, window_lines(observation))
        session.learn(observation.facts, source="monitor.observe")

    def _open_incidents(self, session: Session) -> list[IncidentSummary]:
        """The target's open incidents, one per concern, with those that are opened now."""
        mine = self._incidents.of(session.target)
        standing = [i for i in mine if i.status in ("open", "waiting")]
        busy = {incident.concern for incident in standing}
        for goal in GOALS:
            broken = goal.concern not in busy and goal.is_broken(session.state.values())
            if broken and not is_resting(session, goal, mine):
                standing.append(self._open(session, goal))
                busy.add(goal.concern)
        return standing

    def _open(self, session: Session, goal: Goal) -> IncidentSummary:
        facts = session.state.values()
        incident = self._new_id()
        payload = IncidentOpened(
            goal=goal.name,
            concern=goal.concern,
            trigger=goal.trigger,
            summary="; ".join(str(c) for c in goal.broken_when if c.holds(facts)),
            event_time=session.event_time,
            facts=facts,
        )
        line = (kinds.INCIDENT_OPENED, "monitor", payload)
        session.remember(None, [line], incident=incident)
        log.info("incident.opened", incident=incident, target=session.target, goal=goal.name)
        return fold_incidents(self.journal.events(incident=incident))[0]

    def _advance(self, session: Session, incident: IncidentSummary) -> None:
        """Run the incident's thread until it sleeps or ends."""
        config: RunnableConfig = {
            "configurable": {"thread_id": incident.id},
            "recursion_limit": RECURSION_LIMIT,
        }
        standing = self._graph.get_state(config)
        entry: Any = None  # cut off inside a node: that node runs again
        if not standing.values:
            entry = {"incident": incident.id, "goal": incident.goal}
        elif standing.interrupts:
            entry = Command(resume="tick")
        self._graph.invoke(entry, config, context=session, durability="sync")
        if not self._graph.get_state(config).next:
            self._checkpointer.delete_thread(incident.id)
