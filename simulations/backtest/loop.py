"""mendloop on a recording: window by window, from evidence to decision, without a look ahead."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from agents.facts import UNKNOWN
from orchestrator.planner import Plan
from simulations.backtest.actions import Action, Served
from simulations.backtest.committee import Answer, Committee
from simulations.backtest.deciding import PERFORMANCE, RETRAIN, VOLUME, Decisions
from simulations.backtest.learner import Learner
from simulations.backtest.pace import Pace
from simulations.backtest.recording import Recording
from simulations.backtest.spans import fit_best
from tools.managed_model import ManagedModel
from tools.statistics.cohort import CohortProcess
from tools.statistics.losses import MaturedWindow
from tools.statistics.performance import PerformanceEvidence, PerformanceProcess
from tools.statistics.task_losses import Scale, pair_task, row_losses, summarise_task
from tools.statistics.verdict import Verdict
from tools.statistics.worth import Trial

HELD_OUT = 0.2
"""Of the starting rows: on them the first model's reference is measured, before it is fitted on
all of them."""
PROBATION_WINDOWS = 6
SHADOW_LOOKS = (10, 20, 40, 80, 160, 320)


class Loop:
    """See the module."""

    def __init__(
        self, recording: Recording, learner: Learner, model: ManagedModel, scale: Scale
    ) -> None:
        self._recording = recording
        self._learner = learner
        self._model = model
        self._scale = scale
        self.window = recording.window
        self._tolerance = (
            model.spec.evidence.loss_tolerance * scale.guessing / math.log(2.0)
        )  # the document says it for two equally likely classes
        self._decisions = Decisions(model)
        self._committee = Committee(
            recording, scale, window=self.window, stretch=max(1000, 20 * self.window)
        )
        self._served = Served(window=self.window)
        self._pace = Pace(scale, tolerance=self._tolerance, start=recording.start)
        self._trial: Trial | None = None
        self._trigger = ""
        self._cohort: CohortProcess | None = None
        self._performance: PerformanceProcess | None = None
        self._young: list[MaturedWindow] = []
        self._noise = self._bias = 0.0
        self._trained_until = 0
        self._turned: int | None = None
        self._said = ""
        self._judged_rows = 0

    def run(self, progress: Callable[[int], None] = lambda row: None) -> Served:
        """Replay the whole recording."""
        self._begin()
        begin, rows = self._recording.start, self._recording.rows
        while begin < rows:
            end = min(begin + self.window, rows)
            given = self._committee.answer(begin, end)
            self._served.predicted.append(given.served)
            self._served.by_champion.append(given.champion)
            for answer in self._committee.mature(end):
                self._learn(answer)
            if end < rows:
                self._decide(end)
            progress(end)
            begin = end
        return self._served

    # -- what is known -------------------------------------------------------------------------

    def _begin(self) -> None:
        """The first version, and what it can be expected to lose."""
        start = self._recording.start
        cut = round(start * (1 - HELD_OUT))
        trial = self._learner.fit(slice(0, cut))
        predicted = trial.predict(cut, start)
        labels = self._recording.labels[cut:start]
        losses = row_losses(self._scale, predicted, labels)
        self._noise = float(losses.mean())
        error = float(losses.std()) / math.sqrt(len(losses))
        if self._scale.classes:
            entropy = -(np.exp(predicted) * predicted).sum(axis=-1)
            self._bias = float((losses - entropy).mean())
        self._watch(self._noise + 2.0 * error)
        self._committee.admit(self._learner.fit(slice(0, start)), trained_until=start, shadow=False)
        self._trained_until = start

    def _watch(self, reference: float) -> None:
        """Evidence belongs to a version: what serves now begins with its own reference."""
        self._performance = PerformanceProcess(
            reference_loss=reference, tolerance=self._tolerance, min_label_rate=0.0
        )

    def _learn(self, answer: Answer) -> None:
        """Fold one matured window into the evidence."""
        self._judged_rows = answer.end
        labels = self._recording.labels[answer.begin : answer.end]
        window = summarise_task(
            self._scale,
            answer.served,
            labels,
            matured=len(labels),
            noise=self._noise,
            bias=self._bias,
        )
        if self._performance is not None:
            self._performance = self._performance.update(window)
        else:
            self._young.append(window)
        if self._trial is None or answer.other is None or answer.trial != self._committee.trial:
            return
        with_, without = answer.served, answer.other
        if self._committee.is_shadow:
            with_, without = without, with_
        pair = pair_task(self._scale, without, with_, labels, matured=len(labels))
        assert answer.alone is not None
        newest, before = (row_losses(self._scale, one, labels).mean() for one in answer.alone)
        self._trial = self._trial.after(
            -pair.difference / len(labels), fresher=float(before - newest)
        )
        if self._cohort is not None:
            self._cohort = self._cohort.update(pair)

    # -- what is done --------------------------------------------------------------------------

    def _decide(self, arrived: int) -> None:
        self._pace.pass_window()
        if self._trial is not None and self._committee.is_shadow:
            self._judge_shadow(arrived)
        elif self._trial is not None:
            self._judge_probation(arrived)
        else:
            self._look_for_trouble(arrived)

    def _look_for_trouble(self, arrived: int) -> None:
        """Degraded by proof; worth its price by earlier gains; much new data: in this order."""
        known = self._recording.known(arrived)
        new = known - self._trained_until
        if new < self.window:
            return
        found = self._judged()
        if found is not None:
            diagnosis = self._decisions.why(found)
            reason = "; ".join(diagnosis.reasons)
            plan = self._decisions.plan(PERFORMANCE, diagnosis.cause.value)
            if plan is None or all(step.tool != RETRAIN for step in plan.steps):
                self._note(arrived, "leave_alone", 0, PERFORMANCE, reason, plan)
                self._watch(self._recent_loss())
                return
            self._retrain(arrived, PERFORMANCE, diagnosis.cause.value, reason)
            return
        due = self._pace.due(new, beside=self._trained_until)
        if due is not None:
            trigger, reason = due
            cause = UNKNOWN if trigger == VOLUME else "concept_drift"
            self._retrain(arrived, trigger, cause, reason)

    def _judged(self) -> PerformanceEvidence | None:
        """What is proved against the model; None where nothing is."""
        if self._performance is None:
            return None
        found = self._performance.judge(alpha=self._model.spec.evidence.alpha)
        harmful = Verdict.HARMFUL in (found.degraded.verdict, found.miscalibrated.verdict)
        return found if harmful else None

    def _recent_loss(self) -> float:
        recent = self._performance.recent if self._performance is not None else ()
        rows = sum(w.labelled for w in recent)
        return sum(w.loss for w in recent) / rows if rows else self._noise

    def _retrain(self, arrived: int, trigger: str, cause: str, reason: str) -> None:
        """Fit on what the newest rows say should be learned from; serve it on probation, or watch
        it in shadow first."""
        plan = self._decisions.plan(trigger, cause)
        moment = self._recording.moment(arrived)
        judged = self._recording.moment(max(0, self._judged_rows - 1))
        denied = self._decisions.denied(plan, moment, cause=cause, judged=judged)
        if denied:
            if self._said != denied:
                self._note(arrived, "denied", 0, trigger, f"{denied} ({reason})", plan)
            self._said = denied
            return
        self._said = ""
        known = self._recording.known(arrived)
        is_shadow = trigger == VOLUME
        if trigger == PERFORMANCE:
            self._turned = known
        fitted = fit_best(self._learner, self._scale, known, turned=self._turned)
        self._decisions.retrains.append(moment)
        self._pace.spend(trigger)
        self._served.tried += 1
        member = self._committee.admit(fitted, trained_until=known, shadow=is_shadow)
        self._trial = Trial(fresher_by=known - self._trained_until)
        self._trained_until = known
        self._trigger = trigger
        self._cohort = CohortProcess.start(margin=self._tolerance, min_label_rate=0.0)
        self._note(arrived, "retrain", member.number, trigger, reason, plan)
        if not is_shadow:
            self._promote(arrived, member.number, trigger, "its cause is proved; on probation")

    def _promote(self, arrived: int, version: int, trigger: str, reason: str) -> None:
        self._served.promotions += 1
        self._performance = None
        self._young = []
        self._note(arrived, "promote", version, trigger, reason, None)

    def _judge_shadow(self, arrived: int) -> None:
        """Promote on proof that it is better, and on a mean that users notice; withdraw on proof
        that it is not, or once judged on a volume of data (labels to come judge nothing)."""
        trial = self._trial
        assert trial is not None
        number = self._committee.trial
        looks = [i for i, at in enumerate(SHADOW_LOOKS) if at <= len(trial.gains)]
        alarm = self._judged()
        if not looks and alarm is None:
            return
        alpha = self._model.spec.evidence.alpha / 2.0 ** (1 + max(looks, default=0))
        bounds = trial.bounds(alpha)
        if bounds is None:
            return
        shown = (
            f"gains {bounds.mean:+.4f} [{bounds.low:+.4f}, {bounds.high:+.4f}] per row on"
            f" {len(trial.gains)} windows"
        )
        needed = 0.0 if alarm is not None else self._tolerance
        seen = len(trial.gains) * self.window
        if bounds.low > 0.0 and bounds.mean > needed:
            self._close_trial()
            self._pace.judge_volume(is_better=True, is_notable=bounds.low > self._tolerance)
            self._promote(arrived, number, VOLUME, f"{shown}: proved better")
            self._committee.settle()
            self._watch(max(0.0, self._recent_loss() - trial.mean) + trial.error)
        elif bounds.high < self._tolerance or seen >= self._pace.volume:
            self._close_trial()
            self._pace.judge_volume(is_better=False)
            self._committee.dismiss()
            self._note(arrived, "withdraw", number, VOLUME, f"{shown}: not proved better", None)

    def _judge_probation(self, arrived: int) -> None:
        """Late labels may still undo the promotion."""
        trial, cohort = self._trial, self._cohort
        assert trial is not None
        assert cohort is not None
        number = self._committee.trial
        judgement = cohort.judge(alpha=self._model.spec.evidence.alpha)
        bounds = trial.bounds(self._model.spec.evidence.alpha)
        is_over = len(trial.gains) >= PROBATION_WINDOWS
        is_worse = is_over and bounds is not None and bounds.high < -self._tolerance
        if judgement.verdict is Verdict.HARMFUL or is_worse:
            self._close_trial()
            self._committee.dismiss()
            self._served.rollbacks += 1
            self._decisions.reversals += 1
            self._note(arrived, "switch_back", number, self._trigger, judgement.reason, None)
        elif is_over:
            self._close_trial()
            self._committee.settle()
        else:
            return
        rows = sum(w.labelled for w in self._young)
        mean = sum(w.loss for w in self._young) / max(1, rows)
        means = [w.loss / w.labelled for w in self._young if w.labelled]
        error = float(np.std(means)) / math.sqrt(len(means)) if means else 0.0
        self._bias = sum(w.loss - w.expected for w in self._young) / max(1, rows) + self._bias
        self._watch(mean + 2.0 * error)

    def _close_trial(self) -> None:
        assert self._trial is not None
        self._pace.learn(self._trial)
        self._trial = self._cohort = None

    def _note(
        self, row: int, action: str, version: int, trigger: str, reason: str, plan: Plan | None
    ) -> None:
        steps = tuple(step.name for step in plan.steps) if plan is not None else ()
        time = self._recording.moment(row).isoformat()
        self._served.actions.append(
            Action(
                row=row,
                time=time,
                action=action,
                version=version,
                trigger=trigger,
                reason=reason,
                plan=steps,
            )
        )
