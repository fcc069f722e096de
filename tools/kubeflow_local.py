"""Pipeline runs on one machine: one detached ``kfp.local`` process per run, found by its key.

A run is a folder. Its runner holds ``runner.lock`` for as long as it lives: whoever can take the
lock knows that nobody works on the run, without trusting process ids, which the system reuses. The
lock is taken before the request is written and handed to the runner as an open file, so there is no
moment at which a run is accepted but looks abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable, Uncertain
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.values import canonical_json

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOG_TAIL_LINES = 15
_START_S = 30.0
_KILL_S = 10.0
_POLL_S = 0.02
_PROJECT = Path(__file__).resolve().parent.parent


class KubeflowLocal:
    """Implements PipelineRuns with ``kfp.local``."""

    def __init__(
        self,
        runs_root: Path,
        pipelines: Mapping[str, str],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``pipelines`` maps names to ``module:attribute`` of Kubeflow definitions (see
        ``pipelines/catalog.py``); ``environment`` is added to that of every run."""
        self._root = runs_root
        self._pipelines = dict(pipelines)
        self._environment = dict(environment or {})

    def submit(self, request: RunRequest, *, key: str) -> RunState:
        """See PipelineRuns. Raises Invalid for an unknown pipeline and for a key that was used for
        another request."""
        definition = self._pipelines.get(request.pipeline)
        if definition is None:
            known = ", ".join(sorted(self._pipelines))
            raise Invalid(
                f"there is no pipeline {request.pipeline!r}; expected one of {known}",
                field="pipeline",
            )
        folder = self._folder(key)
        wanted = {"key": key, "definition": definition, **request.model_dump(mode="json")}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _take(folder)
            if lock is None:
                return self._await_request(folder, wanted, key)
            try:
                if _read_json(folder / "request.json") is None:
                    write_durably(folder / "request.json", canonical_json(wanted))
                    self._spawn(folder, lock)
            finally:
                os.close(lock)
        except OSError as error:
            raise Unavailable(
                f"cannot start run {key} in {folder}: {error}; check the disk and its permissions"
            ) from error
        return self._await_request(folder, wanted, key)

    def read(self, key: str) -> RunState:
        """See PipelineRuns."""
        folder = self._folder(key)
        if not (folder / "request.json").is_file():
            return RunState(key=key, phase=RunPhase.ABSENT)
        working = not _is_free(folder)  # asked first: a run may end in between, never begin
        final = _read_json(folder / "status.json")
        markers = _markers(folder)
        done = tuple(m["step"] for m in markers if m["seconds"] is not None and not m["error"])
        failed = [m for m in markers if m["error"]]
        open_steps = [m["step"] for m in markers if m["seconds"] is None]
        current = failed[0]["step"] if failed else open_steps[-1] if open_steps else ""
        phase = _phase(final, working=working, cancelled=(folder / "cancelled").exists())
        reason = ""
        match phase:
            case RunPhase.FAILED:
                reason = _failure(folder, failed, final or {})
            case RunPhase.LOST:
                reason = f"its process is gone without a result; see {folder / 'run.log'}"
            case RunPhase.CANCELLED:
                reason = "cancelled on request"
        return RunState(
            key=key,
            phase=phase,
            step=current if phase is not RunPhase.SUCCEEDED else "",
            steps_done=done,
            outputs=_outputs(folder) if phase in (RunPhase.SUCCEEDED, RunPhase.FAILED) else {},
            reason=reason,
            seconds=_seconds(folder, final),
        )

    def cancel(self, key: str) -> RunState:
        """See PipelineRuns. Raises Uncertain when the processes do not end in time."""
        folder = self._folder(key)
        state = self.read(key)
        if state.phase is not RunPhase.RUNNING:
            return state
        (folder / "cancelled").touch()
        deadline = time.monotonic() + _KILL_S
        while not _is_free(folder):
            process = _read_json(folder / "process.json")
            if process is not None:
                # The lock is held, so this process lives and its id is its own.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(process["pid"]), signal.SIGKILL)
            if time.monotonic() > deadline:
                raise Uncertain(f"run {key} does not end; look for processes of {folder}")
            time.sleep(_POLL_S)
        return self.read(key)

    def _spawn(self, folder: Path, lock: int) -> None:
        environment = {**os.environ, **self._environment}
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{_PROJECT}{os.pathsep}{path}" if path else str(_PROJECT)
        with (folder / "run.log").open("ab") as log:
            # The process started here ends at once, its child stays (see pipelines/local_runner).
            started = subprocess.run(
                [sys.executable, "-m", "pipelines.local_runner", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                pass_fds=(lock,),
                timeout=_START_S,
                check=False,
            )
        if started.returncode != 0:
            raise Unavailable(f"the runner of {folder} did not start: {_log_tail(folder)}")

    def _await_request(self, folder: Path, wanted: dict[str, Any], key: str) -> RunState:
        """The state of a run that somebody, perhaps another process, has just submitted."""
        deadline = time.monotonic() + _START_S
        while (found := _read_json(folder / "request.json")) is None:
            if time.monotonic() > deadline:
                raise Uncertain(f"run {key} is locked but has no request; look at {folder}")
            time.sleep(_POLL_S)
        if found != json.loads(canonical_json(wanted)):
            raise Invalid(f"key {key!r} was used for another request", field="key")
        return self.read(key)

    def _folder(self, key: str) -> Path:
        if not key:
            raise Invalid("expected an idempotency key", field="key")
        if _SAFE_KEY.fullmatch(key):
            return self._root / key
        # No safe key contains a tilde, so the two kinds of names cannot meet.
        readable = re.sub(r"[^A-Za-z0-9._-]", "-", key).lstrip(".-")[:60]
        return self._root / f"{readable}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _phase(final: dict[str, Any] | None, *, working: bool, cancelled: bool) -> RunPhase:
    if final is not None:
        return RunPhase(final["phase"])
    if working:
        return RunPhase.RUNNING
    return RunPhase.CANCELLED if cancelled else RunPhase.LOST


def _take(folder: Path) -> int | None:
    """The runner's lock as an open file, None when somebody holds it."""
    lock = os.open(folder / "runner.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _is_free(folder: Path) -> bool:
    with _opened(folder / "runner.lock") as file:
        try:
            # Shared: two readers must not take each other for a runner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _markers(folder: Path) -> list[dict[str, Any]]:
    found = [_read_json(path) for path in (folder / "steps").glob("[!.]*.json")]
    return sorted((m for m in found if m is not None), key=lambda m: float(m["started"]))


def _outputs(folder: Path) -> dict[str, Any]:
    return _read_json(folder / "outputs" / "outputs.json") or {}


def _failure(folder: Path, failed: list[dict[str, Any]], final: dict[str, Any]) -> str:
    if failed:
        return f"step {failed[0]['step']} failed: {failed[0]['error']}"
    return f"{final.get('reason', '')}\n{_log_tail(folder)}".strip()


def _log_tail(folder: Path) -> str:
    try:
        lines = (folder / "run.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-_LOG_TAIL_LINES:] if line.strip())


def _seconds(folder: Path, final: dict[str, Any] | None) -> float:
    if final is not None:
        return float(final["seconds"])
    process = _read_json(folder / "process.json")
    return max(0.0, time.time() - float(process["started"])) if process is not None else 0.0


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found
