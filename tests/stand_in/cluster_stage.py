"""The whole production path in one process: the cluster's adapters under the very controller.

Prometheus is real; a kubelet, Kubeflow's steps and users are played. Users call as the stored
weights say, and Istio's proxies count what they meet.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from orchestrator.journal.incidents import fold_incidents
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.document import Platform, PlatformSpec
from orchestrator.platform.running import Running
from simulations.population import START, Population, parcels_model
from simulations.releases import Foundry, Release
from tests.stand_in.kubeflow_api import Pipelines, kubeflow_api
from tests.stand_in.kubelet import Kubelet
from tests.stand_in.scraped_proxies import Scraped, scraped_proxies
from tools.documents import parse_document
from tools.errors import Conflict
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import KubernetesApi, NotFound
from tools.kubernetes_kinds import MANAGED_MODEL, SERVICE, VIRTUAL_SERVICE
from tools.kubernetes_manifests import ServerTemplate
from tools.kubernetes_workloads import KubernetesWorkloads
from tools.log_parts import append_labels, append_predictions
from tools.mlflow_registry import MlflowRegistry
from tools.pipeline_runs import RunRequest
from tools.registry import CHAMPION
from tools.virtual_service import read_split, virtual_service
from tools.workloads import ServerRequest

NAME = "parcels"
DEADLINE_S = 90.0
REQUESTS = 3000
"""Per step of the users: enough to judge a canary of 5 % within seconds."""


@dataclass(frozen=True)
class Place:
    """Where the stage is set up: an API server, the namespaces, and how mendloop gets in."""

    api: KubernetesApi
    """The platform team's."""
    access: dict[str, Any]
    """``spec.kubernetes`` of the Platform, without the namespace."""
    models: str = "default"
    own: str = "mendloop"
    kubeflow: str = field(default="", kw_only=True)


