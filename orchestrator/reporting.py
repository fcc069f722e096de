"""Puts what a thread decided into the journal's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.contract import Operation
from agents.diagnosis import Diagnosis, Evidence
from agents.memory import Compared
from agents.monitor.observe import Observation
from orchestrator.guard import Judged
from orchestrator.journal import kinds
from orchestrator.journal.incidents import fold_incidents
from orchestrator.journal.payloads import (
    AlertTold,
    DiagnosisMade,
    GuardJudged,
    IncidentEscalated,
    IncidentResolved,
    IncidentWaiting,
    PlanFailed,
    PlanInputs,
    PlanMade,
    PlannedStep,
    Rejected,
    Rival,
    WindowObserved,
)
from orchestrator.planner import NoPlan, Plan
from orchestrator.planner import Rejected as Option
from orchestrator.recorder import Line, document_digest
from orchestrator.session import Session
from orchestrator.steps import StepRecord
from tools.alerts import Alert
from tools.values import Value, digest

LEFT_ALONE = "left alone"
TAKEN_OVER = "taken over"
"""How the incidents of a target end that a person takes in hand."""
GAVE_WAY = "gave way"
"""How one ends that only the calendar asked for, when something is wrong meanwhile."""
RELEASED = "released"
"""How those of a target end whose model document was removed."""


def window_lines(observation: Observation) -> list[Line]:
    """One event per window that was validated or judged, and per alert that came or went."""
    heard = observation.heard
    lines: list[Line] = [(kinds.ALERT_FIRED, "monitor", _alert(each)) for each in heard.fired]
    lines += [(kinds.ALERT_RESOLVED, "monitor", _alert(each)) for each in heard.resolved]
    for checked in observation.validated:
        found = WindowObserved(
            start=checked.start,
            end=checked.end,
            rows=checked.report.rows,
            event_time=observation.event_time,
            facts={"state": checked.report.state.value, "reasons": list(checked.report.reasons)},
        )
        lines.append((kinds.WINDOW_OBSERVED, "data_validator", found))
    for judged in observation.judged:
        labelled = judged.window.labelled
        found = WindowObserved(
            start=judged.start,
            end=judged.end,
            rows=judged.window.matured,
            labelled=labelled,
            event_time=observation.event_time,
            facts={
                "version": judged.version,
                "log_loss": judged.window.loss / max(1, labelled),
                "expected": judged.window.expected / max(1, labelled),
            },
        )
        lines.append((kinds.WINDOW_OBSERVED, "monitor", found))
    lines += [(kinds.WINDOW_OBSERVED, "monitor", _seen(one)) for one in observation.compared]
    return lines


def _alert(alert: Alert) -> AlertTold:
    return AlertTold.model_validate(alert.model_dump(exclude={"target"}))


def _seen(compared: Compared) -> WindowObserved:
    """What came in beside the champion's reference; the loss is an estimate without labels."""
    facts: dict[str, Any] = {
        "windows": compared.span,
        "inputs": compared.inputs.verdict.value,
        "shifted": list(compared.shifted),
        "reason": compared.inputs.reason,
    }
    if compared.estimate is not None:
        corrected = compared.estimate.corrected
        told = compared.estimate.expected if corrected is None else corrected
        facts["estimated_log_loss"] = round(told, 6)
    return WindowObserved(
        start=compared.start,
        end=compared.end,
        rows=compared.rows,
        event_time=compared.end,
        facts=facts,
    )


def write_waiting(session: Session, incident: str, reason: str) -> None:
    """The incident sleeps until something outside moves on."""
    payload = IncidentWaiting(reason=reason, event_time=session.event_time)
    _write(session, incident, kinds.INCIDENT_WAITING, "orchestrator", payload)


def write_diagnosis(session: Session, incident: str, found: Diagnosis, evidence: Evidence) -> None:
    """The cause, its reasons and its rivals, with the evidence that was weighed."""
    weighed = evidence.model_dump(mode="json")
    payload = told_diagnosis(found).model_copy(
        update={
            "facts": session.state.values(),
            "evidence": weighed,
            "evidence_digest": digest(weighed),
            "event_time": session.event_time,
        }
    )
    _write(session, incident, kinds.DIAGNOSIS_MADE, "monitor", payload)


def told_diagnosis(found: Diagnosis) -> DiagnosisMade:
    """The decision alone, in the journal's words."""
    rivals = tuple(
        Rival(cause=r.cause.value, confidence=r.confidence, reason=r.against) for r in found.rivals
    )
    return DiagnosisMade(
        cause=found.cause.value, confidence=found.confidence, reasons=found.reasons, rivals=rivals
    )


def write_plan(session: Session, incident: str, plan: Plan) -> None:
    """The plan, the runner-up, and why every other option was left."""
    change = {"inputs": _inputs(session, plan), "event_time": session.event_time}
    payload = told_plan(plan).model_copy(update=change)
    _write(session, incident, kinds.PLAN_MADE, "orchestrator", payload)


