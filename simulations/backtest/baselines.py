"""What others would have done with the same learner: never, by the calendar, by a detector.

Every retrain of a baseline fits the newest ``RECENT_ROWS`` known rows, or all of them where its
name says so. Detectors (river) see one error per row, as it becomes known; the row of an alarm is
the row of the refit, and the detector begins anew.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulations.backtest.learner import Fitted, Learner
from simulations.backtest.measure import marks
from simulations.backtest.recording import Floats, Recording

RECENT_ROWS = 2000
INTERVALS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
MOST_RETRAINS = 100
"""Of a calendar: shorter intervals cost more than anybody would pay."""
CALENDARS = 4
_STRETCH = 1000
NEEDED = "pip install mendloop[backtest]"


@dataclass(frozen=True)
class Baseline:
    """What one of them came to."""

    name: str
    marks: Floats
    retrains: int
    at: tuple[int, ...] = ()
    """Rows at which it retrained."""


Work = Callable[[], Baseline]


def is_river_there() -> bool:
    """Whether the detectors can run."""
    return importlib.util.find_spec("river") is not None


def calendars(recording: Recording) -> tuple[int, ...]:
    """The intervals that are tried: the shortest ones that retrain at most ``MOST_RETRAINS``."""
    replayed = recording.rows - recording.start
    fitting = [k for k in INTERVALS if replayed / k <= MOST_RETRAINS and k < replayed]
    return tuple(fitting[:CALENDARS])


def all_baselines(recording: Recording, learner: Learner) -> Iterator[tuple[str, Work]]:
    """Name and work of every baseline, in the order in which they are shown."""
    first = learner.fit(slice(0, recording.start))
    yield "never", lambda: _never(recording, first)
    for rows in calendars(recording):
        for recent in (True, False):
            name = f"every {rows:,} rows" + ("" if recent else ", all history")
            yield name, _calendar(recording, learner, first, name, rows, recent=recent)
    if is_river_there():
        for name, make in detectors(has_classes=recording.task.has_classes).items():
            yield name, _detected(recording, learner, first, name, make)


def detectors(*, has_classes: bool) -> dict[str, Callable[[], Any]]:
    """River's detectors with its own defaults. Those that take errors as 0 or 1 see, of a
    regression, whether the error is above the median of the starting rows."""
    from river import drift
    from river.drift import binary

    hddm_w = getattr(binary, "HDDM_W", None) or binary.HDDMW
    found: dict[str, Callable[[], Any]] = {
        "ADWIN": drift.ADWIN,
        "DDM": binary.DDM,
        "EDDM": binary.EDDM,
        "HDDM_W": hddm_w,
        "Page-Hinkley": drift.PageHinkley,
        "KSWIN": lambda: drift.KSWIN(seed=0),
    }
    return found


_BINARY = ("DDM", "EDDM", "HDDM_W")


def _never(recording: Recording, first: Fitted) -> Baseline:
    found = [
        marks(recording, first.predict(begin, end), begin)
        for begin, end in _stretches(recording.start, recording.rows, 10 * _STRETCH)
    ]
    return Baseline("never", np.concatenate(found), 0)


def _calendar(
    recording: Recording, learner: Learner, first: Fitted, name: str, rows: int, *, recent: bool
) -> Work:
    def run() -> Baseline:
        model, found, at = first, [], []
        for begin, end in _stretches(recording.start, recording.rows, rows):
            if begin > recording.start:
                model = _refit(recording, learner, begin, recent=recent)
                at.append(begin)
            found.append(marks(recording, model.predict(begin, end), begin))
        return Baseline(name, np.concatenate(found), len(at), tuple(at))

    return run


def _detected(
    recording: Recording, learner: Learner, first: Fitted, name: str, make: Callable[[], Any]
) -> Work:
    def run() -> Baseline:
        return Detected(recording, learner, first, name, make).run()

    return run


class Detected:
    """Retrains where a detector that reads the errors raises an alarm."""

    def __init__(
        self,
        recording: Recording,
        learner: Learner,
        first: Fitted,
        name: str,
        make: Callable[[], Any],
    ) -> None:
        self._recording, self._learner, self._name, self._make = recording, learner, name, make
        self._model = first
        self._detector = make()
        self._marks = np.empty(recording.rows - recording.start)
        self._at: list[int] = []
        self._read = recording.start
        self._limit = self._usual_error(first) if not recording.task.has_classes else 0.0

    def run(self) -> Baseline:
        """Row by row; predictions are made a stretch at a time and thrown away at an alarm."""
        start, rows = self._recording.start, self._recording.rows
        begin = start
        while begin < rows:
            end = min(begin + _STRETCH, rows)
            self._marks[begin - start : end - start] = marks(
                self._recording, self._model.predict(begin, end), begin
            )
            begin = self._watched(begin, end)
        return Baseline(self._name, self._marks, len(self._at), tuple(self._at))

    def _watched(self, begin: int, end: int) -> int:
        """Feed the detector with what becomes known on the way; where to predict from next."""
        start = self._recording.start
        known = np.searchsorted(
            self._recording.known_from, np.arange(begin + 1, end + 1), side="right"
        )
        for arrived, until in enumerate(known.tolist(), begin + 1):
            while self._read < until:
                self._detector.update(self._signal(self._marks[self._read - start]))
                self._read += 1
                if self._detector.drift_detected and arrived < self._recording.rows:
                    self._detector = self._make()
                    self._model = _refit(self._recording, self._learner, arrived, recent=True)
                    self._at.append(arrived)
                    self._read = max(self._read, until)
                    return arrived
        return end

    def _signal(self, mark: float) -> float | bool:
        if self._recording.task.has_classes:
            wrong = mark < 0.5
            return wrong if self._name in _BINARY else float(wrong)
        return mark > self._limit if self._name in _BINARY else mark

    def _usual_error(self, first: Fitted) -> float:
        begin = self._recording.start // 2
        return float(
            np.median(marks(self._recording, first.predict(begin, self._recording.start), begin))
        )


def _refit(recording: Recording, learner: Learner, arrived: int, *, recent: bool) -> Fitted:
    known = recording.known(arrived)
    return learner.fit(slice(max(0, known - RECENT_ROWS) if recent else 0, known))


def _stretches(begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    while begin < end:
        yield begin, min(begin + size, end)
        begin += size
