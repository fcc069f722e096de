"""What every adapter of the pipeline runs port promises."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from simulations.clock import VirtualClock
from simulations.pipeline_runs import MemoryPipelineRuns, StepFailed
from tests.stand_in.kubeflow_api import Pipelines, kubeflow_api
from tools.errors import Invalid
from tools.kubeflow import Kubeflow
from tools.kubeflow_api import KubeflowApi
from tools.kubeflow_local import KubeflowLocal
from tools.pipeline_runs import PipelineRuns, RunPhase, RunRequest, RunState

STAND_INS = Path(__file__).parent.parent / "stand_in"
DEADLINE_S = 60.0


class Stage(Protocol):
    """One adapter with the means to watch and to hurt its runs."""

    runs: PipelineRuns
    log: Path

    def until(self, key: str, holds: Callable[[RunState], bool]) -> RunState:
        """The first state for which it holds."""

    def lose(self, key: str) -> None:
        """Kill what works on the run."""


class LocalStage:
    """Real processes."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.txt"
        self.root = folder / "runs"
        self.runs = KubeflowLocal(
            self.root,
            {"toy": "toy_pipeline:toy"},
            environment={"PYTHONPATH": str(STAND_INS)},
        )
        self.submitted: set[str] = set()

    def until(self, key: str, holds: Callable[[RunState], bool]) -> RunState:
        deadline = time.monotonic() + DEADLINE_S
        while not holds(state := self.runs.read(key)):
            assert time.monotonic() < deadline, f"still {state}"
            time.sleep(0.02)
        return state

    def lose(self, key: str) -> None:
        process = json.loads((self.root / key / "process.json").read_text())
        os.kill(process["pid"], signal.SIGKILL)

    def close(self) -> None:
        for folder in self.root.glob("*"):
            request = json.loads((folder / "request.json").read_text())
            self.runs.cancel(request["key"])


class MemoryStage:
    """Virtual time."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.txt"
        self.clock = VirtualClock()
        self.runs = MemoryPipelineRuns(
            self.clock, {"toy": self.execute}, duration_s=10, steps=("first", "second")
        )

    def execute(self, request: RunRequest, key: str) -> dict[str, Any]:
        with self.log.open("a") as file:
            file.write("first\n")
        if request.arguments.get("fail"):
            raise StepFailed("second", "carrier: expected better data")
        return {"made_by": key}

    def until(self, key: str, holds: Callable[[RunState], bool]) -> RunState:
        for _ in range(100):
            if holds(state := self.runs.read(key)):
                return state
            self.clock.advance(timedelta(seconds=1))
        raise AssertionError(f"still {state}")

    def lose(self, key: str) -> None:
        self.runs.lose(key)


class ClusterStage:
    """A Kubeflow API over HTTP, whose runs go on when they are watched."""

    def __init__(self, folder: Path, url: str, pipelines: Pipelines) -> None:
        self.log = folder / "log.txt"
        self.known, self.outputs = pipelines, folder / "outputs"
        self.runs = Kubeflow(
            KubeflowApi(url), {"toy": "toy_pipeline:toy"}, outputs_root=str(self.outputs)
        )

    def until(self, key: str, holds: Callable[[RunState], bool]) -> RunState:
        for _ in range(10):
            if holds(state := self.runs.read(key)):
                return state
            self._go_on(self.known.run(key))
        raise AssertionError(f"still {state}")

    def lose(self, key: str) -> None:
        self.known.tell(
            self.known.run(key), "FAILED", ("first", "RUNNING", ""), error="the node is gone"
        )

    def _go_on(self, run: Any) -> None:
        given = run.runtime_config["parameters"]
        if run.state == "PENDING":
            self.log.write_text("first\n")
            self.known.tell(run, "RUNNING", ("first", "RUNNING", ""))
        elif run.state == "RUNNING" and not given.get("hang"):
            done, error = ("first", "SUCCEEDED", ""), "carrier: expected better data"
            if given.get("fail"):
                self.known.tell(run, "FAILED", done, ("second", "FAILED", error))
                return
            folder = Path(given["output_dir"])
            folder.mkdir(parents=True)
            (folder / "outputs.json").write_text(json.dumps({"made_by": given["run_key"]}))
            self.known.tell(run, "SUCCEEDED", done, ("second", "SUCCEEDED", ""))


@pytest.fixture(params=["local", "memory", "cluster"])
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """Every adapter, without runs."""
    if request.param == "memory":
        yield MemoryStage(tmp_path)
        return
    if request.param == "cluster":
        monkeypatch.syspath_prepend(str(STAND_INS))
        with kubeflow_api() as (url, pipelines):
            yield ClusterStage(tmp_path, url, pipelines)
        return
    local = LocalStage(tmp_path)
    yield local
    local.close()


def toy(stage: Stage, **arguments: Any) -> RunRequest:
    """A request for the toy pipeline."""
    return RunRequest(pipeline="toy", arguments={"log": str(stage.log), **arguments})


def is_over(state: RunState) -> bool:
    """Whether nothing will change any more."""
    return state.phase is not RunPhase.RUNNING


def begins(state: RunState) -> bool:
    """Whether the first step is at work."""
    return state.phase is RunPhase.RUNNING and state.step == "first"


def test_a_run_nobody_submitted_is_absent(stage: Stage) -> None:
    """Reading and cancelling it change nothing."""
    assert stage.runs.read("nobody").phase is RunPhase.ABSENT
    assert stage.runs.cancel("nobody").phase is RunPhase.ABSENT


def test_a_run_succeeds_once_however_often_it_is_submitted(stage: Stage) -> None:
    """The answer to a submit may get lost: the same key never runs twice."""
    first = stage.runs.submit(toy(stage), key="incident-1/retrain/1")
    again = stage.runs.submit(toy(stage), key="incident-1/retrain/1")
    over = stage.until("incident-1/retrain/1", is_over)
    after = stage.runs.submit(toy(stage), key="incident-1/retrain/1")

    assert first.phase is RunPhase.RUNNING
    assert again.phase is RunPhase.RUNNING
    assert over.phase is RunPhase.SUCCEEDED, over.reason
    assert over.steps_done == ("first", "second")
    assert over.outputs == {"made_by": "incident-1/retrain/1"}
    assert over.seconds > 0
    assert after == over
    assert stage.log.read_text() == "first\n"


def test_a_failed_run_says_where_and_why(stage: Stage) -> None:
    """The reason is the step's own error message."""
    stage.runs.submit(toy(stage, fail=True), key="bad")
    over = stage.until("bad", is_over)

    assert over.phase is RunPhase.FAILED
    assert over.step == "second"
    assert over.steps_done == ("first",)
    assert over.reason == "step second failed: carrier: expected better data"
    assert stage.runs.submit(toy(stage, fail=True), key="bad") == over


