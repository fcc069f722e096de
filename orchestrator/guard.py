"""May this step be taken now? Reads the values of the moment and lets the policies judge.

Called right before the act; a denial sends the incident back to the planner, which leaves the step
out and says which rule did. A value that cannot be read is left unknown, and a rule that needs it
denies (promise 7).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.contract import Operation
from agents.deployer.shifting import before_each_step
from agents.facts import CAUSE, SHARE, UNKNOWN
from agents.served import Served, look
from orchestrator.journal import kinds
from orchestrator.session import Session
from policies.context import (
    BudgetContext,
    CandidateContext,
    DataContext,
    DiagnosisContext,
    GuardContext,
    HistoryContext,
    PlanContext,
    StepContext,
    TrafficContext,
)
from policies.engine import judge
from policies.ruling import Decision, Ruling
from tools.errors import MendloopError, Unavailable

RETRAINING = ("retrain_recent", "retrain_full")
"""Tools that count as retraining for the budget and the cool-down."""

TRANSIENT = ("kill-switch", "data-trust", "cool-down")
"""Policies whose denial may end by itself: the incident waits instead of escalating."""


def rule_on(
    session: Session,
    operation: Operation,
    *,
    incident: str,
    goal: str,
    attempt: int = 1,
) -> Ruling:
    """What the policies in force say about the step, with the values of this moment.

    Raises Unavailable where they deny for want of values that the platform does not give just now:
    the step waits, neither allowed nor ruled out.
    """
    served, silence = _served(session)
    cause = session.state.value(CAUSE)
    context = GuardContext(
        target=session.target,
        incident=incident,
        now=session.desk.clock.now(),
        event_time=_event_time(session.event_time),
        autonomy=session.model.spec.guardrails.autonomy,
        facts=session.state.values(),
        step=_step(session, operation, attempt),
        plan=PlanContext(goal=goal),
        diagnosis=DiagnosisContext(cause=None if cause == UNKNOWN else str(cause)),
        data=_data(session),
        traffic=_traffic(session, operation, served),
        candidate=_candidate(session, served),
        budget=_budget(session),
        history=_history(session, operation, incident),
        pause=session.kill_switch.read(session.target),
    )
    ruling = judge(session.policies, context)
    if silence and ruling.decision is Decision.DENY:
        raise Unavailable(f"{operation.name} waits for the platform: {silence}")
    return ruling


def is_transient(ruling: Ruling) -> bool:
    """Whether every rule that denied may stop denying by itself."""
    denying = [v for v in ruling.verdicts if v.action == "Deny" and v.result != "passed"]
    return bool(denying) and all(v.policy in TRANSIENT for v in denying)


def _served(session: Session) -> tuple[Served | None, str]:
    """What serves the target now, or why the platform does not say."""
    try:
        return look(session.desk, session.model, session.memory), ""
    except Unavailable as error:
        return None, str(error)
    except MendloopError:
        return None, ""


def _step(session: Session, operation: Operation, attempt: int) -> StepContext:
    contract = session.tools[operation.tool].contract
    return StepContext(
        tool=operation.tool,
        agent=operation.agent,
        arguments=dict(operation.arguments),
        changes_production=contract.changes_production,
        is_safe_return=contract.is_safe_return,
        risk=operation.cost.risk,
        cost_minutes=operation.cost.minutes,
        attempt=attempt,
    )


def _data(session: Session) -> DataContext:
    feeds = tuple(sorted({span.feed for span in session.memory.open_spans}))
    if not session.memory.validated_until:
        return DataContext()
    return DataContext(trusted=not feeds, distrusted_feeds=feeds)


def _traffic(session: Session, operation: Operation, served: Served | None) -> TrafficContext:
    if served is None:
        return TrafficContext()
    wanted = operation.arguments.get("percent")
    current = int(session.state.value(SHARE)) if session.state.value(SHARE) != UNKNOWN else None
    proved = session.memory.canary.proved_percent if session.memory.canary else 0
    allowed = [p for p, before in before_each_step(session.model).items() if before <= proved]
    return TrafficContext(
        split=dict(served.split.shares),
        current_percent=current,
        next_percent=int(wanted) if wanted is not None else current,
        allowed_percent=max(allowed, default=0),
    )


def _candidate(session: Session, served: Served | None) -> CandidateContext:
    """The version that is being released; a promotion cut off half-way has made it champion."""
    challenger = served.challenger if served else None
    watch = session.memory.canary
    if challenger is None and served and served.champion and watch:
        challenger = served.champion if served.champion.version == watch.version else None
    if served is None or challenger is None:
        return CandidateContext()
    server = served.servers.get(challenger.version)
    return CandidateContext(
        version=challenger.version,
        gates_passed=challenger.gates_passed,
        digest_matches=bool(server and server.artifact_digest == challenger.artifact_digest),
        ready=served.is_ready(challenger),
    )


def _budget(session: Session) -> BudgetContext:
    rules = session.model.spec.guardrails
    now = _event_time(session.event_time)
    if now is None:
        return BudgetContext()
    recent = [t for t in session.memory.retrains if now - _time(t) < rules.budget_period]
    return BudgetContext(retrains=len(recent), max_retrains=rules.max_retrains)


def _history(session: Session, operation: Operation, incident: str) -> HistoryContext:
    """Steps of this kind that were begun in other incidents of the target."""
    family = RETRAINING if operation.tool in RETRAINING else (operation.tool,)
    intents = session.recorder.journal.events(target=session.target, kinds=[kinds.STEP_INTENDED])
    times = [
        event.payload["event_time"]
        for event in intents
        if event.incident != incident and event.payload["tool"] in family
    ]
    now = _event_time(session.event_time)
    cool_down = session.model.spec.guardrails.cool_down
    hours = None
    if now is not None and times and times[-1]:
        hours = (now - _time(times[-1])) / timedelta(hours=1)
    return HistoryContext(
        same_kind=len(times),
        hours_since_same_kind=hours,
        cool_down_hours=cool_down / timedelta(hours=1),
    )


def _event_time(text: str) -> datetime | None:
    return _time(text) if text else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