class Stage:
    """The cluster, its users, the Kubeflow that works for it, and mendloop in a thread."""

    def __init__(self, folder: Path, proxies: Scraped, pipelines: Pipelines, place: Place) -> None:
        self.folder, self.proxies, self.pipelines, self.place = folder, proxies, pipelines, place
        self.api, self.models = place.api, place.models
        self.target = f"{self.models}/{NAME}"
        self.kubelet = Kubelet(self.api, self.models)
        self.registry = MlflowRegistry(f"sqlite:///{folder}/mlflow.db", folder / "models")
        population = Population(seed=0, rows_per_hour=40)
        history = folder / "history.parquet"
        population.history(Release().model).to_parquet(history)
        self.model = parcels_model(str(history))
        self.foundry = Foundry(self.registry, self.model, population, folder)
        self.population = population
        self.event_time: datetime = START
        self.is_flowing = False
        """Whether event time goes on: each step of the users logs a window of predictions."""
        self.splits: list[dict[str, int]] = []
        """Every division of the traffic that users met, in order."""
        self.rng = np.random.default_rng(0)
        self.stop, self._threads = threading.Event(), list[threading.Thread]()
        self.trouble: list[BaseException] = []
        self.running: Running | None = None

    def spec(self, **changes: Any) -> PlatformSpec:
        """Everything in the cluster but what no cluster is needed for."""
        document = {
            "apiVersion": "mendloop.dev/v1alpha1",
            "kind": "Platform",
            "metadata": {"name": "test"},
            "spec": {
                "home": str(self.folder / "home"),
                "kubernetes": {**self.place.access, "namespace": self.place.own},
                "models": {"customResources": {"namespaces": [self.models]}},
                "traffic": {"istio": {}},
                "workloads": {"kubernetes": {"template": {"image": "serving@sha256:0"}}},
                "pipelines": {
                    "kubeflow": {"url": self.place.kubeflow, "outputs": str(self.folder / "runs")}
                },
                "registry": {
                    "mlflow": {
                        "trackingUri": f"sqlite:///{self.folder}/mlflow.db",
                        "artifacts": str(self.folder / "models"),
                    }
                },
                "metrics": {"prometheus": {"url": self.proxies.url}},
                "predictionLog": {
                    "parquet": {
                        "predictions": str(self.folder / "predictions"),
                        "labels": str(self.folder / "labels"),
                    }
                },
                "journal": {},
                "leases": {"kubernetes": {}},
                "killSwitch": {"configMap": "mendloop-stop"},
                "checkpoints": {"configMap": "mendloop-checkpoints"},
                "http": {"host": "127.0.0.1", "port": 0},
                "tick": {"every": "200ms", "unhealthyAfter": 300},
                **changes,
            },
        }
        return parse_document(document, Platform, source="test").spec

    def put_into_service(self) -> None:
        """Version 1 serves everybody, as a platform team would have set it up."""
        first = self.foundry.register(Release(), key="first")
        self.registry.set_alias(NAME, CHAMPION, first.version, key="first")
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": self.models, "name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
        }
        self.api.create(SERVICE, service)
        workloads = KubernetesWorkloads(
            self.api,
            {self.target: ServerTemplate(model=NAME, image="serving@sha256:0")},
            endpoints=IstioSubsets(self.api),
            health=self.kubelet.health,
        )
        request = ServerRequest(
            target=self.target,
            version="1",
            artifact=self.folder / "artifact-1",
            artifact_digest=first.artifact_digest,
        )
        workloads.start(request, key="first", token=0)
        self.kubelet.pass_time(0.1)
        self.kubelet.pass_time(10)
        workloads.read(self.target, "1")
        route = virtual_service(self.models, NAME, host=NAME, version="1", hosts=[NAME])
        self.api.create(VIRTUAL_SERVICE, {**route, "apiVersion": VIRTUAL_SERVICE.api_version})
        self.proxies.begin(NAME, "1")
        for _ in range(4):
            self.log_rows({"1": 100})
        document = self.model.model_dump(mode="json", by_alias=True)
        document["metadata"] = {"name": NAME, "namespace": self.models}
        self.api.create(MANAGED_MODEL, document)

    def shares(self) -> dict[str, int]:
        """Version to percent, as the VirtualService says."""
        body = self.api.read(VIRTUAL_SERVICE, self.models, NAME)
        return {v: p for v, p in read_split(body, NAME).shares.items() if p}

    def status(self) -> dict[str, Any]:
        """What the custom resource says of itself."""
        found: dict[str, Any] = self.api.read(MANAGED_MODEL, self.models, NAME).get("status") or {}
        return found

    def incidents(self) -> list[tuple[str, str]]:
        """(goal, outcome) of every incident."""
        journal = SqliteJournal.open_read_only(self.folder / "home" / "mendloop.db")
        try:
            return [(i.goal, i.outcome) for i in fold_incidents(journal.events())]
        finally:
            journal.close()

    def metrics(self) -> str:
        """What mendloop tells Prometheus about itself."""
        return self.get("/metrics").text

    def get(self, path: str) -> httpx.Response:
        assert self.running is not None
        return httpx.get(f"http://127.0.0.1:{self.running.port}{path}", trust_env=False)

    def log_rows(self, split: dict[str, int]) -> None:
        """A quarter of a day of predictions, with the labels that became known."""
        parcels = self.population.rows(self.event_time, 6)
        rows, weights = parcels.arrived, [p / 100 for p in split.values()]
        versions = self.rng.choice(list(split), size=len(rows), p=weights)
        probability = np.empty(len(rows))
        for version in split:
            mine = versions == version
            probability[mine] = self.foundry.made[version].model.probability(rows[mine])
        told = pd.Series([()] * len(rows), index=rows.index, dtype=object)
        logged = rows.assign(version=versions, probability=probability, masked=told)
        append_predictions(self.folder / "predictions" / self.target, logged)
        labels = parcels.real[["request_id"]].assign(
            label=parcels.labels(self.foundry.truth), known_at=parcels.known_at()
        )
        append_labels(self.folder / "labels" / self.target, labels.dropna(subset=["label"]))
        self.event_time += timedelta(hours=6)

    def live(self) -> None:
        """Users call, pods load and pipelines work, until the end."""
        while not self.stop.wait(0.1):
            try:
                self.kubelet.pass_time(1.0)
                self.work()
                split = self.shares()
            except (Conflict, NotFound):
                continue  # mendloop wrote meanwhile
            if split != (self.splits or [{}])[-1]:
                self.splits.append(split)
            self.call(split)
            if self.is_flowing:
                self.log_rows(split)

    def work(self) -> None:
        """What the steps of every new run do, and what Kubeflow says of it."""
        for run in [run for run in self.pipelines.runs if run.state == "PENDING"]:
            given = run.runtime_config["parameters"]
            request = RunRequest(pipeline="retrain", arguments=given)
            outputs = self.foundry.execute(request, run.display_name)
            if outputs["passed"]:
                self.proxies.begin(NAME, outputs["version"])
            place = Path(given["output_dir"])
            place.mkdir(parents=True, exist_ok=True)
            (place / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
            self.pipelines.tell(run, "SUCCEEDED", ("train", "SUCCEEDED", ""))

    def call(self, split: dict[str, int]) -> None:
        counts = self.rng.multinomial(REQUESTS, [p / 100 for p in split.values()])
        for version, count in zip(split, (int(n) for n in counts), strict=True):
            errors = int(self.rng.binomial(count, self.foundry.made[version].error_rate))
            self.proxies.answer(NAME, version, count - errors, errors=errors)

    def begin(self, work: Callable[[], None]) -> None:
        """In a thread; what it raises is shown where the test waits."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self.trouble.append(error)
                raise

        thread = threading.Thread(target=guarded)
        self._threads.append(thread)
        thread.start()

    def await_that(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            if self.trouble:
                raise self.trouble[0]
            assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:.0f} s"
            threading.Event().wait(0.05)

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def staged(folder: Path, place: Place) -> Iterator[Stage]:
    """mendloop at work on one model in service; everything ends with the block."""
    with ExitStack() as stack:
        proxies = stack.enter_context(scraped_proxies(folder, namespace=place.models))
        url, pipelines = stack.enter_context(kubeflow_api())
        found = Stage(folder, proxies, pipelines, replace(place, kubeflow=url))
        found.put_into_service()
        kubelet = found.kubelet

        class Desks(ClusterDesks):
            health = staticmethod(kubelet.health)

        class Played(Adapters):
            @cached_property
            def cluster(self) -> ClusterDesks:
                assert self._spec.kubernetes is not None
                return Desks(self._spec.kubernetes)

        running = stack.enter_context(Running(found.spec(), found.stop, adapters=Played))
        found.running = running
        found.begin(found.live)
        found.begin(running.run)
        try:
            yield found
        finally:
            found.end()
