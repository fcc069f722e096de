"""Asks matured labels about a challenger while its canary runs: both versions, on the same rows.

The versions are compared on every matured row, whoever answered it: the one that did not is
recomputed from its artifact. So the comparison needs no traffic of the challenger's own, and begins
with rows from before the canary that neither its training saw nor the last change of the world
made old. The evidence goes on into the probation, under the one error budget of both.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from agents.memory import CanaryWatch, TargetMemory
from agents.monitor.cohorts import answered_by, believed
from agents.ports import Desk
from agents.served import Served
from agents.windows import complete_windows, parse
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.canary import alpha_for
from tools.statistics.cohort import CohortProcess
from tools.statistics.losses import Floats
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd


def count_quality(
    desk: Desk, model: ManagedModel, served: Served, memory: TargetMemory, watch: CanaryWatch
) -> CanaryWatch:
    """Add the windows whose labels matured since the last look.

    A log, registry or artifact that does not answer adds nothing: it is asked again next time.
    """
    champion, challenger = served.champion, served.challenger
    if champion is None or challenger is None or not served.is_registry_known:
        return watch
    try:
        windows = _new_windows(desk, model, memory, watch, challenger)
        if not windows:
            return watch
        rows = desk.log.cohort(
            model.target,
            start=windows[0][0],
            end=windows[-1][1],
            as_of=_watermark(desk, model),
            columns=model.spec.schema_.names,
        )
        pair = _Pair(desk, model, champion, challenger)
    except (Unavailable, Refused):
        return watch
    quality = watch.quality or CohortProcess.start(
        margin=model.spec.evidence.loss_tolerance, min_label_rate=model.spec.label.min_rate
    )
    for start, end in windows:
        inside = believed(rows, memory, start, end)
        if len(inside):
            quality = quality.count(
                pair.answers(inside, challenger.version),
                pair.answers(inside, champion.version),
                inside["label"].to_numpy(float),
            )
    until = windows[-1][1].isoformat()
    return watch.model_copy(update={"quality": quality, "quality_until": until})


def judge_quality(model: ManagedModel, watch: CanaryWatch) -> Judgement:
    """Whether the challenger is worse on matured labels; UNKNOWN says what is missing."""
    if watch.quality is None:
        delay_h = model.spec.label.delay.total_seconds() / 3600
        reason = f"no window's labels have matured since ({delay_h:g} h); probation judges them"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason)
    found = watch.quality.judge(alpha=alpha_for(model.spec.evidence.alpha, attempt=watch.attempt))
    if found.verdict is Verdict.UNKNOWN:
        return found.model_copy(update={"reason": f"{found.reason}; probation judges further"})
    return found


def with_quality(counted: Judgement, quality: Judgement) -> Judgement:
    """The verdict on a step from its counts and from labels: harm by either is harm."""
    if counted.verdict is Verdict.HARMFUL:
        return counted
    if quality.verdict is Verdict.HARMFUL:
        return quality
    return counted.model_copy(update={"reason": f"{counted.reason}; labels: {quality.reason}"})


def _new_windows(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    watch: CanaryWatch,
    challenger: ModelVersion,
) -> list[tuple[datetime, datetime]]:
    extent = desk.log.extent(model.target)
    if extent.first is None or extent.watermark is None:
        return []
    matured = extent.watermark - model.spec.label.delay
    if memory.validated_until:
        matured = min(matured, parse(memory.validated_until))
    if watch.quality_until:
        after = parse(watch.quality_until)
    else:
        # As far back as the gates look, and not into what the challenger has learned or what the
        # world has left behind.
        known = (str(challenger.reference.get("end", "")), memory.changed_at)
        after = max(
            extent.first, matured - model.spec.training.holdout, *(parse(m) for m in known if m)
        )
    return list(complete_windows(after, matured, model.spec.evidence.window))


def _watermark(desk: Desk, model: ManagedModel) -> datetime:
    watermark = desk.log.extent(model.target).watermark
    if watermark is None:
        raise Unavailable("nothing is logged yet")
    return watermark


class _Pair:
    """Both versions' probabilities: as served where they served, else recomputed."""

    def __init__(self, desk: Desk, model: ManagedModel, *versions: ModelVersion) -> None:
        self._answers = {v.version: answered_by(desk, model, v) for v in versions}

    def answers(self, rows: pd.DataFrame, version: str) -> Floats:
        """One probability per row."""
        found = rows["probability"].to_numpy(float).copy()
        others = (rows["version"] != version).to_numpy()
        if others.any():
            found[others] = self._answers[version](rows[others])
        return found
