"""A backtest's actions as a journal, to be read like production's: ``mendloop audit show``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from orchestrator.goals import QUALITY_MET
from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.payloads import (
    IncidentEscalated,
    IncidentOpened,
    IncidentResolved,
    PlanMade,
    PlannedStep,
    StepOutcome,
)
from orchestrator.journal.sqlite import SqliteJournal
from simulations.backtest.actions import Action
from tools.values import Value

JOURNAL = "mendloop.db"
_OPENING = ("retrain", "denied", "leave_alone")
_TOOLS = {"retrain": "retrain_full", "withdraw": "withdraw_challenger"}
"""Tools whose name differs from the action's."""
_AGENTS = {"retrain": "trainer", "leave_alone": "monitor", "denied": "orchestrator"}


def write_journal(target: str, actions: tuple[Action, ...], path: Path) -> None:
    """Write a new journal; one that a backtest left there before goes."""
    for old in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        old.unlink(missing_ok=True)
    journal = SqliteJournal(path)
    try:
        entries = _entries(target, actions)
        if entries:
            journal.append_many(entries)
    finally:
        journal.close()


def _entries(target: str, actions: tuple[Action, ...]) -> list[Entry]:
    entries: list[Entry] = []
    last = len(actions) - 1
    incident = ""
    for number, action in enumerate(actions):
        at = datetime.fromisoformat(action.time).replace(tzinfo=UTC)
        is_last = number == last or actions[number + 1].action in _OPENING
        if action.action in _OPENING:
            incident = f"backtest-row-{action.row}"
        for kind, actor, payload in _lines(action, is_opening=action.action in _OPENING):
            entries.append(_entry(kind, at, target, incident, actor, payload))
        if is_last:
            kind, end = _end(action)
            entries.append(_entry(kind, at, target, incident, "orchestrator", end))
    return entries


def _lines(action: Action, *, is_opening: bool) -> list[tuple[str, str, Value]]:
    lines: list[tuple[str, str, Value]] = []
    if is_opening:
        opened = IncidentOpened(
            goal=QUALITY_MET.name,
            concern=QUALITY_MET.concern,
            trigger=action.trigger,
            summary=action.reason,
            event_time=action.time,
        )
        lines.append((kinds.INCIDENT_OPENED, "monitor", opened))
    if action.plan:
        steps = tuple(PlannedStep(tool=name, agent="") for name in action.plan)
        plan = PlanMade(goal=QUALITY_MET.name, steps=steps, event_time=action.time)
        lines.append((kinds.PLAN_MADE, "orchestrator", plan))
    tool = _TOOLS.get(action.action, action.action)
    outcome = StepOutcome(
        key=f"row-{action.row}-{tool}",
        tool="retrain_full" if action.action == "denied" else tool,
        result="refused" if action.action == "denied" else "applied",
        output={"version": str(action.version)} if action.version else {},
        detail=action.reason,
    )
    lines.append((kinds.STEP_OUTCOME, _AGENTS.get(action.action, "deployer"), outcome))
    return lines


def _end(action: Action) -> tuple[str, Value]:
    if action.action == "denied":
        reason = f"forbidden: {action.reason}"
        return kinds.INCIDENT_ESCALATED, IncidentEscalated(summary=reason, event_time=action.time)
    ended = IncidentResolved(outcome=action.action, summary=action.reason, event_time=action.time)
    return kinds.INCIDENT_RESOLVED, ended


def _entry(
    kind: str, at: datetime, target: str, incident: str, actor: str, payload: Value
) -> Entry:
    return Entry(kind=kind, at=at, target=target, incident=incident, actor=actor, payload=payload)
