"""Gathers the rows of requests that arrive together into one call of the model.

A model call has a fixed cost that one row pays as much as a hundred. Rows that arrive in the same
turn of the event loop, or while the model is busy, are answered by one call; nobody is made to wait
for company. A quick model (ONNX, a third of a millisecond) is called right on the event loop; when
calls turn out slow they move to a thread, so that health and metrics still answer, and back when
they are quick again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from serving.worker import Worker
from tools.errors import Unavailable

Predict = Callable[[Sequence[Mapping[str, Any]]], list[float]]

ROWS_PER_CALL = 256
"""Enough to spread the fixed cost; few enough to hold up the event loop for 3 ms at most."""
_WAITING_ROWS = 20_000
"""Beyond it the server is overloaded and says so, instead of answering after every deadline."""
_QUICK_CALL_S = 0.002
_QUICK_ROW_S = 0.00005
_SLACK = 1e-6
"""How far float32 arithmetic may leave a probability outside of 0 to 1."""


class PredictionFailed(Unavailable):
    """The model raised, or answered something that is not one probability per row."""


class _Job(NamedTuple):
    rows: Sequence[Mapping[str, Any]]
    answer: asyncio.Future[list[float]]


class _Outcome(NamedTuple):
    answers: list[list[float] | PredictionFailed]
    seconds: float


class Batcher:
    """Calls one model, from one event loop."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._waiting: deque[_Job] = deque()
        self._waiting_rows = 0
        self._turn_is_due = False
        self._is_quick = False
        self._worker = Worker("predict")

    @property
    def waiting_rows(self) -> int:
        """Rows that no call has taken yet."""
        return self._waiting_rows

    def close(self) -> None:
        """Give the thread back. Call it when no request is in flight."""
        self._worker.close()

    def submit(self, rows: Sequence[Mapping[str, Any]]) -> asyncio.Future[list[float]]:
        """One probability per row, soon; at most ROWS_PER_CALL rows.

        The future raises PredictionFailed. Raises Unavailable at once when too much waits already.
        """
        if self._waiting_rows >= _WAITING_ROWS:
            raise Unavailable(f"{self._waiting_rows} rows are waiting for the model")
        loop = asyncio.get_running_loop()
        job = _Job(rows, loop.create_future())
        self._waiting.append(job)
        self._waiting_rows += len(rows)
        if not self._turn_is_due:
            self._turn_is_due = True
            loop.call_soon(self._turn)
        return job.answer

    def _turn(self) -> None:
        jobs = self._take()
        if self._is_quick:
            self._settle(jobs, _call(self._predict, jobs))
            return
        called = self._worker.submit(lambda: _call(self._predict, jobs))
        called.add_done_callback(lambda done: self._settle(jobs, done.result()))

    def _take(self) -> list[_Job]:
        jobs = [self._waiting.popleft()]
        rows = len(jobs[0].rows)
        while self._waiting and rows + len(self._waiting[0].rows) <= ROWS_PER_CALL:
            jobs.append(self._waiting.popleft())
            rows += len(jobs[-1].rows)
        self._waiting_rows -= rows
        return jobs

    def _settle(self, jobs: list[_Job], outcome: _Outcome) -> None:
        rows = sum(len(job.rows) for job in jobs)
        self._is_quick = outcome.seconds < _QUICK_CALL_S + rows * _QUICK_ROW_S
        for job, answer in zip(jobs, outcome.answers, strict=True):
            if job.answer.done():
                continue
            if isinstance(answer, PredictionFailed):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)
        self._turn_is_due = bool(self._waiting)
        if self._turn_is_due:
            asyncio.get_running_loop().call_soon(self._turn)


def _call(predict: Predict, jobs: Sequence[_Job]) -> _Outcome:
    start = time.perf_counter()
    answers = _answers(predict, jobs)
    return _Outcome(answers, time.perf_counter() - start)


def _answers(predict: Predict, jobs: Sequence[_Job]) -> list[list[float] | PredictionFailed]:
    """An answer per job; when a call fails it is halved until only the guilty jobs fail."""
    rows = [row for job in jobs for row in job.rows]
    try:
        probabilities = iter(_checked(predict(rows), len(rows)))
    except Exception as error:  # noqa: BLE001 - a model is foreign code and may raise anything
        if len(jobs) == 1:
            return [_failure(error)]
        half = len(jobs) // 2
        return _answers(predict, jobs[:half]) + _answers(predict, jobs[half:])
    return [[next(probabilities) for _ in job.rows] for job in jobs]


def answered(predict: Predict, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """One probability per row without an event loop, called as a large request calls the model.

    Raises PredictionFailed.
    """
    probabilities: list[float] = []
    for start in range(0, len(rows), ROWS_PER_CALL):
        part = rows[start : start + ROWS_PER_CALL]
        try:
            probabilities += _checked(predict(part), len(part))
        except Exception as error:
            raise _failure(error) from error
    return probabilities


def _failure(error: Exception) -> PredictionFailed:
    failure = PredictionFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _checked(probabilities: Sequence[float], rows: int) -> list[float]:
    if len(probabilities) != rows:
        raise ValueError(f"the model answered {len(probabilities)} values for {rows} rows")
    for value in probabilities:
        if not -_SLACK <= value <= 1 + _SLACK:  # false for NaN too
            raise ValueError(f"the model answered {value}, which is no probability")
    return [min(max(float(value), 0.0), 1.0) for value in probabilities]
