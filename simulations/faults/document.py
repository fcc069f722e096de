"""What every fault of a scenario document has in common: where, when, how fast, until when."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from simulations.law import Floats
from simulations.records import Table
from tools.managed_model import Duration
from tools.schema import DocumentValue

if TYPE_CHECKING:
    from simulations.behaviour import Behaviour
    from simulations.site import Site

Trigger = Literal[
    "start", "run_submitted", "run_finished", "canary_started", "canary_advanced", "promoted"
]
"""What ``onset`` and ``end`` count from: the world's start, or something that an operator did."""

NOTHING = timedelta()


class FaultDocument(DocumentValue):
    """One thing that goes wrong (or only seems to)."""

    targets: tuple[str, ...] = ()
    """Names of the models that it hits; none named: all of them."""
    on: Trigger = "start"
    """What ``onset`` and ``end`` count from."""
    onset: Duration = NOTHING
    """When it begins."""
    ramp: Duration = NOTHING
    """How long it takes to reach its full size."""
    end: Duration | None = None
    """When it is over; without it, never."""
    period: Duration | None = None
    """It comes and goes: on for half of this, off for the other half."""
    each_time: bool = False
    """Again whenever what ``on`` names happens again, not only the first time."""

    @model_validator(mode="before")
    @classmethod
    def _bare_on(cls, data: Any) -> Any:
        """YAML 1.1 reads the bare word ``on`` as a truth value."""
        if isinstance(data, dict) and True in data:
            return {"on" if key is True else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= self.onset:
            raise ValueError(f"end ({self.end}) must come after onset ({self.onset})")
        if self.period is not None and self.period <= NOTHING:
            raise ValueError("period must be longer than nothing")
        return self

    @property
    def name(self) -> str:
        """Its kind."""
        return str(getattr(self, "kind", ""))

    def hits(self, target: str) -> bool:
        """Whether it is about this model."""
        return not self.targets or target in self.targets

    def strength(self, since_s: Floats) -> Floats:
        """How much of it there is, 0 to 1, so many seconds after what ``on`` names."""
        after = since_s - self.onset.total_seconds()
        ramp_s = self.ramp.total_seconds()
        size = np.clip(after / ramp_s, 0.0, 1.0) if ramp_s else np.ones_like(after)
        size = np.where(after >= 0, size, 0.0)
        if self.end is not None:
            size = np.where(since_s < self.end.total_seconds(), size, 0.0)
        if self.period is not None:
            period_s = self.period.total_seconds()
            size = np.where((after % period_s) < period_s / 2, size, 0.0)
        return np.asarray(size, dtype=np.float64)


class RowFault(FaultDocument):
    """A fault of the rows themselves: what is real, what arrives, the law, the labels."""

    order: ClassVar[int]
    """When among the changes of the table it is applied (``simulations/records.py``)."""

    @abstractmethod
    def change(self, table: Table, strength: Floats) -> None:
        """Change the table; replace columns, never write into them."""


class ServingFault(FaultDocument):
    """A fault of how servers answer, for as long as it lasts."""

    @abstractmethod
    def serve(self, behaviour: Behaviour, strength: float, site: Site, version: str) -> Behaviour:
        """How the version's server behaves under it."""


class MomentFault(FaultDocument):
    """A fault that happens at its onset and, where it has an end, is taken back then."""

    is_latent: ClassVar[bool] = False
    """Whether it lies in wait for something that an operator does: nothing is wrong until then."""

    @abstractmethod
    def begin(self, site: Site) -> None:
        """It happens."""

    def finish(self, site: Site) -> None:
        """It is over; nothing to do for what cannot be taken back."""
