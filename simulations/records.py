"""Every parcel of one target from its history to its last day: drawn once, changed by faults.

Faults change the whole table before or while time passes; a change is kept and applied again in a
fixed order whenever another joins, so the table is a pure function of the seed and the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from simulations.law import DEPOTS, Floats, Law

START = datetime(2021, 3, 1)  # noqa: DTZ001 - event time is naive, as in the prediction log
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
NEVER = np.inf


@dataclass(frozen=True)
class Crowd:
    """How many parcels come and from where."""

    rows_per_hour: float = 60.0
    day: float = 0.4
    """Swing of the volume over a day, as a share of its mean."""
    week: float = 0.15
    """How much quieter the weekend is."""
    depots: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(DEPOTS, 1.0))
    weather_swing: float = 0.0
    """Swing of the wind over a day, in m/s."""
    unlabelled: float = 0.02
    label_delay_s: float = 6 * HOUR_S
    weekly_weather: float = 0.0
    """Swing of the wind over a week, in m/s."""


@dataclass
class Table:
    """Columns of equal length, ordered by time."""

    at_s: Floats
    """Event time in seconds since the start."""
    real: dict[str, NDArray[np.generic]]
    arrived: dict[str, NDArray[np.generic]]
    """What the servers are told; shares its columns with ``real`` where nothing is wrong."""
    law: Law
    luck: Floats
    """Per row: for the label, for whether it arrives, for when, and one to spare."""
    label: Floats
    known_s: Floats
    corrected: Floats
    """What the label is corrected to; NaN where it never is."""
    corrected_s: Floats
    chance: Floats
    backfilled: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Columns that the log shows in place of what arrived once the label is known."""

    def settle(self) -> None:
        """Draw the labels by the law in force."""
        self.chance = self.law.chance(self.real)
        self.label = (self.luck[:, 0] < self.chance).astype(np.float64)


Change = Callable[[Table], None]


def rhythm(at_s: Floats, crowd: Crowd) -> Floats:
    """Volume at a moment relative to its mean: quiet nights, quiet weekends."""
    hour = (at_s / HOUR_S) % 24
    weekday = (at_s // DAY_S) % 7
    day = 1.0 + crowd.day * np.sin(2 * np.pi * (hour - 8.0) / 24)
    return np.asarray(day * np.where(weekday >= 5, 1.0 - crowd.week, 1.0))


class Weather:
    """The weather of all depots, hour by hour, shared by every target of a world."""

    def __init__(self, *, seed: int, from_s: float, until_s: float) -> None:
        self.first = int(from_s // HOUR_S)
        shape = (int(until_s // HOUR_S) - self.first + 1, len(DEPOTS))
        rng = np.random.default_rng([seed, 1])
        self.wind = np.round(6.0 + 2.0 * rng.standard_normal(shape), 1)
        self.rain = np.round(rng.gamma(1.0, 2.0, shape), 1)


class Records:
    """The parcels of one target."""

    def __init__(
        self,
        crowd: Crowd,
        effects: Mapping[str, float],
        weather: Weather,
        *,
        seed: list[int],
        from_s: float,
        until_s: float,
    ) -> None:
        self.crowd = crowd
        self._effects = effects
        self._changes: list[tuple[int, Change]] = []
        self._rng = np.random.default_rng(seed)
        self._draw(weather, from_s, until_s)
        self.table = self._base()

    def __len__(self) -> int:
        return len(self._at_s)

    def change(self, order: int, change: Change) -> None:
        """Take up a change; those of lower ``order`` are applied before those of higher."""
        self._changes.append((order, change))
        self._changes.sort(key=lambda pair: pair[0])
        self.table = self._base()
        is_settled = False
        for stage, apply in self._changes:
            if stage >= LABELS and not is_settled:
                self.table.settle()
                is_settled = True
            apply(self.table)
        if not is_settled:
            self.table.settle()

    def index(self, at_s: float) -> int:
        """How many rows are older than the moment."""
        return int(np.searchsorted(self._at_s, at_s, side="left"))

    def _draw(self, weather: Weather, from_s: float, until_s: float) -> None:
        rng, crowd = self._rng, self.crowd
        hours = np.arange(int(from_s // HOUR_S), int(until_s // HOUR_S))
        middle = np.asarray((hours + 0.5) * HOUR_S, dtype=np.float64)
        counts = rng.poisson(crowd.rows_per_hour * rhythm(middle, crowd))
        hour = np.repeat(hours, counts)
        rows = len(hour)
        self._at_s = np.sort(np.round((hour + rng.uniform(size=rows)) * HOUR_S, 6))
        hour = (self._at_s // HOUR_S).astype(int)
        shares = np.array([crowd.depots.get(name, 0.0) for name in DEPOTS])
        depot = rng.choice(len(DEPOTS), rows, p=shares / shares.sum())
        told = hour - weather.first
        swing = crowd.weather_swing * np.sin(2 * np.pi * (hour % 24 - 9) / 24)
        swing = swing + crowd.weekly_weather * np.sin(2 * np.pi * (hour % 168) / 168)
        self._real: dict[str, NDArray[np.generic]] = {
            "weight": rng.gamma(7.0, 1.15, rows).round(2),
            "distance": rng.gamma(2.0, 60.0, rows).round(1),
            "wind": np.round(np.maximum(weather.wind[told, depot] + swing, 0.0), 1),
            "rain": weather.rain[told, depot],
            "depot": np.array(DEPOTS, dtype=object)[depot],
        }
        self._luck = rng.uniform(size=(rows, 4))

    def _base(self) -> Table:
        rows, crowd = len(self._at_s), self.crowd
        delay = self._luck[:, 2] * crowd.label_delay_s
        known = np.where(self._luck[:, 1] < crowd.unlabelled, NEVER, self._at_s + delay)
        table = Table(
            at_s=self._at_s,
            real=dict(self._real),
            arrived=dict(self._real),
            law=Law.of(self._effects, rows),
            luck=self._luck,
            label=np.zeros(rows),
            known_s=known,
            corrected=np.full(rows, np.nan),
            corrected_s=np.full(rows, NEVER),
            chance=np.zeros(rows),
        )
        table.settle()
        return table


REAL, ARRIVED, LAW, LABELS = 0, 1, 2, 3
"""Orders of changes: the world's inputs, what arrives of them, the law, and what labels say."""
