"""Compares what comes in with the champion's reference, window after window; never acts on it.

Single windows and the last 4 and 16 are compared, under one false-alarm rate per model and month
(``tools/statistics/sequential_drift.py``). The profiles are counted anew from the prediction log
each time, so that what has to be remembered stays small: the newest answer of each span.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agents.memory import Compared, DriftWatch, TargetMemory
from agents.monitor.cohorts import unmasked
from agents.ports import Desk
from agents.served import Served
from agents.windows import between, complete_windows, parse
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.served_profile import read_reference, window_profile
from tools.statistics.drift import compare
from tools.statistics.performance import estimate_without_labels
from tools.statistics.seasons import SeasonalReference
from tools.statistics.sequential_drift import SPANS, comparison_alpha
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

MONTH = timedelta(days=30)
_LONGEST = max(SPANS)

Window = tuple[datetime, datetime]


def watch_drift(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served, extent: LogExtent
) -> tuple[TargetMemory, tuple[Compared, ...]]:
    """Compare the windows validated since the last look; the memory that follows.

    Distrusted windows are left out: what they show is the fault. A champion that was registered
    without a profile is not compared with anything.
    """
    champion = served.champion
    if champion is None or extent.first is None or not memory.validated_until:
        return memory, ()
    watch = _for_champion(memory.drift, champion.version)
    size = model.spec.evidence.window
    after = parse(watch.compared_until) if watch.compared_until else extent.first
    windows = list(complete_windows(after, parse(memory.validated_until), size))
    reference = read_reference(champion.reference) if windows else None
    if not windows or reference is None:
        return memory, ()
    rows = desk.log.predictions(
        model.target,
        start=windows[0][0] - (_LONGEST - 1) * size,
        end=windows[-1][1],
        columns=model.spec.schema_.names,
        version=champion.version,
    )
    found: list[Compared] = []
    for window in windows:
        watch, new = _after(watch, rows, model, memory, reference, window)
        found += new
    return memory.model_copy(update={"drift": watch}), tuple(found)


def believed(rows: pd.DataFrame, memory: TargetMemory) -> pd.DataFrame:
    """The rows from trusted event time whose inputs were served as they came."""
    kept = unmasked(rows)
    for span in memory.spans:
        if span.about == "log":
            continue  # what was served stands
        inside = kept["event_time"] >= parse(span.start)
        if span.end:
            inside &= kept["event_time"] < parse(span.end)
        kept = kept[~inside]
    return kept


def standing(watch: DriftWatch | None) -> Compared | None:
    """What the newest comparisons come to together; None before the first.

    A long span sees small shifts and a short one sees new ones: the longest that shows a shift
    stands, unless a later one shows that the columns are back.
    """
    if watch is None or not watch.newest:
        return None
    by_length = sorted(watch.newest, key=lambda one: -one.span)
    for one in by_length:
        is_back = any(
            other.end > one.end and other.inputs.verdict is Verdict.HEALTHY for other in by_length
        )
        if one.inputs.verdict is Verdict.HARMFUL and not is_back:
            return one
    steady = [one for one in by_length if one.inputs.verdict is Verdict.HEALTHY]
    return steady[0] if steady else by_length[0]


def predictions_judgement(watch: DriftWatch | None) -> Judgement | None:
    """The same for the scores."""
    told = sorted(watch.newest, key=lambda one: -one.span) if watch else []
    judged = [one.predictions for one in told if one.predictions is not None]
    for verdict in (Verdict.HARMFUL, Verdict.HEALTHY):
        for judgement in judged:
            if judgement.verdict is verdict:
                return judgement
    return judged[0] if judged else None


def windows_per_month(model: ManagedModel) -> int:
    """Windows of the model in a month of event time, rounded up."""
    return max(1, -(-MONTH // model.spec.evidence.window))


def _for_champion(watch: DriftWatch | None, version: str) -> DriftWatch:
    """A new champion has a reference of its own; its comparisons begin where the last ended."""
    if watch is not None and watch.version == version:
        return watch
    return DriftWatch(version=version, compared_until=watch.compared_until if watch else "")


def _after(
    watch: DriftWatch,
    rows: pd.DataFrame,
    model: ManagedModel,
    memory: TargetMemory,
    reference: SeasonalReference,
    window: Window,
) -> tuple[DriftWatch, list[Compared]]:
    start, end = window
    watch = watch.model_copy(update={"compared_until": end.isoformat()})
    if memory.is_distrusted(start.isoformat(), end.isoformat()):
        return watch, []
    seen = watch.seen + 1
    labelled = memory.performance if memory.performance_version == watch.version else None
    newest = {one.span: one for one in watch.newest}
    new = []
    for span in SPANS:
        if seen % span:
            continue
        since = end - span * model.spec.evidence.window
        some = believed(between(rows, since, end), memory)
        if len(some):
            told = _compare(some, model, reference, span, (since, end))
            estimate = estimate_without_labels(some["probability"].to_numpy(float), labelled)
            newest[span] = told.model_copy(update={"estimate": estimate})
            new.append(newest[span])
    kept = tuple(newest[span] for span in sorted(newest))
    return watch.model_copy(update={"seen": seen, "newest": kept}), new


def _compare(
    rows: pd.DataFrame, model: ManagedModel, reference: SeasonalReference, span: int, over: Window
) -> Compared:
    like, season = reference.matching(rows["event_time"])
    rules = model.spec.evidence
    report = compare(
        like,
        window_profile(rows, reference.whole),
        alpha=comparison_alpha(
            span, windows_per_month=windows_per_month(model), alpha_per_month=rules.alpha
        ),
        tolerance=rules.drift_tolerance,
    )
    return Compared(
        span=span,
        start=over[0].isoformat(),
        end=over[1].isoformat(),
        rows=len(rows),
        season=season,
        inputs=report.inputs_judgement(),
        shifted=report.shifted,
        predictions=report.column_judgement("score"),
    )
