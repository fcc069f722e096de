"""One backtest from a file to its outcome: mendloop first, then everybody else, one stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulations.backtest.actions import Action
from simulations.backtest.baselines import Baseline, all_baselines
from simulations.backtest.document import assumed_model
from simulations.backtest.learner import Learner, Stopwatch
from simulations.backtest.loop import Loop
from simulations.backtest.measure import marks, metric_of, trivial_marks
from simulations.backtest.reading import Question, read_recording
from simulations.backtest.recording import Floats, Recording
from tools.managed_model import ManagedModel
from tools.statistics.task_losses import scale_of

Progress = Callable[[str, float], None]
"""What is being done, and the share of it that is."""


@dataclass(frozen=True)
class Outcome:
    """What mendloop would have done, what came of it, and what the others came to."""

    recording: Recording
    target: str
    """``namespace/name`` of the managed model."""
    marks: Floats
    """Per row from the start on, of what mendloop served."""
    champion_marks: Floats
    """The same, had the newest promoted version answered alone, as production serves today."""
    window: int
    tried: int
    fits: int
    """Of mendloop alone: a retrain compares several spans of the past."""
    promotions: int
    rollbacks: int
    actions: tuple[Action, ...]
    baselines: tuple[Baseline, ...]
    trivial: dict[str, Floats]
    fit_s: float
    wall_s: float

    @property
    def served(self) -> float:
        """The figure of what was served."""
        return float(self.marks.mean())

    @property
    def by_champion(self) -> float:
        """The figure of the newest promoted version alone."""
        return float(self.champion_marks.mean())

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints; times in seconds."""
        return {
            "rows": self.recording.rows,
            "task": self.recording.task.value,
            "metric": metric_of(self.recording.task),
            "served": round(self.served, 6),
            "served_by_champion": round(self.by_champion, 6),
            "retrains_tried": self.tried,
            "fits": self.fits,
            "promotions": self.promotions,
            "rollbacks": self.rollbacks,
            "baselines": {
                b.name: {"value": round(float(b.marks.mean()), 6), "retrains": b.retrains}
                for b in self.baselines
            },
            "trivial": {
                name: {"value": round(float(found.mean()), 6)}
                for name, found in self.trivial.items()
            },
            "actions": [action.model_dump(mode="json") for action in self.actions],
            "fit_s": round(self.fit_s, 3),
            "overhead_s": round(max(0.0, self.wall_s - self.fit_s), 3),
            "wall_s": round(self.wall_s, 3),
        }


def run_backtest(
    question: Question,
    model: ManagedModel | None = None,
    *,
    seed: int = 0,
    progress: Progress = lambda what, share: None,
) -> Outcome:
    """Replay a file. Raises Invalid where it cannot be one."""
    begun = time.monotonic()
    progress("reading", 0.0)
    recording = read_recording(question)
    watch = Stopwatch()
    learner = Learner(recording, watch, seed=seed)
    scale = scale_of(recording.labels[: recording.start], len(recording.classes))
    managed = model or assumed_model(recording)
    loop = Loop(recording, learner, managed, scale)
    replayed = recording.rows - recording.start
    served = loop.run(lambda row: progress("mendloop", (row - recording.start) / replayed))
    fits = watch.fits
    baselines = []
    work = list(all_baselines(recording, learner))
    for number, (name, run) in enumerate(work):
        progress(f"baseline {name}", number / len(work))
        baselines.append(run())
    progress("done", 1.0)
    return Outcome(
        recording=recording,
        target=managed.target,
        marks=marks(recording, np.concatenate(served.predicted), recording.start),
        champion_marks=marks(recording, np.concatenate(served.by_champion), recording.start),
        window=served.window,
        tried=served.tried,
        fits=fits,
        promotions=served.promotions,
        rollbacks=served.rollbacks,
        actions=tuple(served.actions),
        baselines=tuple(baselines),
        trivial=trivial_marks(recording),
        fit_s=watch.fit_s,
        wall_s=time.monotonic() - begun,
    )
