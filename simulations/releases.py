"""What training makes in the simulated world: versions that are good, bad, slow, or never start."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.reference import build_reference
from simulations.population import HISTORY_HOURS, USUAL, Logistic, Population
from tools.artifact import MODEL_FILE, SCHEMA_FILE
from tools.data_files import read_table
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunRequest
from tools.registry import CHALLENGER, GateResult, ModelVersion, Registration, Registry


@dataclass(frozen=True)
class Release:
    """One version to be: what it believes, and how its server behaves."""

    model: Logistic = USUAL
    passes_gates: bool = True
    error_rate: float = 0.002
    slow_rate: float = 0.004
    missing_rate: float = 0.001
    """Share of the calls that it answers without a prediction, with a 4xx."""
    starts: bool = True
    """False: its server never gets ready."""
    skew: float = 0.0
    """How far its server's probabilities are from those of its artifact."""
    strain: float = 0.0
    """Share of all calls that gets slow while it answers copies of them."""


@dataclass
class Foundry:
    """Makes versions in the registry, as pipeline runs or as somebody's own work."""

    registry: Registry
    document: ManagedModel
    population: Population
    folder: Path
    coming: list[Release] = field(default_factory=list)
    """What the next runs make, first to last; then the last again."""
    made: dict[str, Release] = field(default_factory=dict)
    """Version to what it is."""
    truth: Logistic = USUAL

    def execute(self, request: RunRequest, key: str) -> dict[str, Any]:
        """The work of a pipeline run: checks its data, trains, gates, registers what passed."""
        data = request.arguments
        rows = read_table(data["data_uri"], digest=data["data_digest"])
        release = Release(model=self.truth)
        if self.coming:
            release = self.coming.pop(0) if len(self.coming) > 1 else self.coming[0]
        if not release.passes_gates:
            return {"passed": False, "refused": ["log_loss is worse than the champion's by 0.2"]}
        version = self.register(release, key=key, data_digest=data["data_digest"], rows=rows)
        self.registry.set_alias(version.model, data["alias"], version.version, key=key)
        return {"passed": True, "refused": [], "version": version.version}

    def submit_challenger(self, release: Release, *, key: str = "somebody-else") -> ModelVersion:
        """A challenger that mendloop did not ask for."""
        version = self.register(release, key=key)
        self.registry.set_alias(version.model, CHALLENGER, version.version, key=key)
        return version

    def register(
        self,
        release: Release,
        *,
        key: str,
        data_digest: str = "",
        rows: pd.DataFrame | None = None,
    ) -> ModelVersion:
        """A version in the registry, its gates as the release says.

        Its reference are the newest of the labelled ``rows``, or those from before the start.
        """
        held = _newest(self.population.history(self.truth) if rows is None else rows)
        loss = self.population.expected_loss(
            release.model, self.truth, None if rows is None else held
        )
        registration = Registration(
            model=self.document.spec.model,
            artifact=self._artifact(release),
            data_digest=data_digest or "0" * 64,
            code_version="simulated",
            gates=(
                GateResult(name="log_loss", value=loss, limit=1.0, passed=release.passes_gates),
            ),
            metrics={"log_loss": loss},
            parameters={},
            reference={**self._reference(release, held), "log_loss": loss},
        )
        version = self.registry.register(registration, key=key)
        self.made[version.version] = release
        return version

    def _reference(self, release: Release, rows: pd.DataFrame) -> dict[str, Any]:
        spec = self.document.spec
        found = build_reference(
            rows,
            release.model.probability(rows),
            rows[spec.label.name].to_numpy(dtype=float),
            spec.schema_,
            window=spec.evidence.window,
            slices=spec.watched_slices,
        )
        # A version of this world has no age: which of two is newer says nothing about either.
        return {name: value for name, value in found.items() if name != "end"}

    def _artifact(self, release: Release) -> Path:
        """A folder that ``tools.artifact.load_predictor`` loads; two releases never share one."""
        folder = self.folder / f"artifact-{len(self.made) + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        schema = self.document.spec.schema_.model_dump_json(by_alias=True)
        (folder / SCHEMA_FILE).write_text(schema, encoding="utf-8")
        (folder / MODEL_FILE).write_bytes(pickle.dumps(release.model, protocol=5))
        (folder / "release.txt").write_text(f"{len(self.made) + 1}: {release}", encoding="utf-8")
        return folder


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    sent = rows["sent"]
    newest: pd.DataFrame = rows[sent > sent.max() - pd.Timedelta(hours=HISTORY_HOURS)]
    return newest
