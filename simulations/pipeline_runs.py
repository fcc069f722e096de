"""Pipeline runs in virtual time: they take as long as they are told, then do their work at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulations.faults import Fault, exposed, no_fault
from tools.clock import Clock
from tools.errors import Invalid, MendloopError
from tools.pipeline_runs import RunPhase, RunRequest, RunState

Execute = Callable[[RunRequest, str], dict[str, Any]]
"""Does the work of a run and returns its outputs; gets the request and the key."""

STEPS = ("ingest", "validate", "features", "train", "evaluate", "gate", "register")


@dataclass
class _Run:
    request: RunRequest
    started_s: float
    phase: RunPhase = RunPhase.RUNNING
    ended_s: float | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    failed_step: str = ""


class StepFailed(MendloopError):
    """Raised by an Execute to say in which step the run fails."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


class MemoryPipelineRuns:
    """Implements PipelineRuns for all controllers of one simulated world."""

    def __init__(
        self,
        clock: Clock,
        pipelines: Mapping[str, Execute],
        *,
        duration_s: float = 20.0,
        steps: Sequence[str] = STEPS,
        fault: Fault = no_fault,
    ) -> None:
        """``pipelines`` maps names to what they do once ``duration_s`` has passed."""
        self._clock = clock
        self._pipelines = dict(pipelines)
        self._duration_s = duration_s
        self._steps = tuple(steps)
        self._fault = fault
        self._runs: dict[str, _Run] = {}
        self._extra_s: dict[str, float] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all runs so far, oldest first."""
        return tuple(self._runs)

    def submit(self, request: RunRequest, *, key: str) -> RunState:
        """See PipelineRuns."""
        if not key:
            raise Invalid("expected an idempotency key", field="key")
        if request.pipeline not in self._pipelines:
            raise Invalid(f"there is no pipeline {request.pipeline!r}", field="pipeline")
        with exposed(self._fault, "pipelines.submit"):
            run = self._runs.get(key)
            if run is None:
                run = self._runs[key] = _Run(request, self._clock.monotonic_s())
            elif run.request != request:
                raise Invalid(f"key {key!r} was used for another request", field="key")
            return self._state(key, run)

    def read(self, key: str) -> RunState:
        """See PipelineRuns."""
        with exposed(self._fault, "pipelines.read"):
            run = self._runs.get(key)
            if run is None:
                return RunState(key=key, phase=RunPhase.ABSENT)
            self._advance(key, run)
            return self._state(key, run)

    def cancel(self, key: str) -> RunState:
        """See PipelineRuns."""
        with exposed(self._fault, "pipelines.cancel"):
            self._end(key, RunPhase.CANCELLED, "cancelled on request")
            run = self._runs.get(key)
            return self._state(key, run) if run else RunState(key=key, phase=RunPhase.ABSENT)

    def lose(self, key: str) -> None:
        """The world kills the run's process, as a machine that goes down does."""
        self._end(key, RunPhase.LOST, "its process is gone without a result")

    def delay(self, key: str, seconds: float) -> None:
        """The world makes the run take so much longer, as one that hangs does."""
        self._extra_s[key] = seconds

    def request(self, key: str) -> RunRequest:
        """What the run was asked to do."""
        return self._runs[key].request

    def settle(self) -> None:
        """Let every run whose time has come do its work, whether or not somebody reads it."""
        for key, run in list(self._runs.items()):
            self._advance(key, run)

    def _end(self, key: str, phase: RunPhase, reason: str) -> None:
        run = self._runs.get(key)
        if run is None:
            return
        self._advance(key, run)
        if run.phase is RunPhase.RUNNING:
            run.phase, run.reason, run.ended_s = phase, reason, self._clock.monotonic_s()

    def _advance(self, key: str, run: _Run) -> None:
        due_s = run.started_s + self._takes_s(key)
        if run.phase is not RunPhase.RUNNING or self._clock.monotonic_s() < due_s:
            return
        run.ended_s = due_s
        try:
            run.outputs = self._pipelines[run.request.pipeline](run.request, key)
            run.phase = RunPhase.SUCCEEDED
        except MendloopError as error:
            run.phase = RunPhase.FAILED
            run.failed_step = error.step if isinstance(error, StepFailed) else self._steps[0]
            run.reason = f"step {run.failed_step} failed: {error}"

    def _state(self, key: str, run: _Run) -> RunState:
        until_s = self._clock.monotonic_s() if run.ended_s is None else run.ended_s
        seconds = until_s - run.started_s
        done = self._done(run, seconds / self._takes_s(key))
        step = run.failed_step
        if not step and run.phase is not RunPhase.SUCCEEDED:
            step = self._steps[min(len(done), len(self._steps) - 1)]
        return RunState(
            key=key,
            phase=run.phase,
            step=step,
            steps_done=done,
            outputs=run.outputs,
            reason=run.reason,
            seconds=seconds,
        )

    def _takes_s(self, key: str) -> float:
        return self._duration_s + self._extra_s.get(key, 0.0)

    def _done(self, run: _Run, share: float) -> tuple[str, ...]:
        if run.phase is RunPhase.SUCCEEDED:
            return self._steps
        if run.phase is RunPhase.FAILED:
            return self._steps[: self._steps.index(run.failed_step)]
        return self._steps[: min(int(min(share, 1.0) * len(self._steps)), len(self._steps) - 1)]
