"""Runs as real processes: who may die, who must not outlive whom."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tools.errors import Unavailable
from tools.kubeflow_local import KubeflowLocal
from tools.pipeline_runs import RunPhase, RunRequest

ROOT = Path(__file__).parent.parent.parent
STAND_INS = ROOT / "tests" / "stand_in"
PIPELINES = {"toy": "toy_pipeline:toy"}
DEADLINE_S = 60.0


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[KubeflowLocal]:
    """Runs below a folder of the test; none is left behind."""
    made = at(tmp_path / "runs")
    yield made
    for folder in (tmp_path / "runs").glob("*"):
        made.cancel(folder.name)


def at(root: Path) -> KubeflowLocal:
    """The adapter as every process of the platform makes it."""
    return KubeflowLocal(root, PIPELINES, environment={"PYTHONPATH": str(STAND_INS)})


def hanging(folder: Path) -> RunRequest:
    """A run that stays in its first step."""
    return RunRequest(pipeline="toy", arguments={"log": str(folder / "log.txt"), "hang": True})


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process that works for runs below the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(folder) in process.environ().get("MENDLOOP_RUN_DIR", "") or any(
                str(folder) in part for part in process.cmdline()
            ):
                found.append(process)
    return found


def test_two_submits_at_once_make_one_run(runs: KubeflowLocal, tmp_path: Path) -> None:
    """Four callers with adapters of their own, one key, one runner."""
    request = hanging(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: at(tmp_path / "runs").submit(request, key="k"), range(4)))
    log = tmp_path / "log.txt"
    until(lambda: log.is_file() and bool(log.read_text()))  # a step has begun before it wrote
    runners = [p for p in processes_of(tmp_path) if "pipelines.local_runner" in p.cmdline()]

    assert {state.phase for state in states} == {RunPhase.RUNNING}
    assert len(runners) == 1
    assert log.read_text() == "first\n"


def test_a_run_survives_the_kill_of_its_submitter(runs: KubeflowLocal, tmp_path: Path) -> None:
    """kill -9 of the controller and its whole process group leaves the run at work."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tools.kubeflow_local import KubeflowLocal\n"
        "from tools.pipeline_runs import RunRequest\n"
        "folder, stand_ins = sys.argv[1:]\n"
        "runs = KubeflowLocal(Path(folder) / 'runs', {'toy': 'toy_pipeline:toy'},\n"
        "                     environment={'PYTHONPATH': stand_ins})\n"
        "arguments = {'log': folder + '/log.txt', 'hang': True}\n"
        "runs.submit(RunRequest(pipeline='toy', arguments=arguments), key='k')\n"
        "print('submitted', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(STAND_INS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as submitter:
        assert submitter.stdout is not None
        assert submitter.stdout.readline() == "submitted\n"
        os.killpg(submitter.pid, signal.SIGKILL)
    until(lambda: runs.read("k").step == "first")

    assert runs.read("k").phase is RunPhase.RUNNING
    assert runs.cancel("k").phase is RunPhase.CANCELLED
    until(lambda: not processes_of(tmp_path))


def test_a_step_does_not_outlive_its_runner(runs: KubeflowLocal, tmp_path: Path) -> None:
    """Otherwise it would register a model after the run was reported as lost."""
    runs.submit(hanging(tmp_path), key="k")
    until(lambda: runs.read("k").step == "first")
    process = json.loads((tmp_path / "runs" / "k" / "process.json").read_text())
    assert len(processes_of(tmp_path)) > 1
    os.kill(process["pid"], signal.SIGKILL)
    until(lambda: runs.read("k").phase is RunPhase.LOST)

    until(lambda: not processes_of(tmp_path))


def test_cancelling_leaves_no_process(runs: KubeflowLocal, tmp_path: Path) -> None:
    """Runner, shell and step are all gone when it returns or right after."""
    runs.submit(hanging(tmp_path), key="k")
    until(lambda: runs.read("k").step == "first")
    runs.cancel("k")

    until(lambda: not processes_of(tmp_path))


def test_the_runner_is_nice_and_keeps_to_its_folder(runs: KubeflowLocal, tmp_path: Path) -> None:
    """Serving on the same cores comes first."""
    runs.submit(hanging(tmp_path), key="k")
    until(lambda: runs.read("k").step == "first")
    workers = processes_of(tmp_path)

    assert {worker.nice() for worker in workers} == {5}
    assert {worker.cwd() for worker in workers} == {str(tmp_path / "runs" / "k")}


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """Nothing was started; the message names the folder."""
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(Unavailable, match="runs/k"):
        at(tmp_path / "runs").submit(hanging(tmp_path), key="k")
