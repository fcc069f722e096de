"""The whole production path in one process: the cluster's adapters under the very controller.

An API server and a kubelet are played over HTTP; Prometheus and MLflow are real. Users call as the
stored weights say, and Istio's proxies count what they meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from orchestrator.journal.incidents import fold_incidents
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.document import Platform, PlatformSpec
from orchestrator.platform.running import Running
from simulations.population import START, Population, parcels_model
from simulations.releases import Foundry, Release
from tests.stand_in.kubelet import Kubelet
from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.scraped_proxies import Scraped, scraped_proxies
from tools.documents import parse_document
from tools.errors import Conflict
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    MANAGED_MODEL,
    SERVICE,
    VIRTUAL_SERVICE,
)
from tools.kubernetes_manifests import ServerTemplate
from tools.kubernetes_workloads import KubernetesWorkloads
from tools.log_parts import append_labels, append_predictions
from tools.mlflow_registry import MlflowRegistry
from tools.registry import CHAMPION
from tools.virtual_service import read_split, virtual_service
from tools.workloads import ServerRequest

NAME, TARGET, OWN = "parcels", "default/parcels", "mendloop"
DEADLINE_S = 60.0
REQUESTS = 3000
"""Per step of the users: enough to judge a canary of 5 % within seconds."""


class Stage:
    """The cluster, its users, and mendloop in a thread."""

    def __init__(self, folder: Path, url: str, proxies: Scraped) -> None:
        self.folder, self.url, self.proxies = folder, url, proxies
        self.api = KubernetesApi.at(url)
        self.kubelet = Kubelet(self.api, "default")
        self.registry = MlflowRegistry(f"sqlite:///{folder}/mlflow.db", folder / "models")
        population = Population(seed=0, rows_per_hour=40)
        history = folder / "history.parquet"
        population.history(Release().model).to_parquet(history)
        self.model = parcels_model(str(history))
        self.foundry = Foundry(self.registry, self.model, population, folder)
        self.population = population
        self.event_time: datetime = START
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
                "kubernetes": {"url": self.url, "namespace": OWN},
                "models": {"customResources": {"namespaces": ["default"]}},
                "traffic": {"istio": {}},
                "workloads": {"kubernetes": {"template": {"image": "serving@sha256:0"}}},
                "pipelines": {"local": {}},
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
            "metadata": {"namespace": "default", "name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
        }
        self.api.create(SERVICE, service)
        workloads = KubernetesWorkloads(
            self.api,
            {TARGET: ServerTemplate(model=NAME, image="serving@sha256:0")},
            endpoints=IstioSubsets(self.api),
            health=self.kubelet.health,
        )
        request = ServerRequest(
            target=TARGET,
            version="1",
            artifact=self.folder / "artifact-1",
            artifact_digest=first.artifact_digest,
        )
        workloads.start(request, key="first", token=0)
        self.kubelet.pass_time(0.1)
        self.kubelet.pass_time(10)
        workloads.read(TARGET, "1")
        route = virtual_service("default", NAME, host=NAME, version="1", hosts=[NAME])
        self.api.create(VIRTUAL_SERVICE, {**route, "apiVersion": VIRTUAL_SERVICE.api_version})
        self.proxies.begin(NAME, "1")
        for _ in range(4):
            self.log_rows({"1": 100})
        document = self.model.model_dump(mode="json", by_alias=True)
        document["metadata"] = {"name": NAME, "namespace": "default"}
        self.api.create(MANAGED_MODEL, document)

    def shares(self) -> dict[str, int]:
        """Version to percent, as the VirtualService says."""
        body = self.api.read(VIRTUAL_SERVICE, "default", NAME)
        return {v: p for v, p in read_split(body, NAME).shares.items() if p}

    def status(self) -> dict[str, Any]:
        """What the custom resource says of itself."""
        found: dict[str, Any] = self.api.read(MANAGED_MODEL, "default", NAME).get("status") or {}
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
        append_predictions(self.folder / "predictions" / TARGET, logged)
        labels = parcels.real[["request_id"]].assign(
            label=parcels.labels(self.foundry.truth), known_at=parcels.known_at()
        )
        append_labels(self.folder / "labels" / TARGET, labels.dropna(subset=["label"]))
        self.event_time += timedelta(hours=6)

    def live(self) -> None:
        """Users call and pods load, until the end."""
        while not self.stop.wait(0.1):
            try:
                self.kubelet.pass_time(1.0)
                self.call(self.shares())
            except Conflict:
                continue  # mendloop wrote meanwhile

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


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with api_server() as (url, _), scraped_proxies(tmp_path) as proxies:
        found = Stage(tmp_path, url, proxies)
        found.put_into_service()
        kubelet = found.kubelet

        class Desks(ClusterDesks):
            health = staticmethod(kubelet.health)

        class Played(Adapters):
            @cached_property
            def cluster(self) -> ClusterDesks:
                assert self._spec.kubernetes is not None
                return Desks(self._spec.kubernetes)

        with Running(found.spec(), found.stop, adapters=Played) as running:
            found.running = running
            found.begin(found.live)
            found.begin(running.run)
            try:
                yield found
            finally:
                found.end()


def test_a_bad_release_is_found_and_taken_back(stage: Stage) -> None:
    """From the ManagedModel to the weights: deployed, given traffic, found out, undone, told."""
    stage.await_that(lambda: stage.status().get("phase") == "Healthy", "the model is kept")

    assert stage.get("/healthz").status_code == 200
    assert stage.get("/readyz").status_code == 200
    assert stage.shares() == {"1": 100}

    stage.proxies.begin(NAME, "2")
    stage.foundry.submit_challenger(Release(error_rate=0.3))
    stage.await_that(lambda: "2" in stage.shares(), "the challenger gets traffic")
    stage.await_that(lambda: stage.shares() == {"1": 100}, "the traffic goes back")
    stage.await_that(lambda: "undone" in dict(stage.incidents()).values(), "the incident ends")
    stage.await_that(
        lambda: (stage.status().get("lastIncident") or {}).get("outcome") == "undone", "it is told"
    )

    servers = stage.api.list(DEPLOYMENT, "default")
    assert [server["metadata"]["name"] for server in servers] == [f"{NAME}-v1"]
    assert 'mendloop_steps_total{result="applied",tool="roll_back"} 1.0' in stage.metrics()
    assert 'outcome="undone"' in stage.metrics()
    assert stage.api.list(LEASE, OWN)
    stage.await_that(
        lambda: bool(stage.api.read(CONFIG_MAP, OWN, "mendloop-checkpoints").get("data")),
        "checkpoints are kept off the machine",
    )
