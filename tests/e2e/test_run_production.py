"""``mendloop run --config`` on what a team would run: a real PostgreSQL, MLflow server and Envoy.

A release whose server never gets up is taken back, by two processes one after the other: the first
is told to end in the middle. Users get the champion's answers all along.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from infra.embedded.home import Home
from infra.embedded.platform import start_platform, stop_platform
from orchestrator.assembly import embedded_traffic, embedded_workloads
from orchestrator.journal import kinds
from orchestrator.journal.incidents import fold_incidents
from orchestrator.journal.postgres import PostgresJournal
from pipelines.families import Candidate, make_classifier
from pipelines.features import build_model
from simulations.population import Population, parcels_model
from simulations.releases import Release
from tests.e2e.test_run_config import Process, free_port, platform
from tests.stand_in import postgres
from tests.stand_in.mlflow_server import ADMIN, PASSWORD, mlflow_server
from tools.artifact import artifact_digest, save_artifact
from tools.managed_model import ManagedModel
from tools.mlflow_http import MlflowAccess
from tools.mlflow_registry import MlflowRegistry
from tools.model_inputs import model_frame
from tools.postgres import Database
from tools.registry import CHALLENGER, CHAMPION, GateResult, Registration
from tools.secret_source import SecretFrom
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

ROW = {"sent": "2021-03-01T05:15:00Z", "weight": 4.2, "wind": 3.0, "rain": 0.0, "depot": "north"}
DEADLINE_S = 300.0
"""A server is started four times before it is given up: seconds each, on a busy machine many."""
GATE = GateResult(name="log_loss", value=0.5, limit=1.0, passed=True)


class Installation:
    """The parts, with version 1 in service."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.folder, self.home = folder, Home(folder / "home").prepare()
        database = held.enter_context(postgres.running_postgres(**postgres.QUICK))
        self.journal_url = database.url(database.make_database())
        store = database.url(database.make_database()).replace("://", "+psycopg://", 1)
        (folder / "mlflow").mkdir()
        self.mlflow = held.enter_context(mlflow_server(folder / "mlflow", database=store)).url
        (folder / "mlflow-password").write_text(f"{PASSWORD}\n")
        (folder / "postgres-password").write_text(f"{postgres.PASSWORD}\n")
        held.callback(stop_platform, self.home.root)
        self.users_url = start_platform(self.home.root).predict_url
        access = MlflowAccess(
            username=ADMIN, password_from=SecretFrom(file=str(folder / "mlflow-password"))
        )
        self.registry = MlflowRegistry(self.mlflow, "", access=access)
        rows = Population(seed=0, rows_per_hour=20).history(Release().model)
        rows.to_parquet(folder / "history.parquet")
        quick = {"rollout": {"probation": "1h"}, "label": {"delay": "1h"}}
        self.model = parcels_model(str(folder / "history.parquet"), **quick)
        self.artifact = fitted(self.model, rows, folder / "artifact")
        self.journal = PostgresJournal(Database(self.journal_url))
        held.callback(self.journal.close)

    def register(self, artifact: Path, alias: str) -> str:
        registration = Registration(
            model=self.model.spec.model,
            artifact=artifact,
            data_digest="0" * 64,
            code_version="test",
            gates=(GATE,),
            metrics={"log_loss": 0.5},
            parameters={},
            reference={"log_loss": 0.5},
        )
        found = self.registry.register(registration, key=f"run-{alias}")
        self.registry.set_alias(self.model.spec.model, alias, found.version, key=f"run-{alias}")
        return found.version

    def serve_the_first(self) -> None:
        version = self.register(self.artifact, CHAMPION)
        workloads = embedded_workloads(self.home)
        digest = artifact_digest(self.artifact)
        target = self.model.target
        request = ServerRequest(
            target=target, version=version, artifact=self.artifact, artifact_digest=digest
        )
        workloads.start(request, key="first", token=0)
        while workloads.read(target, version).phase is not ServerPhase.READY:
            pass
        route = virtual_service("default", "parcels", host="parcels", version="1", hosts=["*"])
        embedded_traffic(self.home).create(route)

    def release_what_does_not_start(self) -> str:
        """Its digest is right, its model is not one."""
        broken = self.folder / "broken"
        shutil.copytree(self.artifact, broken)
        (broken / "model.onnx").write_bytes(b"not a model")
        return self.register(broken, CHALLENGER)

    def run(self, name: str) -> Process:
        """A mendloop, as a pod would start it."""
        folder = self.folder / name
        folder.mkdir()
        (self.folder / "models").mkdir(exist_ok=True)
        document = self.model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        document |= {"apiVersion": "mendloop.dev/v1alpha1", "kind": "ManagedModel"}
        (self.folder / "models" / "parcels.yaml").write_text(yaml.safe_dump(document))
        user, _, place = self.journal_url.partition("://")[2].rpartition("@")
        journal = f"postgresql://{user.partition(':')[0]}@{place}"
        mlflow = {
            "trackingUri": self.mlflow,
            "username": ADMIN,
            "passwordFrom": {"file": str(self.folder / "mlflow-password")},
        }
        password = {"file": str(self.folder / "postgres-password")}
        return Process(
            folder,
            platform(
                self.home.root,
                free_port(),
                registry={"mlflow": mlflow},
                journal={"url": journal, "passwordFrom": password},
            ),
            deadline_s=DEADLINE_S,
        )

    def has(self, kind: str, **payload: str) -> bool:
        """Whether the journal has such an event."""
        return any(payload.items() <= e.payload.items() for e in self.journal.events(kinds=[kind]))

    def answers(self) -> str:
        """The version that a user's request gets its answer from."""
        answer = httpx.post(f"{self.users_url}/predict", json=ROW, trust_env=False, timeout=30.0)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["version"])


