"""How a challenger earns its traffic: copies first where a team wants that, then rising shares."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Self

from pydantic import Field, field_validator, model_validator

from tools.durations import Duration
from tools.schema import DocumentValue


class Shadow(DocumentValue):
    """Copies of real requests for a challenger whose answers nobody gets.

    A shadow costs a second server's work per request; what it finds costs no user anything.
    """

    percent: float = Field(default=100.0, gt=0, le=100)
    """Share of the requests that are copied; less where the platform has no room for all."""
    for_: Duration = Field(default=timedelta(minutes=10), alias="for")
    """Wall clock for which copies are compared at least: what a busy hour does shows in one."""
    deadline: Duration = timedelta(hours=1)
    """Wall clock without a decision after which the copies end and the challenger goes."""

    @model_validator(mode="after")
    def _ends_after_it_may_pass(self) -> Self:
        if self.deadline <= self.for_:
            raise ValueError("expected shadow.deadline to be longer than shadow.for")
        return self


class Rollout(DocumentValue):
    """How a challenger earns its traffic."""

    steps_percent: tuple[int, ...] = (5, 25, 50, 100)
    step_deadline: Duration = timedelta(minutes=5)
    """Wall clock without a decision after which the canary is undone."""
    harm_budget: float = Field(default=0.005, gt=0, lt=1)
    """Most extra bad answers (errors, slow, or without a prediction), as a share of *all* requests,
    that a step may risk: the margin of a step is this divided by its traffic share."""
    max_score_shift: float = Field(default=0.5, gt=0, le=1)
    """Kolmogorov distance between the scores of both versions from which a canary counts as
    harmful: a retrained model may move scores, one that moves half of them past some value is
    another model."""
    probation: Duration = timedelta(days=14)
    """Event time for which the former champion stays warm after a promotion."""
    shadow: Shadow | None = None
    """Copies of requests that a challenger answers before it gets its first share; None: none."""

    @field_validator("steps_percent")
    @classmethod
    def _rising_to_100(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        rising = all(a < b for a, b in itertools.pairwise(steps))
        if not steps or not rising or steps[0] < 1 or steps[-1] != 100:
            raise ValueError("expected rising percentages that end at 100, such as [5, 25, 100]")
        return steps
