"""The loss in each watched category by itself: a model may fail some of its users only.

Half of alpha belongs to the whole population, the other half is split evenly over the slices, so
watching many of them costs no more false alarms than watching one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.memory import TargetMemory
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.losses import summarise
from tools.statistics.performance import PerformanceEvidence, PerformanceProcess
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

MOST_SLICES = 16
"""More would spread the error budget thin, and fill the target's memory."""
RECENT_WINDOWS = 6


def slices_of(model: ManagedModel, champion: ModelVersion) -> dict[str, PerformanceProcess]:
    """A process for each slice that the champion's reference has a loss of, largest first."""
    rules = model.spec.evidence
    known = {
        name: figures
        for name, figures in champion.reference.get("slices", {}).items()
        if name.partition("=")[0] in model.spec.watched_slices
    }
    largest = sorted(known, key=lambda name: (-known[name]["rows"], name))[:MOST_SLICES]
    return {
        name: PerformanceProcess(
            reference_loss=float(known[name]["log_loss"]),
            tolerance=rules.loss_tolerance,
            min_label_rate=model.spec.label.min_rate,
            keeps=RECENT_WINDOWS,
        )
        for name in sorted(largest)
    }


def count_slices(memory: TargetMemory, rows: pd.DataFrame) -> TargetMemory:
    """Fold one window's rows into the slices that occur in it."""
    if not memory.slices or not len(rows):
        return memory
    folded = dict(memory.slices)
    for name, process in memory.slices.items():
        column, _, value = name.partition("=")
        inside = rows[rows[column].astype(str) == value]
        if len(inside):
            window = summarise(inside["probability"].to_numpy(float), inside["label"].to_numpy())
            folded[name] = process.update(window)
    return memory.model_copy(update={"slices": folded})


def judged_slices(model: ManagedModel, memory: TargetMemory) -> dict[str, PerformanceEvidence]:
    """What each slice with a window behind it comes to."""
    part = model.spec.evidence.alpha / 2 / max(1, len(memory.slices))
    return {
        name: process.judge(alpha=part)
        for name, process in memory.slices.items()
        if process.windows
    }


def worst(whole: Judgement | None, slices: dict[str, Judgement]) -> Judgement | None:
    """The answer for the whole, unless harm is proved in a slice only."""
    if whole is not None and whole.verdict is Verdict.HARMFUL:
        return whole
    for name, judgement in sorted(slices.items()):
        if judgement.verdict is Verdict.HARMFUL:
            return judgement.model_copy(update={"reason": f"where {name}: {judgement.reason}"})
    return whole
