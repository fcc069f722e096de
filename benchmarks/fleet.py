"""Measures a controller's tick over a healthy fleet: time per tick and memory per model.

Every model has its own registry entry, server, route and prediction log behind the simulated ports.
Two ticks are told apart: one in which no window of data has ended (most are: a controller ticks
every few seconds, windows last hours), and one in which every model has a new window to validate
and judge. Targets for 1,000 models: the first at most 1 s, memory at most 200 KB a model.

Run it as ``python -m benchmarks.fleet [--models 1000] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog
from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console
from rich.table import Table

from agents.catalog import all_tools
from agents.ports import Desk
from orchestrator.controller import Controller, Target
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
from tools.registry import CHAMPION
from tools.virtual_service import virtual_service
from tools.workloads import ServerRequest

TICK_LIMIT_S = 1.0
MEMORY_LIMIT_KB = 200.0
WINDOW_HOURS = 6
TRUTH = Logistic()


class Fleet:
    """So many healthy models that share one set of simulated ports and one stream of parcels."""

    def __init__(self, folder: Path, models: int) -> None:
        self.clock = VirtualClock()
        self.traffic = MemoryTraffic(self.clock)
        self.workloads = MemoryWorkloads(self.clock, endpoints=self.traffic)
        self.registry = MemoryRegistry(self.clock)
        self.metrics = MemoryMetrics(self.clock)
        self.log = InMemoryPredictionLog()
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


def measure(models: int, repeats: int) -> dict[str, Any]:
    """The figures of one run; seconds are medians."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), models)
        fleet.next_window()
        journal = SqliteJournal(":memory:")
        tracemalloc.start()
        controller = Controller(
            fleet.targets(),
            journal=journal,
            checkpointer=InMemorySaver(),
            leases=MemoryLeases(fleet.clock),
            policies=builtin_policies(),
            tools=all_tools(),
            kill_switch=Path(folder) / "STOP",
        )
        controller.start()
        controller.tick()
        held_kb = tracemalloc.get_traced_memory()[0] / 1024 / models
        tracemalloc.stop()
        idle = [_timed(controller.tick) for _ in range(repeats)]
        windows = []
        for _ in range(max(1, repeats // 3)):
            fleet.next_window()
            windows.append(_timed(controller.tick))
        incidents = journal.events(kinds=["incident.opened"])
    return {
        "models": models,
        "tick_s": statistics.median(idle),
        "tick_with_a_window_each_s": statistics.median(windows),
        "memory_kb_per_model": held_kb,
        "incidents": len(incidents),
        "holds": statistics.median(idle) <= TICK_LIMIT_S
        and held_kb <= MEMORY_LIMIT_KB
        and not incidents,
    }


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Print the table or the JSON; exit code 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="200 models, and the claim scaled")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found = measure(200 if options.quick else options.models, repeats=5 if options.quick else 9)
    if options.json:
        print(json.dumps(found))
    else:
        table = Table(title=f"A healthy fleet of {found['models']} models")
        for column in ("what", "measured", "limit"):
            table.add_column(column)
        table.add_row("tick, no window ended", f"{found['tick_s']:.3f} s", f"{TICK_LIMIT_S} s")
        table.add_row("tick, a window each", f"{found['tick_with_a_window_each_s']:.3f} s", "")
        memory = f"{found['memory_kb_per_model']:.0f} KB"
        table.add_row("controller's memory per model", memory, f"{MEMORY_LIMIT_KB:.0f} KB")
        table.add_row("incidents opened", str(found["incidents"]), "0")
        Console().print(table)
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
