"""Judges each canary step on counts, three-valued: harm, proved harmless, or not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.deployer.shifting import before_each_step
from agents.facts import CANARY, CHALLENGER, PROVED, SHARE
from agents.memory import CanaryWatch, TargetMemory
from agents.monitor.canary_quality import count_quality, judge_quality, with_quality
from agents.ports import Desk
from agents.served import Served, look
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.metrics import NoReading
from tools.statistics.canary import GUARDRAILS, alpha_for, stretches_between
from tools.statistics.score_shift import judge_score_shift
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

LOOK_BACK = 28
"""Windows in which the canary's logged answers are looked for."""


class JudgeCanary:
    """Counts what both versions answer at one step until the evidence decides, or time is up."""

    contract = Contract(
        name="judge_canary",
        agent="monitor",
        purpose="Decide on evidence whether the challenger harms at its present share.",
        concern="model",
        undo="roll_back",
        deadline_s=7 * 86400.0,  # the document's step deadline rules, see verify
        changes_production=False,
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return tuple(
            self.contract.operation(
                arguments={"percent": percent},
                requires=(
                    is_(CHALLENGER, "ready"),
                    is_(SHARE, percent),
                    is_(CANARY, "watching"),
                    is_(PROVED, before),
                ),
                achieves={PROVED: percent},
                cost=Cost(minutes=5.0),
            )
            for percent, before in before_each_step(model).items()
            if percent < 100  # nothing is left to compare with: probation watches from there
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        watch = _must_watch(memory)
        percent = int(call.operation.arguments["percent"])
        learned: TargetMemory | None = None
        if watch.percent != percent:  # the shift was given up unanswered, and had taken effect
            watch = watch.model_copy(update={"percent": percent, "baseline": None})
            learned = _remember(memory, watch)
        reading = desk.metrics.read(call.model.target)
        if isinstance(reading, NoReading):
            return Receipt(detail=f"no reading yet: {reading.reason}", memory=learned)
        return Receipt(
            detail=f"counting at {watch.percent} % from here",
            memory=_remember(memory, watch.model_copy(update={"baseline": reading})),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model, memory)
        watch = _must_watch(memory)
        if watch.outcome != "watching":
            # Found before a crash: evidence that fell since does not acquit.
            detail = f"found {watch.outcome} before"
            return Verification(holds=Holds.BROKEN, detail=detail, facts={CANARY: watch.outcome})
        if served.is_gone(watch.version):
            gone = Judgement(verdict=Verdict.UNKNOWN, reason="the challenger's server is gone")
            ended = watch.model_copy(update={"outcome": "undecided"})
            return _found(Holds.BROKEN, gone, memory, ended, {CANARY: "undecided"})
        watch = _count(desk, call.model, served, memory, watch)
        judgement = judge(call.model, watch)
        if judgement.verdict is Verdict.HEALTHY:
            scores = _judge_scores(desk, call.model, served, watch)
            watch = watch.model_copy(update={"scores": scores})
            judgement = with_scores(judgement, scores)
            if judgement.verdict is Verdict.HARMFUL:
                ended = watch.model_copy(update={"outcome": "harmful"})
                return _found(Holds.BROKEN, judgement, memory, ended, {CANARY: "harmful"})
            proved = watch.model_copy(update={"proved_percent": watch.percent})
            return _found(Holds.HOLDS, judgement, memory, proved, {PROVED: watch.percent})
        if judgement.verdict is Verdict.HARMFUL:
            ended = watch.model_copy(update={"outcome": "harmful"})
            return _found(Holds.BROKEN, judgement, memory, ended, {CANARY: "harmful"})
        limit_s = call.model.spec.rollout.step_deadline.total_seconds()
        waited_s = desk.clock.monotonic_s() - call.started_s
        if not 0 <= waited_s < limit_s:
            ended = watch.model_copy(update={"outcome": "undecided"})
            late = judgement.model_copy(
                update={"reason": f"no decision within {limit_s:g} s: {judgement.reason}"}
            )
            return _found(Holds.BROKEN, late, memory, ended, {CANARY: "undecided"})
        return _found(Holds.UNKNOWN, judgement, memory, watch, {})


def keep_watching(desk: Desk, model: ManagedModel, memory: TargetMemory) -> Verification | None:
    """Count on at a step that is decided while the next one waits for a person.

    Only harm is news: it leaves the canary harmful. None where nothing is being compared.
    """
    watch = memory.canary
    if watch is None or watch.outcome != "watching" or not 0 < watch.percent < 100:
        return None
    served = look(desk, model, memory)
    if served.percent(watch.version) != watch.percent:
        return None
    watch = _count(desk, model, served, memory, watch)
    judgement = judge(model, watch)
    if judgement.verdict is Verdict.HARMFUL:
        ended = watch.model_copy(update={"outcome": "harmful"})
        return _found(Holds.BROKEN, judgement, memory, ended, {CANARY: "harmful"})
    return _found(Holds.UNKNOWN, judgement, memory, watch, {})


def judge(model: ManagedModel, watch: CanaryWatch) -> Judgement:
    """The verdict on all that was counted, at the margin that this step may risk."""
    rollout = model.spec.rollout
    margin = min(0.5, rollout.harm_budget * 100 / max(1, watch.percent))
    alpha = alpha_for(model.spec.evidence.alpha, attempt=watch.attempt)
    budget = rollout.harm_budget
    found = watch.evidence.judge(
        alpha=alpha,
        margins=dict.fromkeys(GUARDRAILS, margin),
        tolerances=dict.fromkeys(GUARDRAILS, budget),
    )
    too_bad = _beyond_limits(model, watch)
    if found.verdict is Verdict.HEALTHY and too_bad:
        # Being no worse than a champion that fails is no proof of anything.
        reason = f"{too_bad}, whatever the champion does: {found.reason}"
        found = found.model_copy(update={"verdict": Verdict.UNKNOWN, "reason": reason})
    return with_quality(found, judge_quality(model, watch))


def _beyond_limits(model: ManagedModel, watch: CanaryWatch) -> str:
    """What of the challenger's own answers is worse than the document allows any version."""
    serving = model.spec.serving
    limits = {"errors": serving.max_error_rate, "slow": serving.max_slow_rate}
    for name, limit in limits.items():
        counted = watch.evidence.guardrails.get(name)
        if counted and counted.canary.bad > limit * counted.canary.requests:
            return f"{name} of the challenger exceed {limit:.0%}"
    return ""


def with_scores(counted: Judgement, scores: Judgement | None) -> Judgement:
    """The verdict on a step that the counts prove, once the predictions were asked too."""
    if scores is None or counted.verdict is not Verdict.HEALTHY:
        return counted
    if scores.verdict is Verdict.HARMFUL:
        return scores
    return counted.model_copy(update={"reason": f"{counted.reason}; predictions: {scores.reason}"})


def _judge_scores(desk: Desk, model: ManagedModel, served: Served, watch: CanaryWatch) -> Judgement:
    """The predictions of both versions over the same event time; asked once per proved step.

    A log that does not answer, or holds too few rows yet, proves nothing and holds nothing up.
    """
    rollout = model.spec.rollout
    try:
        rows = _logged_together(desk, model, served.must_champion().version, watch.version)
    except Unavailable as error:
        return Judgement(verdict=Verdict.UNKNOWN, reason=str(error))
    alpha = alpha_for(model.spec.evidence.alpha, attempt=watch.attempt)
    return judge_score_shift(*rows, allowed=rollout.max_score_shift, alpha=alpha)


def _logged_together(
    desk: Desk, model: ManagedModel, stable: str, canary: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What both versions answered since the canary's first logged row, of the recent windows."""
    extent = desk.log.extent(model.target)
    if extent.watermark is None:
        raise Unavailable("nothing is logged yet")
    rows = desk.log.predictions(
        model.target,
        start=extent.watermark - LOOK_BACK * model.spec.evidence.window,
        end=extent.watermark,
        columns=(),
    )
    theirs = rows[rows["version"] == canary]
    since = theirs["event_time"].min()
    ours = rows[(rows["version"] == stable) & (rows["event_time"] >= since)]
    return ours, theirs


def _count(
    desk: Desk, model: ManagedModel, served: Served, memory: TargetMemory, watch: CanaryWatch
) -> CanaryWatch:
    """Add the labels that matured, and the answers since the baseline; what does not answer leaves
    its evidence as it was."""
    watch = count_quality(desk, model, served, memory, watch)
    watch = watch.model_copy(update={"scores": None})
    reading = desk.metrics.read(model.target)
    if isinstance(reading, NoReading):
        return watch
    if watch.baseline is None:
        return watch.model_copy(update={"baseline": reading})
    champion = served.must_champion()
    share = watch.percent / 100
    grown = stretches_between(
        watch.baseline, reading, stable=champion.version, canary=watch.version, share=share
    )
    if isinstance(grown, NoReading):
        return watch.model_copy(update={"baseline": reading})
    return watch.model_copy(update={"baseline": reading, "evidence": watch.evidence.update(grown)})


def _must_watch(memory: TargetMemory) -> CanaryWatch:
    if memory.canary is None:
        raise Refused("no canary is remembered for this target although its route has one")
    return memory.canary


def _remember(memory: TargetMemory, watch: CanaryWatch) -> TargetMemory:
    return memory.model_copy(update={"canary": watch})


def _found(
    holds: Holds,
    judgement: Judgement,
    memory: TargetMemory,
    watch: CanaryWatch,
    facts: dict[str, str | int | bool],
) -> Verification:
    return Verification(
        holds=holds,
        detail=judgement.reason,
        facts=facts,
        memory=_remember(memory, watch),
        figures=judgement.figures,
    )
