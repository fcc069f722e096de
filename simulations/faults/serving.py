"""Faults of how servers answer, and of how much they are asked."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simulations.behaviour import Behaviour
from simulations.faults.document import ServingFault
from simulations.faults.inputs import Depot, Number

if TYPE_CHECKING:
    from simulations.site import Site

Versions = Literal["all", "first", "later"]
"""Every version, the one the world began with, or those that came after it."""


class VersionFault(ServingFault):
    """A fault of some versions' servers."""

    versions: Versions = "all"

    def is_about(self, version: str) -> bool:
        """Whether it hits this version's server."""
        return self.versions == "all" or (version == "1") == (self.versions == "first")

    def serve(self, behaviour: Behaviour, strength: float, site: Site, version: str) -> Behaviour:
        """Change the behaviour of the versions that it is about."""
        if not strength or not self.is_about(version):
            return behaviour
        return self.spoil(behaviour, strength)

    @abstractmethod
    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """How a server behaves that it hits."""


class Miscalibration(VersionFault):
    """Scores are too sure, too timid, or all too high."""

    kind: Literal["miscalibration"]
    slope: float = 2.0
    offset: float = 0.0

    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """Bend the log odds."""
        slope = behaviour.slope * (1.0 + (self.slope - 1.0) * strength)
        return replace(behaviour, slope=slope, offset=behaviour.offset + self.offset * strength)


class TrainingServingSkew(VersionFault):
    """The server computes a feature differently from training."""

    kind: Literal["training_serving_skew"]
    versions: Versions = "later"
    feature: Number = "weight"
    factor: float = 2.2

    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """Scale the feature before the model."""
        factor = 1.0 + (self.factor - 1.0) * strength
        return replace(behaviour, factors={**behaviour.factors, self.feature: factor})


class SliceRegression(VersionFault):
    """Answers for one depot are wrong, for the others they are right."""

    kind: Literal["slice_regression"]
    depot: Depot = "north"
    offset: float = -2.0
    """Added to the log odds there."""

    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """Shift the slice's scores."""
        return replace(behaviour, by_depot={**behaviour.by_depot, self.depot: self.offset})


class SlowServers(VersionFault):
    """Answers are late."""

    kind: Literal["slow_servers"]
    share: float = Field(default=0.2, ge=0, le=1)

    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """More slow answers."""
        return behaviour.worse(slow=self.share * strength)


class FailingServers(VersionFault):
    """Requests fail."""

    kind: Literal["failing_servers"]
    share: float = Field(default=0.1, ge=0, le=1)

    def spoil(self, behaviour: Behaviour, strength: float) -> Behaviour:
        """More errors."""
        return behaviour.worse(errors=self.share * strength)


class TrafficSurge(ServingFault):
    """More requests than usual, or with a factor below 1, fewer."""

    kind: Literal["traffic_surge"]
    factor: float = Field(default=3.0, gt=0)

    def serve(self, behaviour: Behaviour, strength: float, site: Site, version: str) -> Behaviour:
        """Nothing by itself: the load on the servers does the rest."""
        return behaviour

    def load(self, strength: float) -> float:
        """What the rate of requests is multiplied with."""
        return 1.0 + (self.factor - 1.0) * strength
