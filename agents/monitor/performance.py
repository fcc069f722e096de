"""Folds matured labels into the evidence about the champion, and about its probation."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from agents.memory import CanaryWatch, Probation, TargetMemory
from agents.monitor.cohorts import answered_by, believed
from agents.monitor.drift import windows_per_month
from agents.monitor.slices import count_slices, slices_of
from agents.ports import Desk
from agents.served import Served
from agents.windows import complete_windows, parse
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.registry import ModelVersion
from tools.statistics.cohort import CohortProcess
from tools.statistics.label_rate import LabelRate, judge_label_rate
from tools.statistics.losses import MaturedWindow, summarise
from tools.statistics.performance import PerformanceEvidence, PerformanceProcess
from tools.statistics.verdict import Judgement
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd


PATIENCE = 8
"""Label delays for which a window that is short of labels is waited for. A feed that fell behind
catches up within them; later windows wait too, because evidence is folded in its order."""


class JudgedWindow(Value):
    """One matured window as it was counted."""

    start: str
    end: str
    version: str
    window: MaturedWindow


def judge_matured_windows(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served, extent: LogExtent
) -> tuple[TargetMemory, tuple[JudgedWindow, ...]]:
    """Count the windows whose labels have had their time, for the champion of this moment.

    Windows whose data was not validated yet wait; distrusted windows and masked rows are left
    out: what they show is the fault, not the model.
    """
    champion = served.champion
    if champion is None or extent.first is None or extent.watermark is None:
        return memory, ()
    memory = _for_champion(model, memory, champion)
    matured = extent.watermark - model.spec.label.delay
    if memory.validated_until:
        matured = min(matured, parse(memory.validated_until))
    after = parse(memory.judged_until) if memory.judged_until else extent.first
    windows = list(complete_windows(after, matured, model.spec.evidence.window))
    if not windows:
        return memory, ()
    rows = _matured_rows(
        desk,
        model,
        windows,
        extent.watermark,
        version=champion.version,
        columns=model.spec.watched_slices,
    )
    judged: list[JudgedWindow] = []
    for start, end in windows:
        inside = believed(rows, memory, start, end)
        window = _summary(inside)
        if _is_short_of_labels(model, window) and matured - end < PATIENCE * model.spec.label.delay:
            break  # labels that are late are waited for, before the window counts as one without
        if window.matured:
            judged.append(
                JudgedWindow(
                    start=start.isoformat(),
                    end=end.isoformat(),
                    version=champion.version,
                    window=window,
                )
            )
        memory = count_slices(_count(memory, window, end), inside)
    return memory, tuple(judged)


def judge_probation(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served, extent: LogExtent
) -> TargetMemory:
    """Compare the new champion with the former on the same matured rows since the promotion.

    The former's probabilities are recomputed from its artifact: both see exactly the same rows.
    """
    probation, former = memory.probation, served.former
    if probation is None or former is None or extent.watermark is None:
        return memory
    matured = extent.watermark - model.spec.label.delay
    if memory.validated_until:
        matured = min(matured, parse(memory.validated_until))
    windows = list(
        complete_windows(parse(probation.judged_until), matured, model.spec.evidence.window)
    )
    if not windows:
        return memory
    before = answered_by(desk, model, former)
    cohort = probation.cohort
    served_rows = _matured_rows(
        desk,
        model,
        windows,
        extent.watermark,
        version=probation.version,
        columns=model.spec.schema_.names,
    )
    for start, end in windows:
        rows = believed(served_rows, memory, start, end)
        if len(rows):
            cohort = cohort.count(
                rows["probability"].to_numpy(float), before(rows), rows["label"].to_numpy(float)
            )
    probation = probation.model_copy(
        update={"cohort": cohort, "judged_until": windows[-1][1].isoformat()}
    )
    return memory.model_copy(update={"probation": probation})


def begin_probation(
    model: ManagedModel,
    version: str,
    former: str,
    watermark: datetime | None,
    canary: CanaryWatch | None = None,
) -> Probation:
    """The probation of a version that is being promoted at this event time.

    It goes on with what labels said of both versions during the canary.
    """
    promoted_at = watermark.isoformat() if watermark else ""
    if canary is not None and canary.version == version and canary.quality is not None:
        return Probation(
            version=version,
            former=former,
            promoted_at=promoted_at,
            judged_until=canary.quality_until,
            cohort=canary.quality,
        )
    return Probation(
        version=version,
        former=former,
        promoted_at=promoted_at,
        judged_until=promoted_at,
        cohort=CohortProcess.start(
            margin=model.spec.evidence.loss_tolerance, min_label_rate=model.spec.label.min_rate
        ),
    )


def judged_performance(model: ManagedModel, memory: TargetMemory) -> PerformanceEvidence | None:
    """Both questions about the champion's matured labels; None before the first window.

    Half of alpha belongs to the slices where there are any.
    """
    process = memory.performance
    if process is None or not process.windows:
        return None
    alpha = model.spec.evidence.alpha
    return process.judge(alpha=alpha / 2 if memory.slices else alpha)


def label_judgement(
    model: ManagedModel, memory: TargetMemory, champion: ModelVersion | None
) -> Judgement | None:
    """The rate of positive labels against the champion's reference; None where nothing is known.

    Every window of a month may be a look, so each gets its part of the month's alpha.
    """
    process = memory.performance
    if process is None or champion is None or "label_rate" not in champion.reference:
        return None
    reference = LabelRate(
        rows=int(champion.reference.get("rows", 0)), rate=float(champion.reference["label_rate"])
    )
    rules = model.spec.evidence
    return judge_label_rate(
        process.usable(),
        reference,
        tolerance=rules.drift_tolerance,
        alpha=rules.alpha / windows_per_month(model),
    )


def _for_champion(
    model: ManagedModel, memory: TargetMemory, champion: ModelVersion
) -> TargetMemory:
    """Evidence belongs to a version: a new champion begins with its own reference."""
    if memory.performance is not None and memory.performance_version == champion.version:
        return memory
    reference = float(champion.reference.get("log_loss", champion.metrics.get("log_loss", 0.0)))
    process = PerformanceProcess(
        reference_loss=reference,
        tolerance=model.spec.evidence.loss_tolerance,
        min_label_rate=model.spec.label.min_rate,
    )
    return memory.model_copy(
        update={
            "performance": process,
            "performance_version": champion.version,
            "slices": slices_of(model, champion),
        }
    )


def _count(memory: TargetMemory, window: MaturedWindow, end: datetime) -> TargetMemory:
    process = memory.performance
    if process is not None and window.matured:
        process = process.update(window)
    return memory.model_copy(update={"performance": process, "judged_until": end.isoformat()})


def _matured_rows(
    desk: Desk,
    model: ManagedModel,
    windows: list[tuple[datetime, datetime]],
    as_of: datetime,
    *,
    version: str,
    columns: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Every row of the windows that the version answered, with the labels known by now."""
    return desk.log.cohort(
        model.target,
        start=windows[0][0],
        end=windows[-1][1],
        as_of=as_of,
        columns=columns,
        version=version,
    )


def _is_short_of_labels(model: ManagedModel, window: MaturedWindow) -> bool:
    return window.labelled < model.spec.label.min_rate * window.matured


def _summary(rows: pd.DataFrame) -> MaturedWindow:
    if not len(rows):
        return MaturedWindow(matured=0, labelled=0)
    return summarise(rows["probability"].to_numpy(float), rows["label"].to_numpy(float))
