"""What training makes in a world: fits on the pinned rows, judged by the real gates, registered.

The split, the gates and the reference are those of the pipeline in production; only the learner is
small. What a fault of training does to a run happens here and nowhere else.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.gates import HeldOut, judge
from pipelines.horizon import Mask, rows_to_learn
from pipelines.measures import figures, row_log_loss
from pipelines.reference import build_reference
from pipelines.split import split_by_time
from simulations.behaviour import Behaviour
from simulations.fitting import FittedLogistic, fit
from simulations.pipeline_runs import StepFailed
from tools.artifact import MODEL_FILE, SCHEMA_FILE, load_predictor
from tools.data_files import read_table
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunRequest
from tools.registry import CHALLENGER, GateResult, ModelVersion, Registration
from tools.time_features import parse_times

if TYPE_CHECKING:
    import pandas as pd

    from simulations.law import Floats
    from simulations.registry import MemoryRegistry
    from simulations.workloads import MemoryWorkloads


@dataclass(frozen=True)
class Made:
    """One version: its model, and how its server behaves."""

    model: FittedLogistic
    behaviour: Behaviour


@dataclass
class Workshop:
    """Makes the versions of one target."""

    registry: MemoryRegistry
    workloads: MemoryWorkloads
    document: ManagedModel
    folder: Path
    usual: Behaviour
    seed: int
    made: dict[str, Made] = field(default_factory=dict)
    """Version to what it is."""
    troubles: list[str] = field(default_factory=list)
    """What befalls the next runs."""
    breaks: str = ""
    """How the artifacts that are made now are broken."""
    runs: int = 0
    fitted_rows: int = 0
    """Over all runs: what training cost."""
    _first_rows: Any = None

    def execute(self, request: RunRequest, key: str, trouble: str) -> dict[str, Any]:
        """The work of a pipeline run."""
        data = request.arguments
        if trouble == "fails":
            raise StepFailed("train", "the node ran out of memory")
        frame = read_table(data["data_uri"], digest=data["data_digest"])
        digest = str(data["data_digest"])
        if trouble == "stale_cache":
            frame, digest = self._first_rows, "0" * 64
        return self._train(frame, key, digest, data, trouble)

    def first(self, history: pd.DataFrame) -> ModelVersion:
        """The champion that the world begins with, fitted on the history."""
        self._first_rows = history
        outputs = self._train(history, "first", "0" * 64, {}, "")
        return self.registry.get(self.document.spec.model, outputs["version"])

    def submit_challenger(
        self, *, quality: str, errors: float, slow: float, north_offset: float
    ) -> str:
        """A challenger that no operator asked for; its gates claim to have passed."""
        model = self.made["1"].model
        weights = np.asarray(model.weights)
        if quality == "worse":
            weights = weights * np.array([1.0, -0.4, *[1.0] * (len(weights) - 2)])
        elif quality == "random":
            weights = np.random.default_rng([self.seed, 9]).normal(size=len(weights))
        behaviour = replace(self.usual, errors=errors, slow=slow)
        if north_offset:
            behaviour = replace(behaviour, by_depot={"north": north_offset})
        made = Made(replace(model, weights=tuple(weights.tolist())), behaviour)
        gate = GateResult(name="log_loss maximum", value=0.5, limit=1.0, passed=True)
        champion = self.registry.get(self.document.spec.model, "1")
        version = self._register(
            made, f"somebody-{len(self.made)}", "1" * 64, (gate,), champion.reference
        )
        self.registry.set_alias(version.model, CHALLENGER, version.version, key="somebody")
        return version.version

    def _train(
        self, frame: pd.DataFrame, key: str, digest: str, data: dict[str, Any], trouble: str
    ) -> dict[str, Any]:
        spec = self.document.spec
        split = split_by_time(frame, spec)
        times = parse_times(frame[spec.schema_.time_column], field=spec.schema_.time_column)
        held = np.asarray(split.masks(times)[2])
        labels = frame[spec.label.name].to_numpy(dtype=float)
        taught = self._taught(labels, trouble)

        def losses(fitted_on: Mask, judged_on: Mask) -> Floats:
            model = self._fit(frame[fitted_on], taught[fitted_on])
            rows = {name: frame[name].to_numpy()[judged_on] for name in spec.schema_.names}
            return row_log_loss(model.chance(rows), taught[judged_on])

        learned, _ = rows_to_learn(times, held, str(data.get("changed_at", "")), losses)
        model = self._fit(frame[learned], taught[learned])
        self.runs += 1
        self.fitted_rows += int(learned.sum())
        judged = taught if trouble == "worse_unseen" else labels
        return self._decide(model, frame[held], judged[held], key, digest, data)

    def _taught(self, labels: Floats, trouble: str) -> Floats:
        """The labels that the fit gets to see."""
        if trouble not in ("worse", "worse_unseen"):
            return labels
        wrong = np.random.default_rng([self.seed, 8, self.runs]).uniform(size=len(labels)) < 0.6
        return np.where(wrong, 1.0 - labels, labels)

    def _fit(self, frame: pd.DataFrame, labels: Floats) -> FittedLogistic:
        schema = self.document.spec.schema_
        rows = {name: frame[name].to_numpy() for name in schema.names}
        return fit(rows, labels, number_columns=schema.numbers, text_columns=schema.categories)

    def _decide(
        self,
        model: FittedLogistic,
        held: pd.DataFrame,
        labels: Floats,
        key: str,
        digest: str,
        data: dict[str, Any],
    ) -> dict[str, Any]:
        spec = self.document.spec
        rows = {name: held[name].to_numpy() for name in spec.schema_.names}
        ours = model.chance(rows)
        slices = {c: held[c].astype(str).to_numpy() for gate in spec.gates for c in gate.slices}
        theirs = self._champion_scores(data, held)
        results = judge(
            spec.gates, HeldOut(labels, ours, theirs, slices), alpha=spec.evidence.alpha
        )
        if data and not all(result.passed for result in results):
            refused = [f"{r.name}: {r.detail or r.value}" for r in results if not r.passed]
            return {"passed": False, "refused": refused}
        reference = build_reference(
            held,
            ours,
            labels,
            spec.schema_,
            window=spec.evidence.window,
            slices=spec.watched_slices,
        )
        made = Made(model, self.usual)
        version = self._register(made, key, digest, results, reference, figures(ours, labels))
        alias = str(data.get("alias", ""))
        if alias and self.registry.by_alias(spec.model, alias) is None:
            self.registry.set_alias(spec.model, alias, version.version, key=key)
        return {"passed": True, "refused": [], "version": version.version}

    def _champion_scores(self, data: dict[str, Any], held: pd.DataFrame) -> Floats | None:
        artifact = data.get("champion_artifact")
        if not artifact:
            return None
        return np.asarray(load_predictor(Path(artifact)).predict_frame(held), dtype=np.float64)

    def _register(
        self,
        made: Made,
        key: str,
        digest: str,
        gates: tuple[GateResult, ...],
        reference: dict[str, Any],
        metrics: dict[str, float] | None = None,
    ) -> ModelVersion:
        registration = Registration(
            model=self.document.spec.model,
            artifact=self._artifact(made),
            data_digest=digest,
            code_version="simulated",
            gates=gates,
            metrics=metrics or {"log_loss": float(reference["log_loss"])},
            parameters={},
            reference=reference,
        )
        version = self.registry.register(registration, key=key)
        self.made[version.version] = made
        self._break(version)
        return version

    def _break(self, version: ModelVersion) -> None:
        files = self.registry.artifacts[(version.model, version.version)]
        match self.breaks:
            case "missing":
                files.clear()
            case "changed":
                files[MODEL_FILE] += b" "
            case "does_not_load":
                self.workloads.broken.add(version.artifact_digest)

    def _artifact(self, made: Made) -> Path:
        folder = self.folder / f"artifact-{len(self.made) + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        schema = self.document.spec.schema_.model_dump_json(by_alias=True)
        (folder / SCHEMA_FILE).write_text(schema, encoding="utf-8")
        (folder / MODEL_FILE).write_bytes(pickle.dumps(made.model, protocol=5))
        number = str(len(self.made) + 1)
        (folder / "made.txt").write_text(number, encoding="utf-8")
        return folder
