"""Port: pipelines that run again and again by the clock, such as batch scoring.

A schedule is known by its name and stands for what it says: ensuring it again changes nothing,
ensuring it with another content replaces it. Adapter: ``tools/kubeflow_schedules.py``.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from tools.values import Value


class Schedule(Value):
    """One pipeline, its arguments, and when it runs."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9/.]{0,126}[a-z0-9])?$")
    pipeline: str
    arguments: dict[str, Any]
    cron: str = Field(default="", pattern=r"^(\S+( \S+){4})?$")
    """Minute, hour, day of month, month, day of week, in UTC."""
    every_s: int = Field(default=0, ge=0)
    """Instead of ``cron``."""

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if bool(self.cron) == bool(self.every_s):
            raise ValueError("expected exactly one of cron and every_s")
        return self


class PipelineSchedules(Protocol):
    """Keeps schedules."""

    def ensure(self, schedule: Schedule) -> bool:
        """Let it be in force, once and as it says; whether something had to be changed.

        Raises Uncertain when the answer was lost: ensure it again, it looks first.
        """

    def remove(self, name: str) -> bool:
        """End it; whether there was one. Runs under way go on."""

    def is_kept(self, schedule: Schedule) -> bool:
        """Whether it is in force as it says."""
