"""A target while a controller holds its lease: its document, desk, memory, facts and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.contract import Tool
from agents.evidence import Peer
from agents.facts import SERVICE, Scalar, SharedState, facts_from
from agents.memory import TargetMemory
from agents.monitor.diagnose import peer_of
from agents.monitor.service import Pulse, server_facts
from agents.monitor.state import facts_of
from agents.ports import Desk
from agents.served import Served, look
from orchestrator.journal import kinds
from orchestrator.journal.interventions import ApprovalUsed
from orchestrator.journal.payloads import TrafficShifted
from orchestrator.kill_switch import KillSwitch
from orchestrator.recorder import Line, Recorder
from orchestrator.rulebook import Rulebook
from policies.engine import PolicySet
from tools.errors import MendloopError, Unavailable
from tools.lease import Lease, Leases
from tools.managed_model import ManagedModel


@dataclass
class Session:
    """What the graph's nodes work on. The journal, not this object, is what survives."""

    model: ManagedModel
    desk: Desk
    recorder: Recorder
    tools: Mapping[str, Tool]
    rulebook: Rulebook
    """The rules in force, and what was done to this and the other targets so far."""
    leases: Leases
    lease: Lease
    kill_switch: KillSwitch
    """Read before every change, not once a pass."""
    memory: TargetMemory = field(default_factory=TargetMemory)
    state: SharedState = field(default_factory=SharedState)
    pulse: Pulse = field(default_factory=Pulse)
    """How the champion answers, as counted since this controller began."""
    event_time: str = ""
    """The prediction log's watermark at the last look."""
    served: Served | None = None
    """What served at the last look of a tick; for those who tell of it, never to act on."""
    missing: str = ""
    """What did not answer at that look."""
    fleet: tuple[ManagedModel, ...] = ()
    """Every model that the controller looks after, this one included."""
    permitted: str = ""
    """Key of the step that the guardrails let pass just now; good for one act, forgotten in a
    crash."""
    approval: ApprovalUsed | None = None
    """The approval that the permitted step uses up, where one was needed."""
    _is_memory_doubtful: bool = False
    """Whether the last write failed, and may have been made all the same."""

    @property
    def target(self) -> str:
        """``namespace/name``."""
        return self.model.target

    @property
    def policies(self) -> PolicySet:
        """Those in force now."""
        return self.rulebook.rules.policies

    def learn(self, facts: Mapping[str, Scalar], *, source: str) -> None:
        """Take facts into the shared state."""
        at = self.desk.clock.now().isoformat()
        self.state = self.state.with_facts(facts_from(facts, source=source, at=at))

    def look(self) -> Served:
        """Read again what can be read from the world itself."""
        served = look(self.desk, self.model, self.memory)
        seen = facts_of(self.model, served, self.memory)
        seen |= server_facts(served, self.state.value(SERVICE))
        self.learn(seen, source="monitor.observe")
        return served

    def remember(
        self, memory: TargetMemory | None, lines: list[Line], *, incident: str = ""
    ) -> None:
        """Write events with the memory that changed with them, then take the memory over.

        Raises Unavailable when the lease is lost: the next owner's record stands; and after a write
        that failed, until ``recall``: it may stand in the journal, with a memory of its own.
        """
        self.must_hold_lease()
        if self._is_memory_doubtful:
            raise Unavailable(f"what is remembered of {self.target} has to be read again first")
        changed = memory if memory is not None and memory != self.memory else None
        try:
            self.recorder.write_all(lines, incident=incident, memory=changed)
        except MendloopError:
            self._is_memory_doubtful = True
            raise
        if changed is not None:
            self.memory = changed

    def recall(self) -> None:
        """Before anything rests on the memory: where a write failed, what the journal has counts.

        Raises Unavailable when it cannot be read.
        """
        if self._is_memory_doubtful:
            self.memory = self.recorder.last_memory()
            self._is_memory_doubtful = False

    def peers(self) -> tuple[Peer, ...]:
        """The other targets as witnesses, from what was remembered of each last."""
        recorder = self.recorder
        return tuple(
            peer_of(model, recorder.of(model.target).last_memory())
            for model in self.fleet
            if model.target != self.target
        )

    def holds_lease(self) -> bool:
        """Whether this controller may still act on the target."""
        return self.leases.is_held(self.lease)

    def must_hold_lease(self) -> None:
        """Raises Unavailable when somebody else may have taken over."""
        if not self.holds_lease():
            raise Unavailable(
                f"the lease on {self.target} with token {self.lease.token} is lost; nothing is"
                " recorded or done under it any more"
            )


def shifted_line(
    session: Session, before: Mapping[str, Scalar], after: Mapping[str, Scalar], key: str
) -> Line:
    """The event that tells readers of the journal how the traffic moved."""
    payload = TrafficShifted(
        route=session.model.spec.serving.route,
        before={str(v): int(p) for v, p in before.items()},
        after={str(v): int(p) for v, p in after.items()},
        key=key,
        event_time=session.event_time,
    )
    return (kinds.TRAFFIC_SHIFTED, "deployer", payload)
