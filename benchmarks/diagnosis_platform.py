"""Puts a generated world behind the real ports, so that the loop's own code gathers the evidence.

The rows go into a prediction log, the labels come with it, the champion into a registry with the
reference that the pipeline would have stored, and its artifact where serving would fetch it.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from agents.evidence import Evidence
from agents.memory import TargetMemory
from agents.monitor.diagnose import gather
from agents.monitor.observe import observe
from agents.ports import Desk
from benchmarks.diagnosis_worlds import World, said
from pipelines.reference import build_reference
from simulations.clock import VirtualClock
from simulations.metrics import MemoryMetrics
from simulations.pipeline_runs import MemoryPipelineRuns
from simulations.prediction_log import InMemoryPredictionLog
from simulations.registry import MemoryRegistry
from simulations.traffic import MemoryTraffic
from simulations.workloads import MemoryWorkloads
from tools.artifact import MODEL_FILE, SCHEMA_FILE
from tools.managed_model import ManagedModel
from tools.registry import CHAMPION, GateResult, ModelVersion, Registration
from tools.virtual_service import virtual_service
from tools.workloads import ServerRequest

_KEY = "first"


@dataclass(frozen=True)
class Artifact:
    """The model that the champion's artifact holds."""

    dull_share: float = 0.0

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        late = np.clip(said(rows, self.dull_share), 1e-4, 1 - 1e-4)
        return np.column_stack([1 - late, late])


def gathered(world: World, model: ManagedModel, folder: Path) -> Evidence:
    """What the monitor knows after a month: every window observed, then asked why."""
    clock = VirtualClock()
    desk = _desk(world, model, folder, clock)
    seen = observe(desk, model, TargetMemory())
    return gather(desk, model, seen.memory, seen.event_time)


def _desk(world: World, model: ManagedModel, folder: Path, clock: VirtualClock) -> Desk:
    traffic = MemoryTraffic(clock)
    workloads = MemoryWorkloads(clock, endpoints=traffic)
    registry, log = MemoryRegistry(clock), InMemoryPredictionLog()
    champion = _register(world, model, registry, folder)
    _serve(model, champion, traffic, workloads, clock, folder)
    _fill(log, model.target, world, champion.version)
    return Desk(
        traffic=traffic,
        workloads=workloads,
        runs=MemoryPipelineRuns(clock, {}),
        registry=registry,
        metrics=MemoryMetrics(clock),
        log=log,
        clock=clock,
        pins=folder / "pins",
        artifacts=folder / "fetched",
        history="",
        pipeline_arguments={},
    )


def _register(
    world: World, model: ManagedModel, registry: MemoryRegistry, folder: Path
) -> ModelVersion:
    artifact = folder / "artifact"
    artifact.mkdir(parents=True)
    schema = model.spec.schema_
    (artifact / SCHEMA_FILE).write_text(schema.model_dump_json(by_alias=True), encoding="utf-8")
    (artifact / MODEL_FILE).write_bytes(pickle.dumps(Artifact(world.dull_share), protocol=5))
    rows = world.reference
    reference = build_reference(
        rows,
        rows["score"].to_numpy(),
        rows["label"].to_numpy(),
        schema,
        window=model.spec.evidence.window,
    )
    registration = Registration(
        model=model.spec.model,
        artifact=artifact,
        data_digest="0" * 64,
        code_version="generated",
        gates=(GateResult(name="log_loss", value=0.5, limit=1.0, passed=True),),
        metrics={"log_loss": reference["log_loss"]},
        parameters={},
        reference=reference,
    )
    made = registry.register(registration, key=_KEY)
    registry.set_alias(made.model, CHAMPION, made.version, key=_KEY)
    return made


def _serve(
    model: ManagedModel,
    champion: ModelVersion,
    traffic: MemoryTraffic,
    workloads: MemoryWorkloads,
    clock: VirtualClock,
    folder: Path,
) -> None:
    request = ServerRequest(
        target=model.target,
        version=champion.version,
        artifact=folder / "artifact",
        artifact_digest=champion.artifact_digest,
    )
    workloads.start(request, key=_KEY, token=0)
    clock.advance(timedelta(seconds=60))
    workloads.read(model.target, champion.version)
    serving = model.spec.serving
    traffic.create(
        virtual_service(
            model.metadata.namespace,
            serving.route,
            host=serving.host,
            version=champion.version,
            hosts=[serving.host],
        )
    )


def _fill(log: InMemoryPredictionLog, target: str, world: World, version: str) -> None:
    """All rows with their labels, and one row past midnight, so that the last day is complete."""
    rows = pd.concat(world.days, ignore_index=True)
    rows["request_id"] = [f"r{number}" for number in range(len(rows))]
    after = rows.tail(1).assign(request_id="last", label=np.nan)
    after["event_time"] = rows["event_time"].max().normalize() + pd.Timedelta(hours=24, minutes=30)
    logged = pd.concat([rows, after], ignore_index=True)
    told = pd.Series([()] * len(logged), index=logged.index, dtype=object)
    logged = logged.assign(version=version, probability=logged["score"], masked=told)
    log.append_predictions(target, logged.drop(columns=["score", "label"]))
    labels = rows[["request_id", "label"]].assign(known_at=rows["event_time"])
    log.append_labels(target, labels)