def fitted(model: ManagedModel, rows: object, folder: Path) -> Path:
    """A small real model."""
    import pandas as pd

    assert isinstance(rows, pd.DataFrame)
    schema = model.spec.schema_
    inputs = model_frame(rows, schema)
    classifier = make_classifier(
        Candidate(family="logistic_regression", parameters={"C": 0.1}), seed=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say among themselves while they save
        made = build_model(schema, inputs, classifier, scale=True)
        made.fit(inputs, rows["late"].to_numpy())
        save_artifact(made, schema, rows.tail(50), folder)
    return folder


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as held:
        found = Installation(tmp_path, held)
        found.serve_the_first()
        yield found


def test_a_release_that_does_not_start_is_taken_back_by_whoever_is_there(
    installation: Installation,
) -> None:
    """Told to end in the middle, it ends; the next one finds the step under way and finishes."""
    first = installation.run("first")
    try:
        first.await_that(first.is_ready, "it becomes ready")
        version = installation.release_what_does_not_start()
        first.await_that(
            lambda: installation.has(kinds.STEP_OUTCOME, tool="deploy_challenger"),
            "the release is being deployed",
        )
        assert first.end() == 0
    finally:
        first.close()
    [open_one] = fold_incidents(installation.journal.events())
    assert open_one.status in ("open", "waiting")
    assert installation.answers() == "1"

    second = installation.run("second")
    try:
        second.await_that(
            lambda: installation.has(kinds.INCIDENT_RESOLVED), "the release is taken back"
        )
        second.await_that(second.is_ready, "it is ready")
        assert second.metric("mendloop_incidents_open") in (None, 0)
        assert second.end() == 0
    finally:
        second.close()
    events = installation.journal.events()
    [incident] = fold_incidents(events)
    keys = [e.payload["key"] for e in events if e.kind == kinds.STEP_INTENDED]

    assert (incident.goal, incident.status) == ("the release is decided", "resolved")
    assert [a.tool for a in incident.actions] == ["deploy_challenger", "withdraw_challenger"]
    assert len(keys) == len(set(keys))
    starts = [e.payload["recovered"] for e in events if e.kind == kinds.CONTROLLER_STARTED]
    assert starts == [[], [incident.id]]
    assert installation.registry.by_alias("parcels", CHALLENGER) is None
    servers = embedded_workloads(installation.home).servers(installation.model.target)
    assert [s.version for s in servers] == ["1"]
    assert version == "2"
    assert installation.answers() == "1"
    assert installation.journal.verify().ok
    for told in (first.told(), second.told()):
        assert PASSWORD not in told
        assert postgres.PASSWORD not in told
