"""The processes of a demo run: the platform, the first champion, releases, the controller.

mendloop keeps a service healthy that runs already; here is what its owners do before and beside it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd

from examples.flights.data import write_history
from infra.embedded.home import Home
from infra.embedded.platform import Platform, start_platform, stop_platform
from orchestrator.assembly import (
    embedded_registry,
    embedded_runs,
    embedded_traffic,
    embedded_workloads,
    tracking_uri,
)
from tools.data_files import pin_table
from tools.documents import load_document
from tools.errors import Invalid, Unavailable
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.process_records import (
    ProcessRecord,
    end,
    is_alive,
    read_record,
    spawn,
    write_record,
)
from tools.registry import CHALLENGER, CHAMPION, ModelVersion
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

DOCUMENT = Path(__file__).with_name("model.yaml")
POLICIES = Path(__file__).with_name("policies")
"""Two rules of the airline's own, beside those that mendloop ships."""
_CONTROLLER = "from orchestrator.cli.main import main; main()"
_CONTROLLER_RECORDS = "controller-*.json"
_POLL_S = 0.1
_SETUP = "demo-setup"
_NO_TOKEN = 0
"""Fencing tokens of leases begin above it: the owners act before any controller does."""


def end_controller(home: Home) -> None:
    """End the controllers that a demo started on this home, the standby first."""
    for path in sorted(home.root.glob(_CONTROLLER_RECORDS), reverse=True):
        record = read_record(path)
        if record is not None and is_alive(record):
            end(record, grace_s=20.0)
        path.unlink(missing_ok=True)


