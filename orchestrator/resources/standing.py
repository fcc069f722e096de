"""What a controller knows of a target at the end of a tick, and the status that follows from it.

Pure: the same standing, former status and time give the same status.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from agents.facts import SERVICE, UNKNOWN, Scalar
from orchestrator.goals import GOALS
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.kill_switch import Pause
from tools.managed_model_status import (
    Condition,
    ConditionStatus,
    ConditionType,
    LastIncident,
    ManagedModelStatus,
    Phase,
    ServedVersions,
)
from tools.values import Value


class Standing(Value):
    """One target as its controller saw it last."""

    target: str
    facts: dict[str, Scalar] = {}
    champion: str = ""
    challenger: str = ""
    is_ready: bool = False
    """Whether the champion's server says that it takes requests."""
    shares: dict[str, int] | None = None
    """Version to percent of the traffic; None when the route was not read."""
    trouble: str = ""
    """What did not answer, or went wrong, at this look."""
    held_up: str = ""
    """Why mendloop does nothing about it, whatever is seen: the journal does not answer. What the
    journal tells below is then what it told last."""
    is_taken_over: bool = False
    pause: Pause | None = None
    incident: IncidentSummary | None = None
    """The newest one."""
    open_incidents: int = 0
    awaits_approval: bool = False

    @property
    def is_known(self) -> bool:
        """Whether anything speaks of the model: counted answers, or else a server that is ready."""
        return self.is_ready or self.facts.get(SERVICE, UNKNOWN) != UNKNOWN

    @property
    def broken_goal(self) -> str:
        """What is not as it should be, in the goal's own words; empty when nothing is."""
        return next((goal.name for goal in _PROMISES if goal.is_broken(self.facts)), "")


_PROMISES = tuple(goal for goal in GOALS if not goal.gives_way)
"""A model whose next training is due is healthy."""
_SILENCE = "no server of the champion is ready, and nothing tells whether it answers"


def status_of(
    standing: Standing,
    before: ManagedModelStatus | None,
    *,
    generation: int,
    now: datetime,
    problem: str = "",
) -> ManagedModelStatus:
    """What to write back; ``before`` keeps the times at which conditions last changed.

    ``problem``: why the spec as it is now is refused; then mendloop works by the one before.
    """
    phase, message = _phase(standing)
    if standing.held_up:
        is_quiet = f"{message or phase.value}; " if phase is not Phase.UNKNOWN else ""
        message = f"{is_quiet}nothing is changed, journal unavailable: {standing.held_up}"
    accepted = _ACCEPTED
    if problem:
        accepted = _refused(problem)
        message = f"{message or phase.value}; works by the spec before: {_last_line(problem)}"
    return ManagedModelStatus(
        phase=phase,
        message=message,
        observed_generation=generation,
        conditions=_conditions(
            {ConditionType.ACCEPTED: accepted, ConditionType.HEALTHY: _healthy(standing)},
            before,
            generation=generation,
            now=now,
        ),
        last_incident=_incident(standing.incident) if standing.incident else None,
        versions=_versions(standing),
    )


def refused_status(
    problem: str, before: ManagedModelStatus | None, *, generation: int, now: datetime
) -> ManagedModelStatus:
    """Of a resource that the API server let pass and pydantic does not."""
    said = {
        ConditionType.ACCEPTED: _refused(problem),
        ConditionType.HEALTHY: _Said("Unknown", "NotManaged", "mendloop does not look after it"),
    }
    return ManagedModelStatus(
        phase=Phase.UNKNOWN,
        message=f"not accepted: {_last_line(problem)}",
        observed_generation=generation,
        conditions=_conditions(said, before, generation=generation, now=now),
        last_incident=before.last_incident if before else None,
        versions=ServedVersions(),
    )


class _Said(NamedTuple):
    """Answer, one word why, and the words for people."""

    status: ConditionStatus
    reason: str
    message: str = ""


_ACCEPTED = _Said("True", "Valid", "mendloop works by this spec")


def _refused(problem: str) -> _Said:
    return _Said("False", "Invalid", problem[:32000])


def _last_line(problem: str) -> str:
    """Where several fields are wrong, one of them."""
    return problem.splitlines()[-1].strip() if problem else ""


def _phase(standing: Standing) -> tuple[Phase, str]:
    """First what keeps mendloop from acting, then what it does, then how the model is."""
    broken, incident = standing.broken_goal, standing.incident
    if standing.is_taken_over:
        return Phase.TAKEN_OVER, "a person has it in hand; `mendloop hand-back` ends that"
    if standing.pause is not None:
        by = f" by {standing.pause.by}" if standing.pause.by else ""
        return Phase.PAUSED, f"paused{by}: {standing.pause.reason}"
    if standing.awaits_approval and incident is not None:
        return Phase.WAITING_FOR_APPROVAL, f"{incident.id} waits for a person: `mendloop approve`"
    if standing.open_incidents and incident is not None:
        return Phase.REPAIRING, f"{incident.id}: {incident.diagnosis or incident.summary}"
    if standing.trouble:
        return Phase.UNKNOWN, standing.trouble
    if broken:
        return Phase.DEGRADED, f"not so: {broken}"
    if not standing.is_known:
        return Phase.UNKNOWN, _SILENCE
    return Phase.HEALTHY, ""


def _healthy(standing: Standing) -> _Said:
    """How the model is, whoever does something about it."""
    if standing.trouble:
        return _Said("Unknown", "NotObserved", standing.trouble)
    for goal in _PROMISES:
        if goal.is_broken(standing.facts):
            reason = "".join(word.capitalize() for word in goal.trigger.split("_"))
            said = [str(c) for c in goal.broken_when if c.holds(standing.facts)]
            return _Said("False", reason, f"not so: {goal.name} ({'; '.join(said)})")
    if not standing.is_known:
        return _Said("Unknown", "NotObserved", _SILENCE)
    return _Said("True", "GoalsHold")


def _conditions(
    said: Mapping[ConditionType, _Said],
    before: ManagedModelStatus | None,
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """In Kubernetes' form: the time of a condition is that of its last change of status."""
    former = {condition.type: condition for condition in before.conditions} if before else {}
    found = []
    for kind, answer in said.items():
        old = former.get(kind.value)
        since = (
            old.last_transition_time
            if old is not None and old.status == answer.status
            else rfc3339(now)
        )
        found.append(
            Condition(
                type=kind.value,
                status=answer.status,
                reason=answer.reason,
                message=answer.message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return tuple(found)


def _incident(incident: IncidentSummary) -> LastIncident:
    return LastIncident(
        id=incident.id,
        status=incident.status,
        summary=incident.summary,
        diagnosis=incident.diagnosis,
        outcome=incident.outcome,
        opened_at=rfc3339(datetime.fromisoformat(incident.detected_at)),
        closed_at=(
            rfc3339(datetime.fromisoformat(incident.resolved_at)) if incident.resolved_at else None
        ),
    )


def _versions(standing: Standing) -> ServedVersions:
    shares = standing.shares
    if shares is None:
        return ServedVersions(champion=standing.champion, challenger=standing.challenger)
    stable = shares.get(standing.champion, 0)
    return ServedVersions(
        champion=standing.champion,
        challenger=standing.challenger,
        stable_percent=stable,
        canary_percent=100 - stable,
    )


def rfc3339(moment: datetime) -> str:
    """As Kubernetes writes times: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
