"""Port: whoever looks after a target in a simulated world."""

from __future__ import annotations

from typing import Protocol

from agents.ports import Desk
from tools.managed_model import ManagedModel


class Operator(Protocol):
    """Gets a turn each time the world has moved; acts through the ports of its desk only."""

    def tick(self) -> None:
        """Look, and do the next thing. Returns at once; a port that fails is met again later."""


class MakeOperator(Protocol):
    """How an operator takes its place."""

    def __call__(self, model: ManagedModel, desk: Desk) -> Operator:
        """The operator of this model at this desk."""
