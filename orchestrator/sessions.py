"""Makes the session of a target whose lease was just taken, and brings it each look's findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.contract import Tool
from agents.monitor.observe import Observation
from agents.monitor.service import Pulse
from orchestrator.claims import claim
from orchestrator.journal import kinds
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import LeaseAcquired
from orchestrator.kill_switch import KillSwitch
from orchestrator.model_fleet import Fleet, Target
from orchestrator.recorder import Recorder
from orchestrator.reporting import window_lines
from orchestrator.rulebook import Rulebook
from orchestrator.session import Session
from orchestrator.take_over import holder_of
from tools.lease import Lease, SharedLeases


@dataclass
class Sessions:
    """What all sessions of one controller share."""

    holder: str
    fleet: Fleet
    journal: Journal
    tools: Mapping[str, Tool]
    rulebook: Rulebook
    leases: SharedLeases
    kill_switch: KillSwitch
    pulses: dict[str, Pulse] = field(default_factory=dict)
    """Kept when a lease is lost and taken again: readings stay true whoever read them."""

    def begin(self, target: Target, lease: Lease) -> Session | None:
        """The target's session under a lease that was just taken; None once it is lost again."""
        name = target.model.target
        recorder = Recorder(self.journal, target.desk.clock, name)
        if holder_of(self.journal, name) == "mendloop":  # else not even a stamp is written
            claim(target.model, target.desk, lease.token)
        if not self.leases.is_held(lease):
            return None  # held up on the way: somebody else has it by now
        recorder = recorder.under(lease.token)
        taken = LeaseAcquired(holder=self.holder, token=lease.token)
        recorder.write(kinds.LEASE_ACQUIRED, taken, actor=self.holder)
        recorder.name_model(target.model)
        return Session(
            model=target.model,
            desk=target.desk,
            recorder=recorder,
            tools=self.tools,
            rulebook=self.rulebook,
            leases=self.leases,
            lease=lease,
            kill_switch=self.kill_switch,
            memory=recorder.last_memory(),
            pulse=self.pulses.get(name, Pulse()),
            fleet=tuple(each.model for each in self.fleet.targets),
        )

    def take_in(self, session: Session, observation: Observation) -> None:
        """Remember what a look found. Raises Unavailable when it cannot be recorded."""
        session.event_time = observation.event_time
        self._notice(session, observation)
        session.remember(observation.memory, window_lines(observation))
        session.learn(observation.facts, source="monitor.observe")

    def take_note(self, session: Session, observation: Observation) -> None:
        """Know what a look found and record nothing: what rests on records stays as it was."""
        self._notice(session, observation)
        session.learn(observation.facts, source="monitor.observe")

    def _notice(self, session: Session, observation: Observation) -> None:
        session.served, session.missing = observation.served, observation.missing
        session.pulse = self.pulses[session.target] = observation.pulse