def write_no_plan(session: Session, incident: str, failed: NoPlan, reason: str) -> None:
    """What stands in the way of the goal."""
    change = {"inputs": _inputs(session, failed), "event_time": session.event_time}
    payload = told_failure(failed, reason).model_copy(update=change)
    _write(session, incident, kinds.PLAN_FAILED, "orchestrator", payload)


def told_plan(plan: Plan) -> PlanMade:
    """The decision alone, in the journal's words."""
    return PlanMade(
        goal=plan.goal,
        steps=_steps(plan.steps),
        runner_up=_steps(plan.runner_up),
        rejected=_rejected(plan.rejected),
        cost=plan.cost,
    )


def told_failure(failed: NoPlan, reason: str) -> PlanFailed:
    """That there is no plan, in the journal's words."""
    return PlanFailed(
        goal=failed.goal,
        reason=reason,
        missing=failed.missing,
        rejected=_rejected(failed.rejected),
    )


def _inputs(session: Session, found: Plan | NoPlan) -> PlanInputs | None:
    if not found.facts:
        return None
    return PlanInputs(
        facts=found.facts, ruled_out=found.ruled_out, model=document_digest(session.model)
    )


def write_ruling(session: Session, step: StepRecord, judged: Judged) -> None:
    """What the guardrails said of a step, and all that they could read."""
    line = _ruling_line(session, judged, key=step.key)
    session.remember(None, [line], incident=step.incident)


def write_forbidden(
    session: Session, state: Mapping[str, Any], found: Mapping[str, Judged]
) -> dict[str, str]:
    """What the guardrails forbid while planning, where that is new; what is said now, by name."""
    said = {name: ", ".join(judged.ruling.forbidding) for name, judged in sorted(found.items())}
    known = state.get("forbidden", {})
    lines = [_ruling_line(session, found[n]) for n in said if known.get(n) != said[n]]
    if lines:
        session.remember(None, lines, incident=state["incident"])
    return said


def _ruling_line(session: Session, judged: Judged, key: str = "") -> Line:
    payload = GuardJudged(
        tool=judged.operation.tool,
        stage=judged.context.stage,
        ruling=judged.ruling,
        key=key,
        event_time=session.event_time,
        policies=session.rulebook.rules.digest,
        context=judged.context.model_dump(mode="json", exclude_none=True),
    )
    return (kinds.GUARD_JUDGED, "policies", payload)


def write_end(session: Session, incident: str, outcome: str, reason: str) -> None:
    """How the incident ended, in the words of what was done; written once."""
    summary = next(
        i
        for i in fold_incidents(session.recorder.journal.events(incident=incident))
        if i.id == incident
    )
    if summary.status in ("resolved", "escalated"):
        return
    memory = session.memory.model_copy(update={"pinned": None})
    done = [a.tool for a in summary.actions if a.outcome in ("applied", "already")]
    if outcome == "escalated":
        end: Value = IncidentEscalated(summary=reason, event_time=session.event_time)
        line = (kinds.INCIDENT_ESCALATED, "monitor", end)
    else:
        end = IncidentResolved(
            outcome=outcome if outcome in (TAKEN_OVER, GAVE_WAY, RELEASED) else _outcome(done),
            summary=", ".join(done) or "nothing had to be done",
            event_time=session.event_time,
        )
        line = (kinds.INCIDENT_RESOLVED, "orchestrator", end)
    session.remember(memory, [line], incident=incident)


def _outcome(done: list[str]) -> str:
    """One word for people, from the last decisive act."""
    words = {
        "promote": "promoted",
        "roll_back": "undone",
        "switch_back": "switched back",
        "restore_inputs": "recovered",
        "restart_serving": "restarted",
        "withdraw_challenger": "withdrawn",
        "leave_alone": LEFT_ALONE,
    }
    decisive = [words[tool] for tool in done if tool in words]
    if "roll_back" in done and decisive and decisive[-1] == "withdrawn":
        return "undone"
    if not decisive and "stop_spare_servers" in done:
        return "tidied up"
    if not decisive and any(tool.startswith("retrain_") for tool in done):
        return "nothing better"
    return decisive[-1] if decisive else "resolved"


def _write(session: Session, incident: str, kind: str, actor: str, payload: Value) -> None:
    session.remember(None, [(kind, actor, payload)], incident=incident)


def _steps(operations: tuple[Operation, ...]) -> tuple[PlannedStep, ...]:
    return tuple(
        PlannedStep(
            tool=o.tool, agent=o.agent, arguments=dict(o.arguments), cost=round(o.cost.total, 3)
        )
        for o in operations
    )


def _rejected(options: tuple[Option, ...]) -> tuple[Rejected, ...]:
    return tuple(Rejected(tool=o.option, reason=o.reason) for o in options)
