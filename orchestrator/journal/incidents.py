"""Folds the journal into incidents: what set each off, what was done about it, how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import (
    DiagnosisMade,
    IncidentEscalated,
    IncidentOpened,
    IncidentResolved,
    IncidentResumed,
    IncidentWaiting,
    StepIntended,
    StepOutcome,
    StepVerified,
)
from tools.values import Value

Status = Literal["open", "waiting", "resolved", "escalated"]


class Action(Value):
    """One intent and what came of it."""

    key: str
    tool: str
    agent: str
    attempt: int
    outcome: Literal["pending", "applied", "already", "refused", "unavailable", "failed"]
    verdict: Literal["", "holds", "broken", "unknown"] = ""
    detail: str = ""
    started: str
    finished: str = ""


class IncidentSummary(Value):
    """One incident as it stands after the events read."""

    id: str
    target: str
    goal: str = ""
    """The goal that is broken."""
    concern: str = ""
    trigger: str
    summary: str
    diagnosis: str = ""
    """The latest cause; a second diagnosis replaces the first."""
    confidence: float | None = None
    actions: tuple[Action, ...] = ()
    status: Status = "open"
    outcome: str = ""
    detected_at: str
    """Wall clock of its opening."""
    resolved_at: str = ""
    """Wall clock of its resolution or escalation."""
    event_time: str = ""
    """Time of the data at which it was detected."""
    resolved_event_time: str = ""


def fold_incidents(events: Iterable[Event]) -> list[IncidentSummary]:
    """Every incident of ``events`` (in order of the journal), oldest first."""
    found: dict[str, IncidentSummary] = {}
    for event in events:
        fold_on(found, event)
    return list(found.values())


def fold_on(found: dict[str, IncidentSummary], event: Event) -> None:
    """Take the next event into the incidents ``found`` so far, by id; for readers that go on."""
    if event.kind == kinds.INCIDENT_OPENED and event.incident not in found:
        found[event.incident] = _opened(event)
    elif event.incident in found:
        found[event.incident] = _after(found[event.incident], event)


def open_intents(events: Iterable[Event]) -> list[Event]:
    """The ``step.intended`` events that no ``step.outcome`` answers: they may have taken effect."""
    pending: dict[str, Event] = {}
    for event in events:
        if event.kind == kinds.STEP_INTENDED:
            pending[event.payload["key"]] = event
        elif event.kind == kinds.STEP_OUTCOME:
            pending.pop(event.payload["key"], None)
    return list(pending.values())


def duplicated_effects(events: Iterable[Event]) -> int:
    """How many idempotency keys took effect more than once (promise: none)."""
    applied = Counter(
        event.payload["key"]
        for event in events
        if event.kind == kinds.STEP_OUTCOME and event.payload["result"] == "applied"
    )
    return sum(1 for times in applied.values() if times > 1)


def _opened(event: Event) -> IncidentSummary:
    opened = event.read(IncidentOpened)
    return IncidentSummary(
        id=event.incident,
        target=event.target,
        goal=opened.goal,
        concern=opened.concern,
        trigger=opened.trigger,
        summary=opened.summary,
        detected_at=event.at,
        event_time=opened.event_time,
    )


def _after(incident: IncidentSummary, event: Event) -> IncidentSummary:
    match event.kind:
        case kinds.DIAGNOSIS_MADE if not event.missing:
            made = event.read(DiagnosisMade)
            change = {"diagnosis": made.cause, "confidence": made.confidence}
            return incident.model_copy(update=change)
        case kinds.STEP_INTENDED | kinds.STEP_OUTCOME | kinds.STEP_VERIFIED:
            return incident.model_copy(update={"actions": _acted(incident.actions, event)})
        case kinds.INCIDENT_WAITING:
            event.read(IncidentWaiting)
            return incident.model_copy(update={"status": "waiting"})
        case kinds.INCIDENT_RESUMED:
            event.read(IncidentResumed)
            return incident.model_copy(
                update={"status": "open", "resolved_at": "", "resolved_event_time": ""}
            )
        case kinds.INCIDENT_RESOLVED:
            return _closed(incident, event, event.read(IncidentResolved), "resolved")
        case kinds.INCIDENT_ESCALATED:
            return _closed(incident, event, event.read(IncidentEscalated), "escalated")
        case _:
            return incident


def _closed(
    incident: IncidentSummary,
    event: Event,
    end: IncidentResolved | IncidentEscalated,
    status: Status,
) -> IncidentSummary:
    return incident.model_copy(
        update={
            "status": status,
            "outcome": end.outcome,
            "resolved_at": event.at,
            "resolved_event_time": end.event_time,
        }
    )


def _acted(actions: Sequence[Action], event: Event) -> tuple[Action, ...]:
    """``actions`` with what ``event`` says about one of them."""
    if event.kind == kinds.STEP_INTENDED:
        return (*actions, _intended(event))
    changed = list(actions)
    for place in range(len(changed) - 1, -1, -1):
        if changed[place].key == event.payload["key"]:
            changed[place] = changed[place].model_copy(update=_learned(event))
            break
    return tuple(changed)


def _intended(event: Event) -> Action:
    step = event.read(StepIntended)
    return Action(
        key=step.key,
        tool=step.tool,
        agent=step.agent,
        attempt=step.attempt,
        outcome="pending",
        started=event.at,
    )


def _learned(event: Event) -> dict[str, str]:
    if event.kind == kinds.STEP_OUTCOME:
        outcome = event.read(StepOutcome)
        return {"outcome": outcome.result, "detail": outcome.detail, "finished": event.at}
    verified = event.read(StepVerified)
    return {"verdict": verified.verdict}
