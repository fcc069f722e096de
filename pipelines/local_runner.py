"""Runs one pipeline on this machine with ``kfp.local``: ``python -m pipelines.local_runner DIR``.

``tools/kubeflow_local.py`` starts it with the runner's lock in its hands and does not wait. The
process leaves its parent's session, so that the run survives whoever submitted it; the lock goes
along and says, as long as it is held, that somebody is working.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.durable_files import write_durably
from tools.values import canonical_json

NICENESS = 5
"""Serving on the same cores comes first."""
_RUN_DIR = "MENDLOOP_RUN_DIR"


class FinalStatus:
    """Writes how the run ended, whatever ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun = time.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            traceback.print_exception(kind, error, trace)
        status = {
            "phase": "succeeded" if kind is None else "failed",
            "reason": "" if kind is None else f"{kind.__name__}: {error}",
            "finished": time.time(),
            "seconds": time.time() - self._begun,
        }
        write_durably(self._folder / "status.json", canonical_json(status))


def main(folder: Path) -> None:
    """Detach, then run the request in ``folder``."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.nice(NICENESS)
    identity = {"pid": os.getpid(), "started": time.time()}
    write_durably(folder / "process.json", canonical_json(identity))
    with FinalStatus(folder):
        run(folder)


def run(folder: Path) -> None:
    """Run the pipeline of ``request.json`` with ``kfp.local`` below ``folder``."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    os.environ |= {_RUN_DIR: str(folder), "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    # OpenMP threads spin at barriers while their partner waits for a busy core: next to a serving
    # process a fit took 29 s with two threads, 3.4 s with one (1.9 s with two on idle cores).
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from kfp import local

    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "kfp"),
        workspace_root=str(folder / "workspace"),
    )
    module, _, attribute = request["definition"].partition(":")
    pipeline = getattr(importlib.import_module(module), attribute)
    given = {"run_key": request["key"], "output_dir": str(folder / "outputs")}
    pipeline(**complete(pipeline, request["arguments"], given))


def complete(pipeline: Any, arguments: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``arguments`` with what the runner knows, where the pipeline asks for it.

    An object goes to a text parameter as JSON.
    """
    asked = inspect.signature(pipeline.pipeline_func).parameters
    known = {name: value for name, value in given.items() if name in asked} | arguments
    return {
        name: canonical_json(value)
        if isinstance(value, dict) and name in asked and asked[name].annotation is str
        else value
        for name, value in known.items()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
