"""Reads what a rule may look at: the values of this moment, from world, memory and journal.

A value that cannot be read is left unknown, and a rule that needs it denies (promise 7).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from agents.contract import Contract, Operation
from agents.deployer.shifting import before_each_step
from agents.facts import CAUSE, SHARE, UNKNOWN
from agents.served import Served
from orchestrator.evidence_context import error_budget_of, evidence_of
from orchestrator.ladder import clean_within, rung_of
from orchestrator.session import Session
from orchestrator.track_record import event_time_of, kind_of
from policies.context import (
    BudgetContext,
    CandidateContext,
    DataContext,
    DiagnosisContext,
    GuardContext,
    HistoryContext,
    LadderContext,
    LimitsContext,
    PlanContext,
    StepContext,
    TrafficContext,
)

HOUR = timedelta(hours=1)


def context_of_target(
    session: Session,
    operation: Operation,
    *,
    incident: str,
    plan: PlanContext,
    stage: Literal["planning", "acting"],
) -> GuardContext:
    """Everything that is the same for every step of the target now; ``for_step`` adds the rest."""
    rules, now = session.model.spec.guardrails, session.desk.clock.now()
    standing = session.rulebook.record.standing(session.target)
    cause = session.state.value(CAUSE)
    return GuardContext(
        stage=stage,
        target=session.target,
        incident=incident,
        now=now,
        event_time=event_time(session),
        autonomy=rung_of(rules, standing),
        facts=session.state.values(),
        step=StepContext(tool=operation.tool, agent=operation.agent),
        plan=plan,
        diagnosis=DiagnosisContext(cause=None if cause == UNKNOWN else str(cause)),
        evidence=evidence_of(session.model, session.memory),
        data=_data(session),
        budget=_budget(session),
        calendar=session.rulebook.calendar(session.model, now),
        fleet=session.rulebook.at(session.target, now),
        error_budget=error_budget_of(session.model, session.memory),
        limits=LimitsContext(ask_before=rules.ask_before),
        ladder=LadderContext(
            is_set=rules.ladder is not None,
            ceiling=rules.autonomy,
            clean_incidents=len(clean_within(rules, standing, session.event_time)),
        ),
        pause=session.kill_switch.read(session.target),
    )


def for_step(
    session: Session,
    common: GuardContext,
    operation: Operation,
    *,
    attempt: int | None = None,
    served: Served | None = None,
) -> GuardContext:
    """``common`` with what is about this very step; ``served`` where somebody has looked."""
    parts: dict[str, Any] = {
        "step": _step(session, operation, attempt),
        "history": _history(session, operation, common.incident),
        "traffic": _traffic(session, operation, served),
        "candidate": _candidate(session, served),
    }
    return GuardContext(**{**dict(common), **parts})


def event_time(session: Session) -> datetime | None:
    """The prediction log's watermark, None before there is one."""
    return event_time_of(session.event_time) if session.event_time else None


def _step(session: Session, operation: Operation, attempt: int | None) -> StepContext:
    contract = session.tools[operation.tool].contract
    outstanding = session.rulebook.record.of(session.target).outstanding
    return StepContext(
        tool=operation.tool,
        agent=operation.agent,
        arguments=dict(operation.arguments),
        changes_production=contract.changes_production,
        is_safe_return=contract.is_safe_return,
        takes_back_own=operation.tool in outstanding,
        undo=contract.undo,
        risk=operation.cost.risk,
        risks=_risks(operation, contract),
        cost_minutes=operation.cost.minutes,
        cost_money=operation.cost.money,
        attempt=attempt,
    )


def _risks(operation: Operation, contract: Contract) -> tuple[str, ...]:
    """The risks of a step by the names that documents use (spec.guardrails.askBefore)."""
    percent = int(operation.arguments.get("percent", 0)) if contract.changes_production else 0
    named = {
        "irreversible": contract.undo == "irreversible",
        "most-traffic": percent > 50,
        "all-traffic": percent == 100,
        "gives-up-way-back": operation.tool == "retire_version",
        "trains": kind_of(operation.tool) == "retrain",
    }
    return tuple(name for name, applies in named.items() if applies)


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
        was_sent_back=challenger.version in session.memory.refused,
        digest_matches=bool(server and server.artifact_digest == challenger.artifact_digest),
        ready=served.is_ready(challenger),
    )


def _budget(session: Session) -> BudgetContext:
    rules, now = session.model.spec.guardrails, event_time(session)
    start = now - rules.budget_period if now else datetime.min.replace(tzinfo=UTC)
    begun = [t for t in session.memory.retrains if event_time_of(t) > start]
    spent = session.rulebook.record.of(session.target).by_event_time.since(start)
    limits = rules.budget.model_dump()
    return BudgetContext(
        retrains=len(begun) if now else None,
        max_retrains=rules.max_retrains,
        spent={name: amount for name, amount in spent.items() if name in limits},
        limits={name: float(most) for name, most in limits.items() if most is not None},
    )


def _history(session: Session, operation: Operation, incident: str) -> HistoryContext:
    """Steps of this kind that were begun in other incidents of the target."""
    record, rules = session.rulebook.record.of(session.target), session.model.spec.guardrails
    times = [at for of, at in record.begun[kind_of(operation.tool)] if of != incident]
    now = event_time(session)
    if now is None:
        return HistoryContext(same_kind=len(times), cool_down_hours=rules.cool_down / HOUR)
    last = event_time_of(times[-1]) if times and times[-1] else None
    judged = session.memory.judged_until
    return HistoryContext(
        same_kind=len(times),
        hours_since_same_kind=(now - last) / HOUR if last else None,
        evidence_hours_since_same_kind=(
            (event_time_of(judged) - last) / HOUR if last and judged else None
        ),
        cool_down_hours=rules.cool_down / HOUR,
        reversals=record.reversals.counts(now - rules.budget_period),
    )
