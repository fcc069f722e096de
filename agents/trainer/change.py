"""Since when the champion has been wrong, as far as matured labels tell: where to learn from."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from agents.memory import TargetMemory
from agents.ports import Desk
from agents.windows import complete_windows
from tools.managed_model import ManagedModel
from tools.statistics.losses import clipped, entropy, row_loss

LOOK_BACK = 60
"""Windows in which a change is looked for."""
CLEAR = 3.0
"""Standard errors by which the loss above the model's own expectation must have risen."""

Floats = NDArray[np.float64]


def changed_at(desk: Desk, model: ManagedModel, memory: TargetMemory) -> str:
    """Event time of the window from which on the champion's excess loss is up; empty: no such.

    A least-squares split of the windows' mean excess (loss above the entropy of the model's own
    probabilities), which harder seasons do not move.
    """
    extent = desk.log.extent(model.target)
    if extent.first is None or extent.watermark is None:
        return ""
    size, until = model.spec.evidence.window, extent.watermark - model.spec.label.delay
    first = max(extent.first, until - LOOK_BACK * size)
    rows = desk.log.cohort(
        model.target,
        start=first,
        end=until,
        as_of=extent.watermark,
        version=memory.performance_version or None,
    ).dropna(subset=["label"])
    if not len(rows):
        return ""
    times = rows["event_time"].to_numpy()
    p = clipped(rows["probability"].to_numpy(float))
    excess = row_loss(p, rows["label"].to_numpy(float)) - entropy(p)
    starts: list[datetime] = []
    parts: list[Floats] = []
    for start, end in complete_windows(first, until, size):
        inside = (times >= np.datetime64(start)) & (times < np.datetime64(end))
        is_known = not memory.is_distrusted(start.isoformat(), end.isoformat())
        if is_known and inside.any():
            starts.append(start)
            parts.append(excess[inside])
    return _split(starts, parts)


def _split(starts: list[datetime], parts: list[Floats]) -> str:
    """The start that tells the windows before and after it apart best."""
    best, found = CLEAR, ""
    for index in range(1, len(parts)):
        before, after = np.concatenate(parts[:index]), np.concatenate(parts[index:])
        spread = math.sqrt(before.var() / len(before) + after.var() / len(after))
        if spread > 0:
            rise = float(after.mean() - before.mean()) / spread
            if rise > best:
                best, found = rise, starts[index].isoformat()
    return found
