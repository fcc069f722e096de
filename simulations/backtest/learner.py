"""The learner, the same for mendloop and for every baseline, with a stopwatch on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulations.backtest.recording import Floats, Recording, Task
from tools.statistics.blend import normalised
from tools.statistics.losses import CLIP

ROUNDS = 60
"""Trees per class: enough for tables of this size, and quick, since a backtest fits hundreds."""
_ONE_THREAD_ROWS = 100_000
"""Up to which more threads cost more than they bring."""


@dataclass
class Stopwatch:
    """Seconds spent in fitting and predicting; the rest of a run is overhead."""

    fit_s: float = 0.0
    fits: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measures what is inside."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.fit_s += time.monotonic() - begun


class Learner:
    """Fits gradient-boosted trees to some rows of a recording."""

    def __init__(self, recording: Recording, watch: Stopwatch, *, seed: int = 0) -> None:
        self.recording = recording
        self.watch = watch
        self._seed = seed

    def fit(self, rows: slice, *, weights: Floats | None = None) -> Fitted:
        """A model of these rows, which must all be known by then."""
        from threadpoolctl import threadpool_limits

        inputs, labels = self.recording.inputs[rows], self.recording.labels[rows]
        limit = 1 if len(labels) <= _ONE_THREAD_ROWS else None
        with self.watch.running(), threadpool_limits(limits=limit):
            self.watch.fits += 1
            return Fitted(self._fitted(inputs, labels, weights), self.recording, self.watch)

    def _fitted(self, inputs: Floats, labels: Floats, weights: Floats | None) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        if self.recording.task.has_classes and np.ptp(labels) == 0:
            return float(labels[0])
        kind = (
            HistGradientBoostingClassifier
            if self.recording.task.has_classes
            else HistGradientBoostingRegressor
        )
        categories = np.array(self.recording.is_category)
        model = kind(
            max_iter=ROUNDS,
            early_stopping=False,
            random_state=self._seed,
            categorical_features=categories if categories.any() else None,
        )
        return model.fit(inputs, labels, sample_weight=weights)


class Fitted:
    """A fitted model that predicts rows of its recording."""

    def __init__(self, model: Any, recording: Recording, watch: Stopwatch) -> None:
        self._model = model
        self._recording = recording
        self._watch = watch

    @property
    def rows(self) -> int:
        """How many rows there are to predict."""
        return self._recording.rows

    def predict(self, begin: int, end: int) -> Floats:
        """Log-probabilities (rows, classes), or numbers (rows)."""
        from threadpoolctl import threadpool_limits

        with self._watch.running(), threadpool_limits(limits=1):
            return self._predict(self._recording.inputs[begin:end])

    def _predict(self, inputs: Floats) -> Floats:
        recording = self._recording
        if recording.task is Task.REGRESSION:
            return np.asarray(self._model.predict(inputs), dtype=np.float64)
        size = len(recording.classes)
        found = np.full((len(inputs), size), CLIP)
        if isinstance(self._model, float):
            found[:, int(self._model)] = 1.0
        else:
            found[:, self._model.classes_.astype(int)] = self._model.predict_proba(inputs)
        return normalised(np.log(np.clip(found, CLIP, 1.0)))


class Outlook:
    """A model's predictions from one row on, made a stretch at a time: no label changes them."""

    def __init__(self, fitted: Fitted, *, begin: int, stretch: int) -> None:
        self._fitted = fitted
        self._stretch = stretch
        self._begin = begin
        self._found: Floats | None = None

    def rows(self, begin: int, end: int) -> Floats:
        """Predictions for these rows."""
        have = self._begin + (0 if self._found is None else len(self._found))
        if end > have:
            until = min(self._fitted.rows, max(end, have + self._stretch))
            more = self._fitted.predict(have, until)
            self._found = more if self._found is None else np.concatenate([self._found, more])
        assert self._found is not None
        return self._found[begin - self._begin : end - self._begin]

    def forget(self, before: int) -> None:
        """Let go of rows that nobody will ask for again; called now and then."""
        over = before - self._begin
        if self._found is not None and over > self._stretch:
            self._found = self._found[over:]
            self._begin = before
