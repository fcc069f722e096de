"""Steps a challenger up while ratios stay over fixed thresholds, as progressive delivery does.

After Flagger (https://docs.flagger.app/usage/how-it-works, canary analysis): at each interval the
metrics are checked, ``request-success-rate`` against a minimum of 99 % and ``request-duration`` as
P99; a check that fails, or finds no values, stops the advance and counts; at ``threshold`` failed
checks everything is routed back and the canary is scaled away. After Argo Rollouts
(https://argo-rollouts.readthedocs.io, analysis): a step ends after ``count`` measurements.
Neither looks at labels, so retraining is started by a threshold on the loss, with the document's
cool-down.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.ports import Desk
from simulations.baselines.serving import Serving
from simulations.baselines.signals import interval, is_loss_up, watermark_of
from simulations.baselines.training import Training
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading
from tools.registry import CHAMPION, ModelVersion
from tools.routing import TrafficSplit

INTERVAL_S = 60.0
"""Flagger's default interval between two checks."""
CHECKS = 5
"""Good intervals that a step must show."""
FAILURE_LIMIT = 5
"""Failed checks after which the canary is undone: ``threshold`` in Flagger's examples."""


@dataclass
class _Watch:
    version: str
    step: int = 0
    """Index into the document's steps."""
    good: int = 0
    failed: int = 0
    checked_s: float = 0.0
    reading: Reading | None = None


class ThresholdCanary:
    """Implements Operator."""

    def __init__(
        self,
        model: ManagedModel,
        desk: Desk,
        *,
        checks: int = CHECKS,
        failure_limit: int = FAILURE_LIMIT,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._model, self._desk = model, desk
        self._checks, self._failure_limit = checks, failure_limit
        self._interval_s = interval_s
        self._serving = Serving(model, desk)
        self._training = Training(model, desk)
        self._watch: _Watch | None = None

    def tick(self) -> None:
        """See Operator."""
        try:
            challenger = self._serving.challenger()
            if challenger is not None:
                self._release(challenger)
                return
            self._watch = None
            self._serving.tidy()
            if not self._training.is_running():
                self._retrain_when_loss_is_up()
        except MendloopError:
            return  # met again at the next turn

    def _release(self, challenger: ModelVersion) -> None:
        match self._serving.is_up(challenger):
            case False:
                self._serving.drop(challenger)
                return
            case None:
                return
            case True:
                pass
        watch = self._watch
        if watch is None or watch.version != challenger.version:
            self._watch = watch = _Watch(challenger.version)
            self._begin_step(challenger, watch)
            return
        if self._desk.clock.monotonic_s() - watch.checked_s >= self._interval_s:
            self._check(challenger, watch)

    def _begin_step(self, challenger: ModelVersion, watch: _Watch) -> None:
        percent = self._model.spec.rollout.steps_percent[watch.step]
        if percent == 100:
            self._serving.make_champion(challenger)
            return
        champion = self._serving.alias(CHAMPION)
        if champion is not None:
            shares = {champion.version: 100 - percent, challenger.version: percent}
            self._serving.route(TrafficSplit(shares=shares))
        watch.good, watch.checked_s = 0, self._desk.clock.monotonic_s()
        reading = self._desk.metrics.read(self._model.target)
        watch.reading = None if isinstance(reading, NoReading) else reading

    def _check(self, challenger: ModelVersion, watch: _Watch) -> None:
        reading = self._desk.metrics.read(self._model.target)
        seen = interval(watch.reading, reading, challenger.version)
        watch.checked_s = self._desk.clock.monotonic_s()
        watch.reading = None if isinstance(reading, NoReading) else reading
        if seen is None or not seen.is_good:
            watch.failed += 1
        else:
            watch.good += 1
        if watch.failed >= self._failure_limit:
            self._serving.drop(challenger)
        elif watch.good >= self._checks:
            watch.step += 1
            self._begin_step(challenger, watch)

    def _retrain_when_loss_is_up(self) -> None:
        now, champion = watermark_of(self._desk, self._model), self._serving.alias(CHAMPION)
        if now is None or champion is None:
            return
        began, rest = self._training.began, self._model.spec.guardrails.cool_down
        if began is not None and now - began < rest:
            return
        if is_loss_up(self._desk, self._model, champion, now):
            self._training.start(now)
