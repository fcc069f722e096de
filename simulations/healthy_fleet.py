"""So many healthy models behind the simulated ports: what a controller's tick over a fleet costs,
and how replicas share one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.catalog import all_tools
from agents.ports import Desk
from orchestrator.controller import Controller, Target
from orchestrator.in_memory import memory_checkpointer
from orchestrator.journal.journal import Journal
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.policy_files import builtin_policies
from simulations.clock import VirtualClock
from simulations.lease import MemoryLeases
from simulations.metrics import MemoryMetrics
from simulations.pipeline_runs import MemoryPipelineRuns
from simulations.population import START, Logistic, Parcels, Population, parcels_model
from simulations.prediction_log import InMemoryPredictionLog
from simulations.registry import MemoryRegistry
from simulations.releases import Foundry, Release
from simulations.traffic import MemoryTraffic
from simulations.workloads import MemoryWorkloads
from tools.managed_model import ManagedModel
from tools.metrics import Metrics
from tools.prediction_log import LogExtent
from tools.registry import CHAMPION
from tools.virtual_service import virtual_service
from tools.workloads import ServerRequest

WINDOW_HOURS = 6
TRUTH = Logistic()


class FleetMemoryLog(InMemoryPredictionLog):
    """Implements FleetLog."""

    def extents(self, targets: Collection[str]) -> Mapping[str, LogExtent]:
        """See FleetLog."""
        return {target: self.extent(target) for target in targets}


class HealthyFleet:
    """So many healthy models that share one set of simulated ports and one stream of parcels."""

    def __init__(self, folder: Path, models: int) -> None:
        self.clock = VirtualClock()
        self.traffic = MemoryTraffic(self.clock)
        self.workloads = MemoryWorkloads(self.clock, endpoints=self.traffic)
        self.registry = MemoryRegistry(self.clock)
        self.metrics: Metrics = MemoryMetrics(self.clock)
        """What every desk made from now on reads."""
        self.log = FleetMemoryLog()
        self.leases = MemoryLeases(self.clock)
        self.journal = SqliteJournal(":memory:")
        self._population = Population(seed=1, rows_per_hour=10)
        self._event_time = START
        self._folder = folder
        first = parcels_model(str(folder / "history.parquet"))
        # One artifact serves all: what differs between the models of a real fleet is not read here.
        self._foundry = Foundry(self.registry, first, self._population, folder)
        self._artifact = folder / "artifact-1"
        self._foundry.register(Release(), key="artifact")
        self.models = [self._put_into_service(first, number) for number in range(models)]

    def targets(self) -> list[Target]:
        """Every model at its desk."""
        return [Target(model=model, desk=self._desk()) for model in self.models]

    def controller(
        self,
        holder: str = "",
        *,
        journal: Journal | None = None,
        checkpointer: Any = None,
    ) -> Controller:
        """A controller that has begun, over all of them; several share them."""
        controller = Controller(
            self.targets(),
            journal=journal or self.journal,
            checkpointer=checkpointer or memory_checkpointer(),
            leases=self.leases,
            policies=builtin_policies(),
            tools=all_tools(),
            kill_switch=self._folder / "STOP",
            holder=holder,
        )
        controller.start()
        return controller

    def next_window(self) -> None:
        """Six hours pass for every model; the same parcels for each, to be quick about it."""
        parcels = self._population.rows(self._event_time, WINDOW_HOURS)
        rows, labels = _logged(parcels)
        for model in self.models:
            self.log.append_predictions(model.target, rows)
            self.log.append_labels(model.target, labels)
        self._event_time += timedelta(hours=WINDOW_HOURS)

    def _desk(self) -> Desk:
        return Desk(
            traffic=self.traffic,
            workloads=self.workloads,
            runs=MemoryPipelineRuns(self.clock, {}),
            registry=self.registry,
            metrics=self.metrics,
            log=self.log,
            clock=self.clock,
            pins=self._folder / "pins",
            artifacts=self._folder / "fetched",
            history="",
            pipeline_arguments={},
        )

    def _put_into_service(self, first: ManagedModel, number: int) -> ManagedModel:
        name = f"parcels-{number}"
        document = _named(first, name)
        foundry = Foundry(self.registry, document, self._population, self._folder)
        version = foundry.register(Release(), key=f"first-{number}")
        self.registry.set_alias(name, CHAMPION, version.version, key=f"first-{number}")
        request = ServerRequest(
            target=document.target,
            version=version.version,
            artifact=self._artifact,
            artifact_digest=version.artifact_digest,
        )
        self.workloads.start(request, key=f"first-{number}", token=0)
        self.clock.advance(timedelta(seconds=10))
        self.workloads.read(document.target, version.version)
        namespace, serving = document.metadata.namespace, document.spec.serving
        self.traffic.create(
            virtual_service(
                namespace,
                serving.route,
                host=serving.host,
                version=version.version,
                hosts=[serving.host],
            )
        )
        return document


def _named(first: ManagedModel, name: str) -> ManagedModel:
    data = first.model_dump(mode="json", by_alias=True)
    data["metadata"]["name"] = name
    data["spec"]["model"] = name
    data["spec"]["serving"] |= {"route": name, "host": name}
    return ManagedModel.model_validate(data)


def _logged(parcels: Parcels) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = parcels.arrived.assign(
        version="1",
        probability=np.clip(TRUTH.probability(parcels.arrived), 0.0, 1.0),
        masked=pd.Series([()] * len(parcels.arrived), dtype=object),
    )
    labels = parcels.real[["request_id"]].assign(
        label=parcels.labels(TRUTH), known_at=parcels.known_at()
    )
    return rows, labels.dropna(subset=["label"])
