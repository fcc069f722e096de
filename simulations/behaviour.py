"""How the server of one version answers: its errors, its latency, and what it does to scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from simulations.fitting import FittedLogistic
from simulations.law import Columns, Floats, log_odds, numbers, sigmoid


@dataclass(frozen=True)
class Behaviour:
    """One version's server. Shares are of its requests."""

    errors: float = 0.002
    slow: float = 0.004
    slope: float = 1.0
    """What it does to the log odds of its model's answers."""
    offset: float = 0.0
    factors: Mapping[str, float] = field(default_factory=dict)
    """What it multiplies a number with before the model sees it."""
    by_depot: Mapping[str, float] = field(default_factory=dict)
    """What it adds to the log odds of a depot's parcels."""

    def worse(self, *, errors: float = 0.0, slow: float = 0.0) -> Behaviour:
        """The same with more errors and slow answers."""
        return replace(self, errors=min(self.errors + errors, 1.0), slow=min(self.slow + slow, 1.0))

    def answer(self, model: FittedLogistic, rows: Columns, masked: tuple[str, ...]) -> Floats:
        """The chances that a request for these rows is answered with."""
        seen = dict(rows)
        for name, factor in self.factors.items():
            seen[name] = numbers(rows, name) * factor
        for name in masked:
            seen[name] = np.full(len(rows[name]), np.nan)
        chance = model.chance(seen)
        if self.slope == 1.0 and not self.offset and not self.by_depot:
            return chance
        score = self.slope * log_odds(chance) + self.offset
        for depot, offset in self.by_depot.items():
            score = score + offset * (rows["depot"] == depot)
        return sigmoid(score)
