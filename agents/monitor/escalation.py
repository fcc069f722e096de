"""Leaves a target alone when nothing better is known: an option that is priced like any other."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CAUSE, QUALITY, RETRAINING
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.managed_model import ManagedModel
from tools.statistics.performance import PerformanceProcess
from tools.statistics.verdict import Verdict

DRIFTS = ("concept_drift", "covariate_drift", "label_drift", "prediction_drift")
"""No reason to act while labels show no loss above what the model itself expects."""


class LeaveAlone:
    """Does nothing, on purpose and on the record."""

    contract = Contract(
        name="leave_alone",
        agent="monitor",
        purpose="Keep still: the loss is up, but not because the model is wrong.",
        concern="model",
        undo="nothing to undo",
        deadline_s=30.0,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        cost = Cost(minutes=0.1)
        return (
            self.contract.operation(
                requires=(is_(CAUSE, "nothing"),), achieves={QUALITY: "meets"}, cost=cost
            ),
            self.contract.operation(
                arguments={"despite": "drift"},
                requires=(is_(CAUSE, *DRIFTS), is_(RETRAINING, "cannot_help")),
                achieves={QUALITY: "meets"},
                cost=cost,
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        # The alarm is spent on this decision: only new evidence may raise it again.
        performance, alpha = memory.performance, call.model.spec.evidence.alpha
        slices = {name: _anew(process, alpha) for name, process in memory.slices.items()}
        if performance is not None:
            performance = performance.anew()
            judged = performance.judge(alpha=alpha)
            if judged.miscalibrated.verdict is Verdict.HARMFUL:
                performance = None
        return Receipt(
            detail="nothing is changed; the loss is counted anew from here",
            memory=memory.model_copy(update={"performance": performance, "slices": slices}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=Holds.HOLDS, detail="nothing was changed")


def _anew(process: PerformanceProcess, alpha: float) -> PerformanceProcess:
    """A slice counted from here; one that was proved wrong begins from nothing."""
    counted = process.anew()
    if counted.judge(alpha=alpha).miscalibrated.verdict is Verdict.HARMFUL:
        return PerformanceProcess(
            reference_loss=process.reference_loss,
            tolerance=process.tolerance,
            min_label_rate=process.min_label_rate,
            keeps=process.keeps,
        )
    return counted