class Stage:
    """One home directory and what runs on it."""

    def __init__(self, home: Home, *, seed: int) -> None:
        self.home = home
        self._seed = seed
        folder = home.root / "model"
        folder.mkdir(parents=True, exist_ok=True)
        self.document = Path(shutil.copy(DOCUMENT, folder / DOCUMENT.name))
        self.model = load_document(self.document, ManagedModel)
        shutil.copytree(POLICIES, home.root / "policies", dirs_exist_ok=True)
        self.registry = embedded_registry(home)
        self.runs = embedded_runs(home)
        self.traffic = embedded_traffic(home)
        self._workloads = embedded_workloads(home)
        self._controller: ProcessRecord | None = None
        self._standby: ProcessRecord | None = None
        self._controllers = 0
        self._abandoned = threading.Event()

    def start_platform(self) -> Platform:
        """Envoy, counting requests slower than the model's objective exactly."""
        objective_s = self.model.spec.serving.latency_objective.total_seconds()
        return start_platform(self.home.root, objectives_ms=[objective_s * 1000])

    def train_first_champion(self, flights: pd.DataFrame) -> ModelVersion:
        """January and February through the pipeline; what passes its gates becomes champion."""
        history = write_history(flights, Path(self.model.history_path(self.document.parent)))
        return self._train(history, key="first-champion", alias=CHAMPION)

    def serve(self, version: ModelVersion) -> None:
        """Start the version's server and send all traffic to it."""
        target, serving = self.model.target, self.model.spec.serving
        request = ServerRequest(
            target=target,
            version=version.version,
            artifact=self.registry.fetch(version.model, version.version, self.home.artifacts),
            artifact_digest=version.artifact_digest,
        )
        state = self._workloads.start(request, key=_SETUP, token=_NO_TOKEN)
        deadline = time.monotonic() + serving.ready_within.total_seconds()
        while state.phase is not ServerPhase.READY:
            if state.phase is ServerPhase.FAILED or time.monotonic() > deadline:
                raise Unavailable(f"the first champion's server is {state.phase}: {state.reason}")
            time.sleep(_POLL_S)
            state = self._workloads.read(target, version.version)
        namespace = self.model.metadata.namespace
        self.traffic.create(
            virtual_service(
                namespace,
                serving.route,
                host=serving.host,
                version=version.version,
                hosts=[serving.host],
            )
        )

    def release(self, known: pd.DataFrame, *, name: str, model_step: str) -> ModelVersion | None:
        """What a colleague's team does: train on all labelled flights, alias as challenger.

        None when the gates refused it.
        """
        champion = self.registry.by_alias(self.model.spec.model, CHAMPION)
        if champion is None:
            raise Invalid("there is no champion to compare a release with")
        try:
            return self._train(
                known, key=name, alias=CHALLENGER, champion=champion, model_step=model_step
            )
        except Invalid:
            return None

    def start_controller(self) -> None:
        """``mendloop run`` on this home, as a process of its own."""
        self._controller = self._spawn_controller()

    def start_standby(self) -> None:
        """A second controller, which takes over when the first has ended."""
        self._standby = self._spawn_controller("--standby")

    def _spawn_controller(self, *options: str) -> ProcessRecord:
        command = [sys.executable, "-c", _CONTROLLER, "run", "--home", str(self.home.root)]
        command += ["--spec", str(self.document), *options]
        command += ["--journal", ""]  # the story follows the home's own, whatever is set outside
        record = spawn(command, log=self.controller_log)
        self._controllers += 1
        name = _CONTROLLER_RECORDS.replace("*", str(self._controllers))
        write_record(self.home.root / name, record)
        return record

    @property
    def controller_log(self) -> Path:
        """Where every controller's output goes."""
        return self.home.root / "controller.log"

    def check_controller(self) -> None:
        """Raise Unavailable when the controller ended although nobody ended it."""
        if self._controller is not None and not is_alive(self._controller):
            lines = self.controller_log.read_text(encoding="utf-8", errors="replace").splitlines()
            self._controller = None
            raise Unavailable(f"the controller ended by itself: {' | '.join(lines[-5:])}")

    def kill_controller(self) -> None:
        """SIGKILL: no handler runs, nothing is given back."""
        victim, self._controller, self._standby = self._controller, self._standby, None
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        while is_alive(victim):
            time.sleep(_POLL_S / 10)

    def approve(self, approval: str, *, by: str) -> tuple[str, str]:
        """What an operator does: the command as it is typed, and what it said."""
        words = ["approve", approval, "--by", by, "--home", str(self.home.root)]
        done = subprocess.run(
            [sys.executable, "-c", _CONTROLLER, *words], capture_output=True, text=True, check=False
        )
        return f"mendloop {' '.join(words)}", (done.stdout + done.stderr).strip()

    def stop_controller(self) -> None:
        """Let it end in an orderly way."""
        end_controller(self.home)
        self._controller = self._standby = None

    def abandon(self) -> None:
        """Make whoever waits for a pipeline run give up, and cancel that run."""
        self._abandoned.set()

    def stop(self) -> tuple[str, ...]:
        """End everything that was started; what could not be ended is returned."""
        self.abandon()
        self.stop_controller()
        # Also a run that was submitted a moment ago and that nobody waits for yet.
        for request in sorted(self.home.runs.glob("*/request.json")):
            self.runs.cancel(request.parent.name)
        return stop_platform(self.home.root).leftovers

    def _train(
        self,
        rows: pd.DataFrame,
        *,
        key: str,
        alias: str,
        champion: ModelVersion | None = None,
        model_step: str = "",
    ) -> ModelVersion:
        spec = self.model.spec
        wanted = [spec.schema_.time_column, *spec.schema_.names, spec.label.name]
        pin = pin_table(rows[wanted], self.home.pins)
        arguments: dict[str, Any] = {
            "data_uri": pin.uri,
            "data_digest": pin.digest,
            "spec": spec.model_dump(mode="json", by_alias=True),
            "tracking_uri": tracking_uri(self.home),
            "artifact_root": str((self.home.mlflow / "artifacts").resolve()),
            "alias": alias,
            "model_step": model_step,
            "seed": self._seed,
        }
        if champion is not None:
            folder = self.registry.fetch(champion.model, champion.version, self.home.artifacts)
            arguments["champion_artifact"] = str(folder)
            arguments["champion_digest"] = champion.artifact_digest
        self.runs.submit(RunRequest(pipeline="retrain", arguments=arguments), key=key)
        run = self._await_run(key)
        version = self.registry.by_run(spec.model, key)
        if version is None:
            refused = "; ".join(map(str, run.outputs.get("refused", []))) or run.reason
            raise Invalid(f"pipeline run {key} registered no version: {refused}")
        return version

    def _await_run(self, key: str) -> RunState:
        deadline = time.monotonic() + self.model.spec.training.timeout.total_seconds()
        run = self.runs.read(key)
        while run.phase is RunPhase.RUNNING:
            if self._abandoned.wait(_POLL_S) or time.monotonic() > deadline:
                self.runs.cancel(key)
                raise Unavailable(f"pipeline run {key} was cancelled in step {run.step}")
            run = self.runs.read(key)
        if run.phase is not RunPhase.SUCCEEDED:
            raise Unavailable(f"pipeline run {key} is {run.phase} in {run.step}: {run.reason}")
        return run