def test_a_cancelled_run_ends_and_stays_cancelled(stage: Stage) -> None:
    """Cancelling twice is once; resubmitting does not wake it."""
    stage.runs.submit(toy(stage, hang=True), key="slow")
    stage.until("slow", begins)
    cancelled = stage.runs.cancel("slow")

    assert cancelled.phase is RunPhase.CANCELLED
    assert stage.runs.cancel("slow").phase is RunPhase.CANCELLED
    assert stage.runs.submit(toy(stage, hang=True), key="slow").phase is RunPhase.CANCELLED


def test_cancelling_a_finished_run_leaves_its_result(stage: Stage) -> None:
    """What is done is done."""
    stage.runs.submit(toy(stage), key="done")
    over = stage.until("done", is_over)

    assert stage.runs.cancel("done") == over


def test_a_run_whose_process_died_is_lost_and_not_run_again(stage: Stage) -> None:
    """Only a new key, thus a new decision, runs it again."""
    stage.runs.submit(toy(stage, hang=True), key="unlucky")
    stage.until("unlucky", begins)
    stage.lose("unlucky")
    over = stage.until("unlucky", is_over)

    assert over.phase is RunPhase.LOST
    assert over.step == "first"
    assert stage.runs.submit(toy(stage, hang=True), key="unlucky").phase is RunPhase.LOST
    assert stage.runs.cancel("unlucky").phase is RunPhase.LOST


def test_a_key_stands_for_one_request(stage: Stage) -> None:
    """A key used for something else is a mistake, not a new run."""
    stage.runs.submit(toy(stage, hang=True), key="mine")

    with pytest.raises(Invalid, match="mine"):
        stage.runs.submit(toy(stage, hang=False), key="mine")


def test_an_unknown_pipeline_is_refused(stage: Stage) -> None:
    """Nothing is started."""
    with pytest.raises(Invalid, match="no pipeline 'polish'"):
        stage.runs.submit(RunRequest(pipeline="polish", arguments={}), key="k")
    with pytest.raises(Invalid, match="key"):
        stage.runs.submit(toy(stage), key="")

    assert stage.runs.read("k").phase is RunPhase.ABSENT
