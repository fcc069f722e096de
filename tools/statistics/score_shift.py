"""Do two versions score the same traffic so differently that one of them cannot be meant?

Kolmogorov distance of the two score distributions with a Dvoretzky-Kiefer-Wolfowitz band (Massart
1990), rows divided by their design effect. A shift is harm only when its lower bound exceeds what
a release may bring along; too few rows prove nothing and hold nothing up.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tools.statistics.bands import dkw_width
from tools.statistics.clusters import design_effect
from tools.statistics.verdict import Judgement, Verdict

FEWEST = 30


def judge_score_shift(
    stable: pd.DataFrame, canary: pd.DataFrame, *, allowed: float, alpha: float
) -> Judgement:
    """HARMFUL: further apart than ``allowed``. Frames have ``probability`` and ``event_time``."""
    sizes = f"{len(canary):,} rows of the canary, {len(stable):,} of stable"
    if min(len(stable), len(canary)) < FEWEST:
        reason = f"{sizes}: at least {FEWEST} of each needed"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason)
    observed = _kolmogorov(stable, canary)
    lower = max(0.0, observed - dkw_width(_apart(stable), _apart(canary), alpha))
    reason = f"scores differ by {observed:.3f}, at least {lower:.3f} (allowed {allowed:g}; {sizes})"
    verdict = Verdict.HARMFUL if lower > allowed else Verdict.HEALTHY
    figures = {"distance": round(observed, 6), "lower": round(lower, 6), "allowed": allowed}
    return Judgement(verdict=verdict, reason=reason, figures=figures)


def _kolmogorov(first: pd.DataFrame, second: pd.DataFrame) -> float:
    one, other = (np.sort(f["probability"].to_numpy(dtype=float)) for f in (first, second))
    at = np.concatenate([one, other])
    before = np.searchsorted(one, at, side="right") / len(one)
    after = np.searchsorted(other, at, side="right") / len(other)
    return float(np.abs(before - after).max())


def _apart(rows: pd.DataFrame) -> float:
    """Independent observations behind the rows, by event hour."""
    hours = rows["event_time"].dt.floor("h")
    return len(rows) / design_effect(rows["probability"], hours)
