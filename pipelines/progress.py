"""Says which step a run is in, and ends a step whose runner is gone.

On one machine the runner names its folder in ``MENDLOOP_RUN_DIR``; there every step leaves a marker
``steps/<name>.json``. On a cluster the variable is absent and Kubeflow itself knows.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tools.durable_files import write_durably
from tools.errors import MendloopError
from tools.values import Value, canonical_json

RUN_DIR = "MENDLOOP_RUN_DIR"
RUNNER_LOCK = "runner.lock"
"""Held by the runner for as long as it lives."""
STEPS = "steps"


class StepMarker(Value):
    """What is known of one step of a run."""

    step: str
    started: float
    """Unix time, seconds."""
    seconds: float | None = None
    """Wall clock; None while it works."""
    cpu_seconds: float | None = None
    """Of the step's process, imports before the step included."""
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return self.seconds is not None and not self.error


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Mark the step as begun, then as done or failed. Call it around all of a step's work."""
    folder = os.environ.get(RUN_DIR)
    if folder is None:
        yield
        return
    _end_with_runner(Path(folder) / RUNNER_LOCK)
    marker = StepMarker(step=name, started=time.time())
    path = Path(folder) / STEPS / f"{name}.json"
    begun = time.monotonic()
    _write(path, marker)
    error = ""
    try:
        yield
    except MendloopError as failure:
        error = str(failure)
        raise
    except BaseException as failure:
        error = f"{type(failure).__name__}: {failure}"
        raise
    finally:
        spent = {
            "seconds": round(time.monotonic() - begun, 3),
            "cpu_seconds": round(time.process_time(), 3),
        }
        _write(path, marker.model_copy(update=spent | {"error": error}))


def markers(folder: Path) -> tuple[StepMarker, ...]:
    """Every step of the run in ``folder`` that has begun, in order."""
    paths = (folder / STEPS).glob("[!.]*.json")
    found = [StepMarker.model_validate_json(path.read_bytes()) for path in paths]
    return tuple(sorted(found, key=lambda marker: (marker.started, marker.step)))


def _write(path: Path, marker: StepMarker) -> None:
    write_durably(path, canonical_json(marker.model_dump()))


def _end_with_runner(lock: Path) -> None:
    """Kill this process when the runner's lock becomes free: nobody follows its work any more.

    Without it, a step would outlive a killed runner and still register a model after the run was
    reported as lost.
    """

    def watch() -> None:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # waits until the kernel frees the runner's lock
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="runner-watch", daemon=True).start()
