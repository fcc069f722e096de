"""Checks that serving computes what training computed: the same rows, the same probabilities."""

from __future__ import annotations

import math
from typing import Any

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CANARY, CHALLENGER, PROVED, SHARE, SKEW
from agents.memory import CanaryWatch, TargetMemory
from agents.ports import Desk
from agents.served import look
from tools.artifact import load_predictor
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.verdict import Judgement, Verdict

TOLERANCE = 1e-4
"""Largest difference of a probability that rounding between runtimes explains (the ONNX twin is
held to the same at saving)."""
ROWS = 30
"""Served rows that must agree; fewer are waited for."""
LOOK_BACK = 28
"""Windows in which the newest served rows are looked for."""


class CheckTrainingServingSkew:
    """Recomputes logged predictions of the challenger from its registered artifact."""

    contract = Contract(
        name="check_training_serving_skew",
        agent="feature_engineer",
        purpose="Compare what the challenger's server answered with its registered artifact.",
        concern="model",
        undo="nothing to undo",
        deadline_s=7 * 86400.0,  # the document's step deadline rules, see verify
        changes_production=False,
        is_per_challenger=True,
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
        found = judge_skew(desk, call.model, challenger)
        match found.verdict:
            case Verdict.UNKNOWN:
                return _too_few(desk, call, memory, found.reason)
            case Verdict.HEALTHY:
                return Verification(
                    holds=Holds.HOLDS,
                    detail=found.reason,
                    facts={SKEW: "none"},
                    memory=memory.model_copy(update={"skew": "none"}),
                    figures=found.figures,
                )
            case Verdict.HARMFUL:
                return Verification(
                    holds=Holds.BROKEN,
                    detail=found.reason,
                    facts={SKEW: "found", CANARY: "harmful"},
                    memory=_found(memory),
                    figures=found.figures,
                )


def judge_skew(
    desk: Desk, model: ManagedModel, version: ModelVersion, *, log: str = ""
) -> Judgement:
    """Whether the version's newest logged answers are what its registered artifact computes.

    ``log``: where they are logged; empty: with what was served.
    """
    served = _served_rows(desk, model, version.version, log or model.target)
    if len(served) < ROWS:
        reason = f"{len(served)} of {ROWS} served rows are logged"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason)
    folder = desk.registry.fetch(version.model, version.version, desk.artifacts)
    expected = load_predictor(folder).predict(served)
    apart = max(
        abs(row["probability"] - value) for row, value in zip(served, expected, strict=True)
    )
    figures = {"rows": float(len(served)), "largest_difference": apart}
    if apart <= TOLERANCE:
        reason = f"{len(served)} served rows differ by at most {apart:.1e}"
        return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
    reason = f"served and recomputed probabilities differ by {apart:.4f}"
    return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)


def _too_few(desk: Desk, call: Call, memory: TargetMemory, detail: str) -> Verification:
    """Unknown until the step's deadline; then the canary goes back, undecided."""
    waited_s = desk.clock.monotonic_s() - call.started_s
    limit_s = call.model.spec.rollout.step_deadline.total_seconds()
    if 0 <= waited_s < limit_s:
        return Verification(holds=Holds.UNKNOWN, detail=detail)
    return Verification(
        holds=Holds.BROKEN,
        detail=f"no decision within {limit_s:g} s: {detail}",
        facts={CANARY: "undecided"},
        memory=memory.model_copy(update={"canary": _ended(memory, "undecided")}),
    )


def _found(memory: TargetMemory) -> TargetMemory:
    return memory.model_copy(update={"skew": "found", "canary": _ended(memory, "harmful")})


def _ended(memory: TargetMemory, outcome: str) -> CanaryWatch | None:
    return memory.canary.model_copy(update={"outcome": outcome}) if memory.canary else None


def _served_rows(desk: Desk, model: ManagedModel, version: str, log: str) -> list[dict[str, Any]]:
    """The newest logged rows of the version, as its server saw them: masked columns are None."""
    extent = desk.log.extent(log)
    if extent.watermark is None:
        return []
    schema = model.spec.schema_
    window = model.spec.evidence.window
    frame = desk.log.predictions(
        log,
        start=extent.watermark - LOOK_BACK * window,
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
