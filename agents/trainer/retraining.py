"""Retrains through the pipeline: submits a keyed run, follows it, and believes only its gates."""

from __future__ import annotations

from typing import Any

from agents.contract import (
    Call,
    Contract,
    Cost,
    Holds,
    Operation,
    Receipt,
    Verification,
    is_,
)
from agents.facts import (
    CAUSE,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    REFRESH,
    RETRAINING,
    TRAINING_DATA,
    UNKNOWN,
)
from agents.memory import Pinned, TargetMemory
from agents.monitor.refresh import dealt_with
from agents.ports import Desk
from agents.served import look
from tools.data_files import read_table
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.registry import CHALLENGER as CHALLENGER_ALIAS
from tools.registry import ModelVersion

PIPELINE = "retrain"
DUE = "due"
"""Why a run was asked for: the document's triggers."""
REFUSED = "the gates refused it"
EQUAL = 1e-6
"""Rates of the same labels differ by rounding only."""


class Retrain:
    """One way to retrain: what data it takes, for which causes, at what cost."""

    def __init__(self, contract: Contract, scope: str, causes: tuple[str, ...], cost: Cost) -> None:
        self.contract = contract
        self._scope = scope
        self._causes = causes
        self._cost = cost

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        possible = (
            is_(TRAINING_DATA, self._scope),
            is_(DATA_TRUST, "trusted"),
            is_(CHALLENGER, "none"),
            is_(CHAMPION, "settled"),
            is_(FORMER, "none"),
        )
        sensible = (is_(CAUSE, *self._causes), is_(RETRAINING, "may_help", UNKNOWN))
        learning = self.contract.operation(
            requires=(*sensible, *possible),
            achieves={CHALLENGER: "registered"},
            cost=self._cost,
        )
        if self._scope != "full":
            return (learning,)
        # A version whose server computes something else than its artifact is replaced by one that
        # has to prove in its canary that it does not.
        replacing = self.contract.operation(
            arguments={"because": "skew"},
            requires=(is_(CAUSE, "training_serving_skew"), *possible),
            achieves={CHALLENGER: "registered"},
            cost=self._cost,
        )
        if model.spec.triggers is None:
            return (learning, replacing)
        refreshing = self.contract.operation(
            arguments={"because": DUE},
            requires=(is_(REFRESH, "due"), *possible),
            achieves={CHALLENGER: "registered", REFRESH: "none"},
            cost=self._cost,
        )
        return (learning, replacing, refreshing)

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        pinned = memory.pinned
        if pinned is None or pinned.incident != call.incident:
            raise Refused("no training data is pinned for this incident; nothing is trained")
        before = desk.runs.read(call.key)
        if before.phase is RunPhase.ABSENT:
            desk.runs.submit(_request(desk, call, pinned), key=call.key)
        watermark = desk.log.extent(call.model.target).watermark
        began = watermark.isoformat() if watermark else ""
        # Counted with the outcome, in one write: whoever finds the run without it counts it now.
        retrains = (*memory.retrains, began)
        return Receipt(
            already=before.phase is not RunPhase.ABSENT,
            detail=f"pipeline run {call.key} on sha256:{pinned.digest[:12]}",
            after={"run": call.key, "digest": pinned.digest},
            memory=memory.model_copy(update={"retrains": retrains}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        run = desk.runs.read(call.key)
        match run.phase:
            case RunPhase.RUNNING:
                return self._following(desk, call, run)
            case RunPhase.SUCCEEDED:
                extent = desk.log.extent(call.model.target)
                memory = dealt_with(memory, desk.clock.now(), extent)
                return _as_asked(call, _registered(desk, call, run, memory), memory)
            case RunPhase.LOST | RunPhase.ABSENT:
                return Verification(holds=Holds.BROKEN, detail=f"run {call.key} is {run.phase}")
            case RunPhase.FAILED | RunPhase.CANCELLED:
                detail = f"run {call.key} {run.phase} in {run.step or 'no step'}: {run.reason}"
                return Verification(holds=Holds.BROKEN, detail=detail[:2000])

    def _following(self, desk: Desk, call: Call, run: RunState) -> Verification:
        limit_s = call.model.spec.training.timeout.total_seconds()
        if run.seconds > limit_s:
            desk.runs.cancel(call.key)
            detail = f"run {call.key} hung: not done within {limit_s:g} s; cancelled"
            return Verification(holds=Holds.BROKEN, detail=detail)
        done = ", ".join(run.steps_done) or "nothing yet"
        return Verification(holds=Holds.UNKNOWN, detail=f"in {run.step or 'start'}; done: {done}")


def _as_asked(call: Call, found: Verification, memory: TargetMemory) -> Verification:
    """A run has answered the triggers, whoever asked for it and whatever its gates said.

    Nothing is wrong when a run that only the calendar asked for brings nothing better.
    """
    kept = found.model_copy(update={"memory": found.memory or memory})
    is_refused = found.holds is Holds.BROKEN and found.detail.startswith(REFUSED)
    if not (is_refused and call.operation.arguments.get("because") == DUE):
        return kept
    detail = f"the champion stays: {found.detail}"
    return kept.model_copy(
        update={"holds": Holds.HOLDS, "detail": detail, "facts": {REFRESH: "none"}}
    )


def retrain_full() -> Retrain:
    """Everything trusted since the beginning, with a search over the model families."""
    contract = Contract(
        name="retrain_full",
        agent="trainer",
        purpose="Retrain on all trusted data, search families and parameters, gate, register.",
        concern="model",
        undo="withdraw_challenger",
        deadline_s=3600.0,
        max_attempts=2,
        changes_production=False,
    )
    causes = ("concept_drift", "covariate_drift", "label_drift", "prediction_drift")
    return Retrain(contract, "full", causes, Cost(minutes=10.0, money=10.0))


def retrain_recent() -> Retrain:
    """The recent past only, where the inputs moved but the relation held."""
    contract = Contract(
        name="retrain_recent",
        agent="trainer",
        purpose="Retrain on recent trusted data, gate, register.",
        concern="model",
        undo="withdraw_challenger",
        deadline_s=3600.0,
        max_attempts=2,
        changes_production=False,
    )
    return Retrain(contract, "recent", ("covariate_drift",), Cost(minutes=5.0, money=5.0))


def _request(desk: Desk, call: Call, pinned: Pinned) -> RunRequest:
    champion = look(desk, call.model).must_champion()
    folder = desk.registry.fetch(champion.model, champion.version, desk.artifacts)
    arguments: dict[str, Any] = {
        **desk.pipeline_arguments,
        "data_uri": pinned.uri,
        "data_digest": pinned.digest,
        "spec": call.model.spec.model_dump(mode="json", by_alias=True),
        "champion_artifact": str(folder),
        "champion_digest": champion.artifact_digest,
        "alias": CHALLENGER_ALIAS,
        "changed_at": pinned.changed_at,
    }
    return RunRequest(pipeline=PIPELINE, arguments=arguments)


def _registered(desk: Desk, call: Call, run: RunState, memory: TargetMemory) -> Verification:
    """The run's own word is not enough: the registry must know a gated version of this run."""
    version = desk.registry.by_run(call.model.spec.model, call.key)
    if version is None or not version.gates_passed:
        refused = "; ".join(run.outputs.get("refused", [])) or "no version was registered"
        return Verification(holds=Holds.BROKEN, detail=f"{REFUSED}: {refused}")
    pinned = memory.pinned
    if pinned is not None and version.data_digest != pinned.digest:
        detail = (
            f"version {version.version} was made of sha256:{version.data_digest[:12]}, pinned was"
            f" sha256:{pinned.digest[:12]}: the run answered from something older"
        )
        stale = (*memory.refused, version.version)
        return Verification(
            holds=Holds.BROKEN,
            detail=detail,
            memory=memory.model_copy(update={"refused": stale}),
        )
    other = _judged_on_other_labels(call.model, version, pinned)
    if other:
        never = (*memory.refused, version.version)
        return Verification(
            holds=Holds.BROKEN,
            detail=other,
            memory=memory.model_copy(update={"refused": never}),
        )
    if CHALLENGER_ALIAS not in version.aliases:
        detail = f"version {version.version} passed, but another challenger is to be decided first"
        return Verification(holds=Holds.BROKEN, detail=detail)
    figures = {
        name: float(value)
        for name, value in version.metrics.items()
        if name in ("log_loss", "roc_auc", "accuracy")
    }
    return Verification(
        holds=Holds.HOLDS,
        detail=f"version {version.version} passed its {len(version.gates)} gates",
        figures=figures,
    )


def _judged_on_other_labels(
    model: ManagedModel, version: ModelVersion, pinned: Pinned | None
) -> str:
    """Why the run's gates prove nothing: the rows that it says it held out have other labels in the
    pinned data. Empty where they agree, or where it does not say which rows those were."""
    said = version.reference
    if pinned is None or not {"start", "end", "rows", "label_rate"} <= set(said):
        return ""
    rows = read_table(pinned.uri, digest=pinned.digest)
    times = rows[model.spec.schema_.time_column].astype("datetime64[us]")
    held = rows[(times >= said["start"]) & (times <= said["end"])][model.spec.label.name]
    rate = float(held.mean()) if len(held) else 0.0
    if len(held) != int(said["rows"]) or abs(rate - float(said["label_rate"])) < EQUAL:
        return ""
    return (
        f"version {version.version} was judged on other labels than those pinned: {len(held)} rows "
        f"from {said['start']} have a rate of {rate:.4f}, the run saw {said['label_rate']:.4f}"
    )
