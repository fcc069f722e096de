"""The invented parcels of the simulated world: their rows, what makes them late, and models of it.

Every row is a pure function of the seed and its hour, so two runs of one world meet the same
parcels however often they looked in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.managed_model import ManagedModel
from tools.statistics.losses import clipped, row_loss

Floats = NDArray[np.float64]

START = datetime(2021, 3, 1)  # noqa: DTZ001 - event time is naive, as in the prediction log
DEPOTS = ("east", "north", "west")
FEED = "weather"
FEED_COLUMNS = ("wind", "rain")
LABEL_DELAY = timedelta(hours=6)
_UNLABELLED = 0.02
_WEATHER_HOURS = 24 * 400
HISTORY_HOURS = 24 * 5
"""Event time before the start that is known, and that a new version is judged on."""


@dataclass(frozen=True)
class Logistic:
    """How lateness depends on a parcel: the truth of a time, or a model that believes in one."""

    intercept: float = -0.6
    weight: float = 1.4
    wind: float = 0.7
    rain: float = 0.4
    north: float = 0.5

    def probability(self, rows: pd.DataFrame) -> Floats:
        """Chance of being late, per row; missing weather counts as average weather."""
        score = self.intercept + self.weight * (_numbers(rows, "weight") - 8.0) / 3.0
        score += self.wind * np.nan_to_num((_numbers(rows, "wind") - 6.0) / 2.0)
        score += self.rain * np.nan_to_num((_numbers(rows, "rain") - 2.0) / 2.0)
        score += self.north * (rows["depot"].to_numpy() == "north")
        return np.asarray(1.0 / (1.0 + np.exp(-score)), dtype=np.float64)

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """The same in the shape that an artifact's predictor asks for."""
        late = self.probability(rows)
        return np.column_stack([1.0 - late, late])


USUAL = Logistic()
CHANGED = Logistic(intercept=0.4, weight=-0.9)
"""After the world changed: heavy parcels are now the ones in time."""


class Population:
    """Parcels hour by hour; the weather that is delivered may differ from the weather that is."""

    def __init__(self, *, seed: int, rows_per_hour: int) -> None:
        self._seed = seed
        self._rows_per_hour = rows_per_hour
        weather = np.random.default_rng([seed, 1])
        shape = (_WEATHER_HOURS, len(DEPOTS))
        self._wind = np.round(6.0 + 2.0 * weather.standard_normal(shape), 1)
        self._rain = np.round(weather.gamma(1.0, 2.0, shape), 1)

    def rows(self, start: datetime, hours: int, *, frozen_at: datetime | None = None) -> Parcels:
        """The parcels of the hours after ``start``; ``frozen_at``: the feed stands still since."""
        first = (start - START) // timedelta(hours=1)
        drawn = [self._hour(index) for index in range(first, first + hours)]
        columns = {name: np.concatenate([block[name] for block in drawn]) for name in drawn[0]}
        luck = columns.pop("luck")
        moments = START + pd.to_timedelta(columns.pop("seconds"), unit="s")
        index, depot = columns.pop("index"), columns.pop("series")
        names = [f"h{first}-{number}" for number in range(len(index))]
        real = pd.DataFrame({"request_id": names, "event_time": moments.as_unit("us"), **columns})
        if frozen_at is None:
            return Parcels(arrived=real, real=real, luck=luck)
        stuck = (frozen_at - START) // timedelta(hours=1) - 1
        told = np.minimum(index, stuck)
        arrived = real.assign(wind=self._wind[told, depot], rain=self._rain[told, depot])
        return Parcels(arrived=arrived, real=real, luck=luck)

    def history(self, truth: Logistic) -> pd.DataFrame:
        """Labelled rows from before the start, as a training table."""
        parcels = self.rows(START - timedelta(hours=HISTORY_HOURS), HISTORY_HOURS)
        rows = parcels.real.rename(columns={"event_time": "sent"}).drop(columns="request_id")
        return rows.assign(late=parcels.labels(truth)).dropna(subset=["late"])

    def expected_loss(
        self, model: Logistic, truth: Logistic, rows: pd.DataFrame | None = None
    ) -> float:
        """Mean log loss of ``model`` where ``truth`` rules: what a held-out set would show, by
        default the rows from before the start."""
        if rows is None:
            rows = self.rows(START - timedelta(hours=HISTORY_HOURS), HISTORY_HOURS).real
        late, believed = truth.probability(rows), clipped(model.probability(rows))
        loss_if_late = row_loss(believed, np.ones(len(rows)))
        loss_if_not = row_loss(believed, np.zeros(len(rows)))
        return float((late * loss_if_late + (1 - late) * loss_if_not).mean())

    def _hour(self, index: int) -> dict[str, Any]:
        """The columns of one hour, drawn from a stream of its own."""
        rng = np.random.default_rng([self._seed, 2, index + _WEATHER_HOURS])
        count = self._rows_per_hour
        depot = rng.integers(0, len(DEPOTS), count)
        return {
            "index": np.full(count, index),
            "seconds": 3600.0 * (index + np.sort(rng.uniform(size=count))),
            "series": depot,
            "weight": rng.gamma(7.0, 1.15, count).round(2),
            "wind": self._wind[index, depot],
            "rain": self._rain[index, depot],
            "depot": np.array(DEPOTS, dtype=object)[depot],
            "luck": rng.uniform(size=(count, 3)),
        }


