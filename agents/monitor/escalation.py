"""Leaves a target alone when nothing better is known: an option that is priced like any other."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CAUSE, QUALITY
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.managed_model import ManagedModel


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
        # The evidence so far is spent on this decision; only new evidence may reopen it.
        return Receipt(
            detail="nothing is changed; the evidence starts anew",
            memory=memory.model_copy(update={"performance": None}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=Holds.HOLDS, detail="nothing was changed")
