"""Watches whether labels may be believed: a fault of theirs looks like a changed world to any loss.

Each newly judged window is first asked cheaply whether anything changed at all. Where it did, the
rows since then are asked three times, when they span 4, 8 and 16 windows, whether a fault of the
labels explains them better than every changed world (``tools/statistics/label_faults.py``). The
j-th answer gets 6/(pi j)^2 of alpha, so of all changes of the world at most alpha are called a
fault. Faulty labels are neither evidence of quality nor training data; a person is told.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from agents.memory import LabelWatch, Span, TargetMemory
from agents.monitor.cohorts import unmasked
from agents.monitor.drift import windows_per_month
from agents.ports import Desk
from agents.served import Served
from agents.windows import between, complete_windows, parse
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.statistics.canary import alpha_for
from tools.statistics.label_faults import (
    LabelFault,
    Labelled,
    find_label_fault,
    has_changed,
    log_evidence_of_no_fault,
)

if TYPE_CHECKING:
    import pandas as pd

LOOKS = (4, 8, 16)
"""Windows since the change at which the question is asked."""
LEAST_SHARE = 0.1
"""Share of wrong labels that is worth a person's time."""
LABELS = "labels"


def watch_labels(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served, extent: LogExtent
) -> TargetMemory:
    """Look at the windows that were judged since the last look; the memory that follows."""
    champion = served.champion
    if champion is None or not memory.judged_until or extent.first is None:
        return memory
    watch = memory.labels
    if watch is None or watch.version != champion.version:
        until = watch.until if watch else extent.first.isoformat()
        watch = LabelWatch(version=champion.version, until=until)
    size = model.spec.evidence.window
    windows = list(complete_windows(parse(watch.until), parse(memory.judged_until), size))
    if not windows or extent.watermark is None:
        return memory.model_copy(update={"labels": watch})
    first = windows[0][0] - (LOOKS[0] - 1) * size
    if watch.since:
        first = min(first, max(parse(watch.since), windows[-1][1] - LOOKS[-1] * size))
    rows = desk.log.cohort(
        model.target,
        start=first,
        end=windows[-1][1],
        as_of=extent.watermark,
        columns=model.spec.schema_.names,
        version=champion.version,
    )
    rows = unmasked(rows.dropna(subset=["label"]))
    for window in windows:
        memory, watch = _after(model, memory, watch, rows, window)
    return memory.model_copy(update={"labels": watch})


def _after(
    model: ManagedModel,
    memory: TargetMemory,
    watch: LabelWatch,
    rows: pd.DataFrame,
    window: tuple[datetime, datetime],
) -> tuple[TargetMemory, LabelWatch]:
    start, end = window
    size, alpha = model.spec.evidence.window, model.spec.evidence.alpha
    watch = watch.model_copy(update={"until": end.isoformat()})
    lasting = next((s for s in memory.spans if s.about == "labels" and not s.end), None)
    if lasting is not None:
        inside = _labelled(model, between(rows, start, end))
        if log_evidence_of_no_fault(inside, watch.kind, watch.where) < math.log(1 / alpha):
            return memory, watch
        over = lasting.model_copy(update={"end": start.isoformat()})
        spans = tuple(over if s is lasting else s for s in memory.spans)
        fresh = LabelWatch(version=watch.version, until=end.isoformat())
        return memory.model_copy(update={"spans": spans}), fresh
    if memory.is_distrusted(start.isoformat(), end.isoformat()):
        return memory, watch
    if not watch.since:
        since = _changed_since(model, rows, end)
        watch = watch.model_copy(update={"since": since.isoformat() if since else ""})
    if watch.looks == len(LOOKS) and _changed_since(model, rows, end) is None:
        return memory, LabelWatch(version=watch.version, until=watch.until)  # over: look out again
    if not watch.since or watch.looks == len(LOOKS):
        return memory, watch
    since = parse(watch.since)
    if end - since < LOOKS[watch.looks] * size:
        return memory, watch
    watch = watch.model_copy(update={"looks": watch.looks + 1})
    found = find_label_fault(_labelled(model, between(rows, since, end)))
    if found is None or not _is_believed(found, alpha_for(alpha, attempt=watch.looks)):
        return memory, watch
    return _distrusted(memory, found, since), watch.model_copy(
        update={"kind": found.kind, "where": found.where}
    )


def _changed_since(model: ManagedModel, rows: pd.DataFrame, end: datetime) -> datetime | None:
    """The start of the shortest recent span of windows whose labels are not what the model said."""
    level = model.spec.evidence.alpha / windows_per_month(model) / len((1, 2, 4))
    for count in (1, 2, 4):
        start: datetime = end - count * model.spec.evidence.window
        if has_changed(_labelled(model, between(rows, start, end)), alpha=level):
            return start
    return None


def _is_believed(found: LabelFault, alpha: float) -> bool:
    return found.share >= LEAST_SHARE and found.log_evidence >= math.log(1 / alpha)


def _distrusted(memory: TargetMemory, found: LabelFault, since: datetime) -> TargetMemory:
    """From here on labels are set aside, and what they said since counts for nothing."""
    where = f"where {found.where}" if found.where else "of every kind of row alike"
    reason = (
        f"about {found.share:.0%} of the labels {where} are {found.kind}, as no changed world "
        f"explains (log evidence {found.log_evidence:.1f} against {found.rival})"
    )
    span = Span(feed=LABELS, about="labels", start=since.isoformat(), reasons=(reason,))
    return memory.model_copy(
        update={
            "spans": (*memory.spans, span),
            "performance": None,
            "performance_version": "",
            "slices": {},
        }
    )


def _labelled(model: ManagedModel, rows: pd.DataFrame) -> Labelled:
    schema = model.spec.schema_
    return Labelled(
        probability=rows["probability"].to_numpy(float),
        label=rows["label"].to_numpy(float),
        numbers={c: rows[c].to_numpy(dtype=float, na_value=np.nan) for c in schema.numbers},
        categories={c: rows[c].to_numpy(dtype=object) for c in schema.categories},
    )
