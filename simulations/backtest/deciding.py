"""What mendloop decides in a backtest: production's goals, diagnosis, planner and guardrails.

What stands in for production: the steps of a plan that move servers and traffic have their promised
effect at once (recorded rows carry no latencies or errors to judge a canary by), and two triggers
that production's controller does not have yet, data volume and the worth of retraining, open an
incident as a degraded model does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agents.catalog import all_tools
from agents.contract import Operation
from agents.diagnosis import Diagnosis, diagnose
from agents.evidence import Evidence
from agents.facts import (
    CANARY,
    CAUSE,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    PROVED,
    QUALITY,
    QUARANTINE,
    SHARE,
    SKEW,
    TRAINING_DATA,
    UNKNOWN,
    Scalar,
)
from orchestrator.goals import QUALITY_MET
from orchestrator.planner import Plan, make_plan
from orchestrator.policy_files import builtin_policies
from policies.context import (
    BudgetContext,
    CalendarContext,
    DataContext,
    DiagnosisContext,
    FleetContext,
    GuardContext,
    HistoryContext,
    LimitsContext,
    PauseContext,
    PlanContext,
    StepContext,
)
from policies.engine import Decision, judge
from tools.managed_model import ManagedModel
from tools.statistics.performance import PerformanceEvidence
from tools.statistics.verdict import Verdict

RETRAIN = "retrain_full"
_HOUR = timedelta(hours=1)
PERFORMANCE = "performance"
"""Trigger: harm is proved."""
VOLUME = "data_volume"
"""Trigger: so many new rows that a new model knows more, whether or not the old one is wrong."""


def usual_facts() -> dict[str, Scalar]:
    """A target on which nothing is under way."""
    return {
        DATA_TRUST: "trusted",
        QUARANTINE: "none",
        INPUTS: "raw",
        TRAINING_DATA: "none",
        QUALITY: "meets",
        CAUSE: UNKNOWN,
        CHALLENGER: "none",
        SHARE: 0,
        PROVED: 0,
        CANARY: "none",
        SKEW: UNKNOWN,
        CHAMPION: "settled",
        FORMER: "none",
    }


@dataclass
class Decisions:
    """The deciding part of the loop, over one target."""

    model: ManagedModel
    retrains: list[datetime] = field(default_factory=list)
    """Event times of those that were begun."""
    reversals: int = 0
    """Promotions that were taken back."""

    def __post_init__(self) -> None:
        self._tools = all_tools()
        self._policies = builtin_policies()
        self._plans: dict[tuple[str, str], Plan | None] = {}

    def why(self, evidence: PerformanceEvidence) -> Diagnosis:
        """The cause of a degraded model, by what its matured labels say."""
        is_wrong = evidence.miscalibrated.verdict is Verdict.HARMFUL
        degraded = evidence.degraded
        return diagnose(
            Evidence(
                target=self.model.target,
                data=(),
                degraded=None if is_wrong and degraded.verdict is Verdict.HEALTHY else degraded,
                excess=evidence.miscalibrated,
            )
        )

    def plan(self, trigger: str, cause: str) -> Plan | None:
        """The cheapest plan for a model that does not meet its objectives, or None."""
        known = (trigger, cause)
        if known not in self._plans:
            facts = usual_facts() | {QUALITY: "degraded", CAUSE: cause}
            found = make_plan(
                QUALITY_MET.name,
                QUALITY_MET.reached_when,
                facts,
                self._operations(trigger),
                {},
            )
            self._plans[known] = found if isinstance(found, Plan) else None
        return self._plans[known]

    def denied(self, plan: Plan | None, moment: datetime, *, cause: str, judged: datetime) -> str:
        """Why the guardrails forbid the plan's retrain at this event time; empty: they allow it.

        ``judged``: the event time up to which labels have been counted.
        """
        if plan is None:
            return "no plan leads to a model that meets its objectives"
        step = next(step for step in plan.steps if step.tool == RETRAIN)
        context = self._context(step, moment, cause, judged)
        ruling = judge(self._policies, context)
        if ruling.decision is Decision.ALLOW:
            return ""
        return "; ".join(ruling.reasons) or str(ruling.decision.value)

    def _operations(self, trigger: str) -> list[Operation]:
        found = [
            operation
            for tool in self._tools.values()
            if tool.contract.concern == QUALITY_MET.concern
            for operation in tool.operations(self.model)
        ]
        return [_whatever_the_cause(o) for o in found] if trigger == VOLUME else found

    def _context(
        self, step: Operation, moment: datetime, cause: str, judged: datetime
    ) -> GuardContext:
        contract = self._tools[step.tool].contract
        rules = self.model.spec.guardrails
        recent = [t for t in self.retrains if moment - t < rules.budget_period]
        last = self.retrains[-1] if self.retrains else None
        aware = moment.replace(tzinfo=UTC)
        return GuardContext(
            target=self.model.target,
            now=aware,
            event_time=aware,
            autonomy=rules.autonomy,
            facts=usual_facts(),
            step=StepContext(
                tool=contract.name,
                agent=contract.agent,
                changes_production=contract.changes_production,
                is_safe_return=contract.is_safe_return,
                takes_back_own=False,
                undo=contract.undo,
                risks=("trains",),
                risk=step.cost.risk,
                cost_minutes=step.cost.minutes,
                cost_money=step.cost.money,
                attempt=1,
            ),
            plan=PlanContext(goal=QUALITY_MET.name),
            diagnosis=DiagnosisContext(cause=None if cause == UNKNOWN else cause),
            data=DataContext(trusted=True, distrusted_feeds=()),
            budget=BudgetContext(
                retrains=len(recent), max_retrains=rules.max_retrains, spent={}, limits={}
            ),
            history=HistoryContext(
                same_kind=len(self.retrains),
                hours_since_same_kind=(moment - last) / _HOUR if last else None,
                evidence_hours_since_same_kind=(judged - last) / _HOUR if last else None,
                cool_down_hours=rules.cool_down / _HOUR,
                reversals=self.reversals,
            ),
            calendar=CalendarContext(
                time_zone="UTC",
                local_time=aware.isoformat(),
                weekday=f"{aware:%A}".lower(),
                hour=aware.hour,
                freezes=(),
                holidays=(),
            ),
            fleet=FleetContext(targets=1, changing=(), traffic_percent=100.0, spent={}, limits={}),
            limits=LimitsContext(ask_before=rules.ask_before),
            pause=PauseContext(active=False),
        )


def _whatever_the_cause(operation: Operation) -> Operation:
    """More data is a reason of its own: no cause of harm is asked for."""
    if operation.tool != RETRAIN:
        return operation
    left = tuple(c for c in operation.requires if c.fact != CAUSE)
    return operation.model_copy(update={"requires": left})
