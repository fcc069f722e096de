"""Recomputes a sample of what the champion answered from its registered artifact, window by window.

The same row and the same artifact give the same probability, so one answer that differs by more
than rounding is a certain defect; no error rate is needed. Rows without a label are as their server
saw them: where they differ, serving computes something else than training did. Where they agree and
rows of the same hours that already have a label do not, somebody wrote into the log what the labels
told: nothing to the model that serves, and poison to the next one.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from agents.feature_engineer.skew import ROWS, TOLERANCE
from agents.memory import Recomputed, Span, TargetMemory
from agents.monitor.cohorts import answered_by
from agents.ports import Desk
from agents.served import Served
from agents.windows import complete_windows, parse
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.registry import ModelVersion
from tools.statistics.losses import Floats, clipped, entropy
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SAMPLE = 120
"""Most rows of a window, with and without a label each, that are computed again."""
LOG = "log"


def recompute(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served, extent: LogExtent
) -> TargetMemory:
    """Sample the newest validated window, once; the memory that follows."""
    champion = served.champion
    if champion is None or not memory.validated_until or extent.watermark is None:
        return memory
    window = _newest_window(model, memory, champion, extent)
    if window is None:
        return memory
    rows = desk.log.cohort(
        model.target,
        start=window[0],
        end=window[1],
        as_of=extent.watermark,
        columns=model.spec.schema_.names,
        version=champion.version,
    )
    fresh, told = _samples(rows)
    before = memory.recomputed
    known = before if before is not None and before.version == champion.version else None
    until = window[1].isoformat()
    if len(fresh) < ROWS:
        kept = known or Recomputed(version=champion.version, until=until)
        return memory.model_copy(update={"recomputed": kept.model_copy(update={"until": until})})
    try:
        answers = answered_by(desk, model, champion)
        expected = answers(fresh)
        apart, costs = _apart(fresh, expected), _costs(fresh, expected)
        late_apart = _apart(told, answers(told)) if len(told) >= ROWS else None
    except Refused:
        return memory  # an artifact that may not be loaded says nothing of what is served
    found = Recomputed(
        version=champion.version,
        until=until,
        serving=_serving(apart, costs, len(fresh)),
        costs=costs,
        records=_records(apart, late_apart, len(told)),
    )
    spans = _spans(memory, found.records, window)
    return memory.model_copy(update={"recomputed": found, "spans": spans})


def is_serving_wrong(model: ManagedModel, memory: TargetMemory, version: str) -> bool:
    """Whether the server of this version answers something else than its artifact, and so much
    that its users notice."""
    found = memory.recomputed
    return (
        found is not None
        and found.version == version
        and found.serving is not None
        and found.serving.verdict is Verdict.HARMFUL
        and found.costs > model.spec.evidence.loss_tolerance
    )


def _newest_window(
    model: ManagedModel, memory: TargetMemory, champion: ModelVersion, extent: LogExtent
) -> tuple[datetime, datetime] | None:
    known, first = memory.recomputed, extent.first
    if first is None:
        return None
    until = parse(memory.validated_until)
    size = model.spec.evidence.window
    is_same = known is not None and known.version == champion.version
    after = max(first, until - size, parse(known.until) if known and is_same else first)
    windows = list(complete_windows(after, until, size))
    return windows[-1] if windows and windows[-1][1] > after else None


def _samples(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows without a label, and rows of the same time with one."""
    is_fresh, times = rows["label"].isna().to_numpy(), rows["event_time"].to_numpy()
    is_told = ~is_fresh
    if is_fresh.any():
        known = times[is_fresh]
        is_told &= (times >= known.min()) & (times <= known.max())
    return _thinned(rows, is_fresh), _thinned(rows, is_told)


def _thinned(rows: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    """At most SAMPLE of the chosen ones, spread evenly."""
    found = np.flatnonzero(chosen)
    if len(found) > SAMPLE:
        found = found[np.linspace(0, len(found) - 1, SAMPLE).astype(int)]
    return rows.iloc[found]


def _apart(rows: pd.DataFrame, expected: Floats) -> Floats:
    return np.abs(rows["probability"].to_numpy(float) - expected)


def _costs(rows: pd.DataFrame, expected: Floats) -> float:
    """Mean Kullback-Leibler divergence of what was served from what the artifact says."""
    said, right = clipped(rows["probability"].to_numpy(float)), clipped(expected)
    cross = -right * np.log(said) - (1.0 - right) * np.log1p(-said)
    return float((cross - entropy(right)).mean())


def _serving(apart: Floats, costs: float, rows: int) -> Judgement:
    wrong = int((apart > TOLERANCE).sum())
    figures = {"rows": float(rows), "largest_difference": float(apart.max()), "costs": costs}
    if not wrong:
        reason = f"{rows} served rows are what the artifact says"
        return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
    reason = (
        f"{wrong} of {rows} served rows differ from the artifact's by up to {apart.max():.4f}; "
        f"if it is right they lose {costs:.4f}"
    )
    return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)


def _records(apart: Floats, late_apart: Floats | None, rows: int) -> Judgement | None:
    """Only beside fresh rows that all agree: then serving is not what changed."""
    if late_apart is None or bool((apart > TOLERANCE).any()):
        return None
    wrong = int((late_apart > TOLERANCE).sum())
    figures = {"rows": float(rows), "changed": float(wrong)}
    if not wrong:
        reason = f"{rows} labelled rows are logged as they were served"
        return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
    reason = (
        f"{wrong} of {rows} rows were changed in the log after they had been answered, once their "
        "label was known; rows without a label are as served"
    )
    return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)


def _spans(
    memory: TargetMemory, records: Judgement | None, window: tuple[datetime, datetime]
) -> tuple[Span, ...]:
    """Open a span where the log was changed, and end it where it is as served again."""
    if records is None:
        return memory.spans
    start = window[0].isoformat()
    lasting = [s for s in memory.spans if s.about == "log" and not s.end]
    if records.verdict is Verdict.HARMFUL:
        if lasting:
            return memory.spans
        return (*memory.spans, Span(feed=LOG, about="log", start=start, reasons=(records.reason,)))
    return tuple(s.model_copy(update={"end": start}) if s in lasting else s for s in memory.spans)
