"""Checks that serving computes what training computed: the same rows, the same probabilities."""

from __future__ import annotations

import math
from typing import Any

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CANARY, CHALLENGER, PROVED, SHARE, SKEW
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.served import look
from tools.artifact import load_predictor
from tools.managed_model import ManagedModel

TOLERANCE = 1e-4
"""Largest difference of a probability that rounding between runtimes explains (the ONNX twin is
held to the same at saving)."""
ROWS = 30
"""Served rows that must agree; fewer are waited for."""


class CheckTrainingServingSkew:
    """Recomputes logged predictions of the challenger from its registered artifact."""

    contract = Contract(
        name="check_training_serving_skew",
        agent="feature_engineer",
        purpose="Compare what the challenger's server answered with its registered artifact.",
        concern="model",
        undo="nothing to undo",
        deadline_s=120.0,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        first = model.spec.rollout.steps_percent[0]
        return (
            self.contract.operation(
                requires=(
                    is_(CHALLENGER, "ready"),
                    is_(SHARE, first),
                    is_(PROVED, first),
                    is_(CANARY, "watching"),
                ),
                achieves={SKEW: "none"},
                cost=Cost(minutes=0.2),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        return Receipt(detail="comparing served with recomputed probabilities")

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        challenger = look(desk, call.model).must_challenger()
        served = _served_rows(desk, call.model, challenger.version)
        if len(served) < ROWS:
            return Verification(
                holds=Holds.UNKNOWN, detail=f"{len(served)} of {ROWS} served rows are logged"
            )
        folder = desk.registry.fetch(challenger.model, challenger.version, desk.artifacts)
        expected = load_predictor(folder).predict(served)
        apart = max(
            abs(row["probability"] - value) for row, value in zip(served, expected, strict=True)
        )
        figures = {"rows": float(len(served)), "largest_difference": apart}
        if apart <= TOLERANCE:
            return Verification(
                holds=Holds.HOLDS,
                detail=f"{len(served)} served rows differ by at most {apart:.1e}",
                facts={SKEW: "none"},
                memory=memory.model_copy(update={"skew": "none"}),
                figures=figures,
            )
        return Verification(
            holds=Holds.BROKEN,
            detail=f"served and recomputed probabilities differ by {apart:.4f}",
            facts={SKEW: "found", CANARY: "harmful"},
            memory=_found(memory),
            figures=figures,
        )


def _found(memory: TargetMemory) -> TargetMemory:
    canary = memory.canary
    ended = canary.model_copy(update={"outcome": "harmful"}) if canary else None
    return memory.model_copy(update={"skew": "found", "canary": ended})


def _served_rows(desk: Desk, model: ManagedModel, version: str) -> list[dict[str, Any]]:
    """The newest logged rows of the version, as its server saw them: masked columns are None."""
    extent = desk.log.extent(model.target)
    if extent.watermark is None:
        return []
    schema = model.spec.schema_
    window = model.spec.evidence.window
    frame = desk.log.predictions(
        model.target,
        start=extent.watermark - 2 * window,
        end=extent.watermark,
        columns=schema.names,
        version=version,
    )
    rows: list[dict[str, Any]] = []
    for record in frame.tail(10 * ROWS).to_dict("records"):
        row = {name: _present(record[name]) for name in schema.names}
        row.update(dict.fromkeys(record["masked"]))
        row[schema.time_column] = record["event_time"].isoformat()
        row["probability"] = record["probability"]
        rows.append(row)
    return rows


def _present(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value
