"""What mendloop did in a backtest, and what it served."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.backtest.recording import Floats
from tools.values import Value


class Action(Value):
    """One thing that mendloop did, or was not allowed to do."""

    row: int
    time: str
    action: str
    version: int
    trigger: str
    reason: str
    plan: tuple[str, ...] = ()


@dataclass
class Served:
    """What mendloop served, per row from the start on, and what it did."""

    predicted: list[Floats] = field(default_factory=list)
    by_champion: list[Floats] = field(default_factory=list)
    """What the newest promoted version alone would have answered."""
    actions: list[Action] = field(default_factory=list)
    tried: int = 0
    promotions: int = 0
    rollbacks: int = 0
    window: int = 0
