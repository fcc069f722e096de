"""Port: runs of the Kubeflow pipelines defined in ``pipelines/``.

A run is found again by its idempotency key, so that a lost answer or a dead controller never makes
a second one. Adapters: ``tools/kubeflow_local.py`` (``kfp.local``), later ``kfp.Client``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

from tools.values import Value


class RunPhase(StrEnum):
    """LOST: the key was accepted but nothing is working on it any more (process or run gone)."""

    ABSENT = "absent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class RunRequest(Value):
    """One run: the pipeline's name in ``pipelines/`` and its JSON arguments."""

    pipeline: str
    arguments: dict[str, Any]


class RunState(Value):
    """What is known of a run."""

    key: str
    phase: RunPhase
    step: str = ""
    """The step it is in or failed in."""
    steps_done: tuple[str, ...] = ()
    outputs: dict[str, Any] = {}
    """What the pipeline reported (JSON), complete once SUCCEEDED."""
    reason: str = ""
    """Why it failed, for people, with the last lines of the failed step's log."""
    seconds: float = 0.0


class PipelineRuns(Protocol):
    """Submits and follows pipeline runs."""

    def submit(self, request: RunRequest, *, key: str) -> RunState:
        """Start the run unless one with this key exists; returns at once."""

    def read(self, key: str) -> RunState:
        """The run's state; ABSENT when no run has this key."""

    def cancel(self, key: str) -> RunState:
        """End the run and every process of it. Idempotent."""
