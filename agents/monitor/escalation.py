"""Leaves a target alone when nothing better is known: an option that is priced like any other."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CAUSE, QUALITY
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.managed_model import ManagedModel
from tools.statistics.betting import RestartedBets


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
        return (
            self.contract.operation(
                requires=(is_(CAUSE, "nothing"),),
                achieves={QUALITY: "meets"},
                cost=Cost(minutes=0.1),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        # The alarm that the loss is up is spent on this decision; only new evidence may raise it
        # again. Evidence that the model itself is wrong goes on counting.
        performance = memory.performance
        if performance is not None:
            performance = performance.model_copy(update={"degraded": RestartedBets()})
        return Receipt(
            detail="nothing is changed; the loss is counted anew from here",
            memory=memory.model_copy(update={"performance": performance}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=Holds.HOLDS, detail="nothing was changed")