@dataclass(frozen=True)
class Parcels:
    """Rows as they arrived, as they really were, and the chance that decides their labels."""

    arrived: pd.DataFrame
    real: pd.DataFrame
    luck: Floats
    """Per row three uniform numbers: for the label, for whether it arrives, for when."""

    def labels(self, truth: Logistic) -> Floats:
        """1.0 late, 0.0 in time, NaN where nobody ever says."""
        late = (self.luck[:, 0] < truth.probability(self.real)).astype(np.float64)
        return np.where(self.luck[:, 1] < _UNLABELLED, np.nan, late)

    def known_at(self) -> pd.Series[Any]:
        """When each label becomes known: some time before the delay has passed."""
        delays = pd.to_timedelta(self.luck[:, 2] * LABEL_DELAY.total_seconds(), unit="s")
        return self.real["event_time"] + delays


def parcels_model(history: str, **changes: dict[str, Any]) -> ManagedModel:
    """The document of the simulated target; ``changes`` replace fields of sections of its spec."""
    spec: dict[str, Any] = {
        "model": "parcels",
        "schema": {
            "timeColumn": "sent",
            "columns": [
                {"name": "weight", "type": "number", "unit": "kg", "minimum": 0, "maximum": 60},
                {"name": "wind", "type": "number", "unit": "m/s", "nullable": True, "feed": FEED},
                {"name": "rain", "type": "number", "unit": "mm", "nullable": True, "feed": FEED},
                {"name": "depot", "type": "category"},
            ],
            "feeds": [
                {"name": FEED, "key": "depot", "maxRepeatHours": 5, "fallback": "impute"},
            ],
            "forbidden": ["arrived"],
        },
        "label": {"name": "late", "delay": LABEL_DELAY},
        "data": {"history": history, "minRows": 500},
        "training": {"families": ["logistic_regression"], "timeout": "20m"},
        "gates": [{"metric": "log_loss", "notWorseThanChampionBy": 0.01}],
        "serving": {"route": "parcels", "host": "parcels"},
        "rollout": {"stepsPercent": [10, 50, 100], "stepDeadline": "5m", "probation": "2d"},
        "evidence": {"window": "6h", "lossTolerance": 0.02},
        "guardrails": {"coolDown": "3d"},
    }
    for section, fields in changes.items():
        spec[section] = {**spec.get(section, {}), **fields}
    return ManagedModel.model_validate(
        {
            "apiVersion": "mendloop.dev/v1alpha1",
            "kind": "ManagedModel",
            "metadata": {"name": "parcels"},
            "spec": spec,
        }
    )


def _numbers(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
