"""Leaves the target as it is, whatever happens: what every other operator must beat."""

from __future__ import annotations

from agents.ports import Desk
from tools.managed_model import ManagedModel


class DoNothing:
    """Implements Operator."""

    def __init__(self, model: ManagedModel, desk: Desk) -> None:
        """Takes its place and keeps its hands off it."""

    def tick(self) -> None:
        """See Operator."""
