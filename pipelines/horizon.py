"""How far back to learn from: everything, or only what came after a change that monitoring saw.

After a sudden change most of the history teaches the old world; in a slow one, or where nothing
changed for good, long histories beat short ones. Which it is, the newest rows before the hold-out
decide: a model of each is judged on rows that neither was fitted on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.split import MIN_ROWS

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
Losses = Callable[[Mask, Mask], NDArray[np.float64]]
"""Fits on the rows of the first mask; losses of the rows of the second."""

JUDGED = 0.4
"""Share of the rows since the change that decides, the newest of them."""
BY_ERRORS = 1.0
"""Standard errors by which the short history must be better: in doubt, the long one."""


def rows_to_learn(
    times: pd.Series[Any], held: Mask, changed_at: str, losses: Losses
) -> tuple[Mask, dict[str, Any]]:
    """The rows to fit on, and what was found; ``changed_at`` empty: all before the hold-out."""
    everything = np.asarray(~held, dtype=bool)
    if not changed_at:
        return everything, {"learned_from": "everything"}
    since = everything & np.asarray(times >= datetime.fromisoformat(changed_at))
    fresh = np.flatnonzero(since)
    judged = int(len(fresh) * JUDGED)
    if judged < MIN_ROWS or len(fresh) - judged < MIN_ROWS:
        found = {"learned_from": "everything", "rows_since_change": len(fresh)}
        return everything, found
    newest = np.zeros_like(everything)
    newest[fresh[np.argsort(times.to_numpy()[fresh], kind="stable")][-judged:]] = True
    long = losses(everything & ~newest, newest)
    short = losses(since & ~newest, newest)
    gain = long - short
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    is_short = float(gain.mean()) > BY_ERRORS * error
    return (since if is_short else everything), {
        "learned_from": "since the change" if is_short else "everything",
        "changed_at": changed_at,
        "rows_since_change": len(fresh),
        "log_loss_of_everything": float(long.mean()),
        "log_loss_since_the_change": float(short.mean()),
    }
