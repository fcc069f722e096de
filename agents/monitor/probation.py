"""Watches a new champion until late labels have had their say."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CHAMPION, QUALITY, UNKNOWN
from agents.memory import Probation, TargetMemory
from agents.ports import Desk
from agents.windows import parse
from tools.managed_model import ManagedModel
from tools.statistics.verdict import Judgement, Verdict


class WatchProbation:
    """Ends a probation: proved worse than the former champion, or through its time without that."""

    contract = Contract(
        name="watch_probation",
        agent="monitor",
        purpose="Compare the new champion with the former on matured labels until probation ends.",
        concern="model",
        undo="switch_back",
        deadline_s=60 * 86400.0,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(CHAMPION, "probation"),),
                achieves={CHAMPION: "settled", QUALITY: UNKNOWN},
                cost=Cost(minutes=60.0),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        probation = memory.probation
        if probation is None:
            return Receipt(already=True, detail="no champion is on probation")
        return Receipt(
            detail=f"version {probation.version} is on probation since {probation.promoted_at}"
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        probation = memory.probation
        if probation is None or probation.outcome == "passed":
            return Verification(holds=Holds.HOLDS, detail="no champion is on probation")
        judgement = probation.cohort.judge(alpha=call.model.spec.evidence.alpha)
        if judgement.verdict is Verdict.HARMFUL:
            return _ended(memory, probation, judgement, "harmful", Holds.BROKEN)
        if _is_over(call.model, probation) and _looks_worse(probation):
            late = judgement.model_copy(
                update={"reason": f"the probation is over and did not clear it: {judgement.reason}"}
            )
            return _ended(memory, probation, late, "harmful", Holds.BROKEN)
        if _is_over(call.model, probation):
            return _ended(memory, probation, judgement, "passed", Holds.HOLDS)
        return Verification(
            holds=Holds.UNKNOWN,
            detail=f"judged until {probation.judged_until}: {judgement.reason}",
        )


def _is_over(model: ManagedModel, probation: Probation) -> bool:
    """Only labels that had their time count: the period runs in judged event time."""
    if not probation.promoted_at:
        return False
    lasted = parse(probation.judged_until) - parse(probation.promoted_at)
    return lasted >= model.spec.rollout.probation


def _looks_worse(probation: Probation) -> bool:
    """Undecided, and worse by more than the margin on the rows that are there: the deadline
    undoes. Whoever is cleared, or has no labels, is not sent back."""
    cohort = probation.cohort
    return bool(cohort.labelled) and cohort.difference / cohort.labelled > cohort.margin


def _ended(
    memory: TargetMemory, probation: Probation, judgement: Judgement, outcome: str, holds: Holds
) -> Verification:
    ended = probation.model_copy(update={"outcome": outcome})
    facts = {CHAMPION: "broken" if outcome == "harmful" else "settled"}
    return Verification(
        holds=holds,
        detail=judgement.reason,
        facts=dict(facts),
        memory=memory.model_copy(update={"probation": ended}),
        figures=judgement.figures,
    )
