"""The figure that a backtest is read by: accuracy, or the mean absolute error."""

from __future__ import annotations

import numpy as np

from simulations.backtest.recording import Floats, Recording, Task

METRICS = {Task.BINARY: "accuracy", Task.MULTICLASS: "accuracy", Task.REGRESSION: "mae"}


def metric_of(task: Task) -> str:
    """Name of the figure for a task."""
    return METRICS[task]


def is_better(task: Task, ours: float, theirs: float) -> bool:
    """Whether the first figure is at least as good as the second."""
    return ours >= theirs if task.has_classes else ours <= theirs


def marks(recording: Recording, predicted: Floats, begin: int) -> Floats:
    """One mark per row whose mean is the figure: 1 for a right class, or the absolute error."""
    labels = recording.labels[begin : begin + len(predicted)]
    if recording.task.has_classes:
        return np.asarray(predicted.argmax(axis=-1) == labels, dtype=np.float64)
    return np.asarray(np.abs(predicted - labels), dtype=np.float64)


def trivial_marks(recording: Recording) -> dict[str, Floats]:
    """What needs no model at all, under the same delay of labels, per row from the start on."""
    labels, rows = recording.labels, np.arange(recording.start, recording.rows)
    known = np.searchsorted(recording.known_from, rows, side="right")
    last = labels[np.maximum(known, 1) - 1]
    if recording.task.has_classes:
        counted = np.zeros((len(labels) + 1, len(recording.classes)))
        ones = np.eye(len(recording.classes))[labels.astype(int)]
        counted[1:] = np.cumsum(ones, axis=0)
        majority = counted[known].argmax(axis=1)
        return {
            "repeat the last label": np.asarray(last == labels[rows], dtype=float),
            "majority": np.asarray(majority == labels[rows], dtype=float),
        }
    sums = np.concatenate([[0.0], np.cumsum(labels)])
    mean = sums[known] / np.maximum(known, 1)
    return {
        "repeat the last label": np.abs(last - labels[rows]),
        "mean": np.abs(mean - labels[rows]),
    }
