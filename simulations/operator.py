"""Port: whoever looks after a whole world, and what it claims to have found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from simulations.fleet import FleetWorld
from tools.values import Value


class Claim(Value):
    """Something that an operator says it found; the world knows whether that is so."""

    at_s: float
    target: str
    """Name of the model."""
    what: Literal["detected", "diagnosed"]
    cause: str = ""


class Operator(Protocol):
    """Takes its place, gets a turn whenever time has passed, and leaves."""

    is_announced: bool
    """Whether it writes down what it is about to do, so that this can be held against it."""

    def start(self, world: FleetWorld) -> None:
        """Take over the world's targets."""

    def tick(self) -> bool:
        """Look and act; True where something moved and another look soon is worth it."""

    def stop(self) -> None:
        """Leave."""

    def claims(self) -> list[Claim]:
        """Everything that it says it found, oldest first."""


MakeWorldOperator = Callable[[], Operator]
