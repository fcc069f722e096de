"""``kind: FleetLimits``: what may be used up and moved across all targets of a controller."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from policies.document import PolicyMetadata
from tools.managed_model import Budget, Duration
from tools.schema import DocumentValue


class FleetBudget(Budget):
    """What all targets together may use up per ``period``."""

    retrains: int | None = Field(default=None, ge=0)


class FleetLimitsSpec(DocumentValue):
    """The ``spec`` of FleetLimits."""

    period: Duration = timedelta(days=30)
    """Wall clock: the targets' event times differ."""
    budget: FleetBudget = FleetBudget()
    targets_at_once: int | None = Field(default=None, ge=1)
    """Targets whose traffic may be under way between versions at one time."""
    traffic_percent: float | None = Field(default=50.0, gt=0, le=100)
    """Share of the fleet's traffic whose model may be under change at one time; one target may
    always be, so that a fleet of one can be repaired. Half, because a change that is wrong in the
    same way everywhere is then seen while the other half still answers as before."""

    def limits(self) -> dict[str, float]:
        """Those that are set, by the names that rules read."""
        given = {
            **self.budget.model_dump(),
            "targets_at_once": self.targets_at_once,
            "traffic_percent": self.traffic_percent,
        }
        return {name: float(limit) for name, limit in given.items() if limit is not None}


class FleetLimits(DocumentValue):
    """Limits of the whole fleet."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["FleetLimits"]
    metadata: PolicyMetadata
    spec: FleetLimitsSpec = FleetLimitsSpec()
