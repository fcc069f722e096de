"""Judges a shadow: what copies of requests say of a challenger, and what they cost the champion.

The same always-valid counts as a canary's, with the copies in the place of the canary's requests.
Where labels are not asked the answers themselves are: both versions answered the same requests.
Nothing of it counts as served, and a copy that harms the champion ends like one that fails.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.deployer.shadowing import must_have_shadow
from agents.facts import CHALLENGER, SHADOW, SHARE, Scalar
from agents.feature_engineer.skew import judge_skew
from agents.memory import ShadowWatch, TargetMemory
from agents.monitor.service import INTERVAL_S, answered_between
from agents.ports import Desk
from agents.served import Served, look
from tools.errors import Refused, Unavailable
from tools.log_parts import shadow_of
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading, VersionCounters
from tools.statistics.canary import GUARDRAILS, stretches_between
from tools.statistics.score_shift import judge_score_shift
from tools.statistics.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

LOOK_BACK = 28
"""Windows in which the copies' logged answers are looked for."""


class JudgeShadow:
    """Counts what the challenger makes of the copies until it is proved fit, unfit, or late."""

    contract = Contract(
        name="judge_shadow",
        agent="monitor",
        purpose="Decide on evidence whether the challenger may get its first share.",
        concern="model",
        undo="stop_shadow",
        deadline_s=7 * 86400.0,  # the document's deadline rules, see verify
        changes_production=False,
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        asked = model.spec.rollout.shadow
        if asked is None:
            return ()
        return (
            self.contract.operation(
                requires=(is_(CHALLENGER, "ready"), is_(SHADOW, "watching"), is_(SHARE, 0)),
                achieves={SHADOW: "passed"},
                cost=Cost(minutes=asked.for_.total_seconds() / 60.0),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        watch = _must_watch(memory)
        reading = desk.metrics.read(call.model.target)
        if isinstance(reading, NoReading):
            return Receipt(detail=f"no reading yet: {reading.reason}")
        begun = watch.model_copy(update={"baseline": reading, "load_baseline": reading})
        return Receipt(
            detail=f"counting copies of {watch.percent:g} % of the requests from here",
            memory=memory.model_copy(update={"shadow": begun}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        model, served = call.model, look(desk, call.model, memory)
        watch = _must_watch(memory)
        if watch.outcome != "watching":
            # Found before a crash: evidence that fell since does not acquit.
            detail = f"found {watch.outcome} before"
            holds = Holds.HOLDS if watch.outcome == "passed" else Holds.BROKEN
            return Verification(holds=holds, detail=detail, facts={SHADOW: watch.outcome})
        watch = count(desk, model, served, watch)
        asked, waited_s = must_have_shadow(model), desk.clock.monotonic_s() - call.started_s
        judgement = judge(model, watch)
        if judgement.verdict is Verdict.HARMFUL:
            return _found(Holds.BROKEN, judgement, memory, watch, "harmful")
        if not 0 <= waited_s < asked.deadline.total_seconds():
            return _late(judgement, asked.deadline.total_seconds(), memory, watch)
        if judgement.verdict is Verdict.UNKNOWN or waited_s < asked.for_.total_seconds():
            return _found(Holds.UNKNOWN, judgement, memory, watch, "watching")
        judgement = with_answers(judgement, _judge_answers(desk, model, served, watch))
        if judgement.verdict is Verdict.HARMFUL:
            return _found(Holds.BROKEN, judgement, memory, watch, "harmful")
        return _found(Holds.HOLDS, judgement, memory, watch, "passed")


def keep_judging(desk: Desk, model: ManagedModel, memory: TargetMemory) -> Verification | None:
    """Count on after a shadow has passed, while the canary waits for a person.

    Only harm is news. None where no copies are made, or they are still being judged.
    """
    watch = memory.shadow
    if watch is None or watch.outcome != "passed":
        return None
    served = look(desk, model, memory)
    if served.split.mirror is None:
        return None
    watch = count(desk, model, served, watch)
    judgement = judge(model, watch)
    if judgement.verdict is Verdict.HARMFUL:
        return _found(Holds.BROKEN, judgement, memory, watch, "harmful")
    return _found(Holds.UNKNOWN, judgement, memory, watch, "passed")


def judge(model: ManagedModel, watch: ShadowWatch) -> Judgement:
    """The verdict on the counts, at the margin that the first step of the canary may risk."""
    alpha, rollout = model.spec.evidence.alpha, model.spec.rollout
    if watch.load.log_e >= -math.log(alpha):
        limit = model.spec.serving.max_slow_rate
        reason = f"while requests were copied, more than {limit:.0%} of the champion's were slow"
        figures = {"load.log_e": round(watch.load.log_e, 4), "load.limit": limit}
        return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
    margin = min(0.5, rollout.harm_budget * 100 / rollout.steps_percent[0])
    found = watch.evidence.judge(
        alpha=alpha,
        margins=dict.fromkeys(GUARDRAILS, margin),
        tolerances=dict.fromkeys(GUARDRAILS, rollout.harm_budget),
    )
    return found.model_copy(update={"reason": f"copies: {found.reason}"})


def with_answers(counted: Judgement, answers: tuple[Judgement, ...]) -> Judgement:
    """The verdict on a shadow that the counts prove, once its answers were looked at too."""
    for answer in answers:
        if answer.verdict is Verdict.HARMFUL:
            return answer
    told = "; ".join([counted.reason, *(answer.reason for answer in answers)])
    return counted.model_copy(update={"reason": told})


def count(desk: Desk, model: ManagedModel, served: Served, watch: ShadowWatch) -> ShadowWatch:
    """Add what was answered since the baseline; what does not answer leaves it as it was."""
    now = desk.metrics.read(model.target)
    if isinstance(now, NoReading):
        return watch
    champion = served.must_champion().version
    watch = _under_load(model, watch, champion, now)
    if watch.baseline is None:
        return watch.model_copy(update={"baseline": now})
    grown = stretches_between(
        _side_by_side(watch.baseline, champion, watch.version),
        _side_by_side(now, champion, watch.version),
        stable=champion,
        canary=watch.version,
        share=watch.percent / (100 + watch.percent),
    )
    evidence = watch.evidence if isinstance(grown, NoReading) else watch.evidence.update(grown)
    return watch.model_copy(update={"baseline": now, "evidence": evidence})


def _side_by_side(reading: Reading, champion: str, shadow: str) -> Reading:
    """The champion's requests and the copies as two versions of one reading.

    A shadow has no share, so all that it got are copies, however the platform counts them.
    """
    stable = next((c for c in reading.versions if c.version == champion), None)
    copied = VersionCounters(version=shadow, requests=0, errors=0, slow=0)
    for each in (*reading.versions, *reading.mirrored):
        if each.version == shadow:
            copied = VersionCounters(
                version=shadow,
                requests=copied.requests + each.requests,
                errors=copied.errors + each.errors,
                slow=copied.slow + each.slow,
                missing=copied.missing + each.missing,
            )
    return reading.model_copy(update={"versions": (*((stable,) if stable else ()), copied)})


def _under_load(
    model: ManagedModel, watch: ShadowWatch, champion: str, now: Reading
) -> ShadowWatch:
    """Bet once a minute on the champion's slow answers; its failures are not the copies' doing."""
    before, limit = watch.load_baseline, model.spec.serving.max_slow_rate
    if before is None or before.epoch != now.epoch:
        return watch.model_copy(update={"load_baseline": now})
    if now.at_s - before.at_s < INTERVAL_S:
        return watch
    load, grown = watch.load, answered_between(before, now, champion)
    if grown is not None:
        load = load.update(grown.slow / grown.requests - limit, worst=-limit)
    return watch.model_copy(update={"load_baseline": now, "load": load})


def _judge_answers(
    desk: Desk, model: ManagedModel, served: Served, watch: ShadowWatch
) -> tuple[Judgement, ...]:
    """Both versions' answers to the same requests, and whether the copy's are its artifact's.

    A log that does not answer, or holds too few rows, proves nothing and holds nothing up: the
    canary asks again.
    """
    try:
        ours, theirs = _paired(desk, model, served.must_champion().version, watch.version)
        scores = judge_score_shift(
            ours,
            theirs,
            allowed=model.spec.rollout.max_score_shift,
            alpha=model.spec.evidence.alpha,
        )
        skew = judge_skew(desk, model, watch.challenger, log=shadow_of(model.target))
    except (Unavailable, Refused) as error:
        return (Judgement(verdict=Verdict.UNKNOWN, reason=f"answers: {error}"),)
    return (_with_disagreement(scores, ours, theirs), skew)


def _paired(
    desk: Desk, model: ManagedModel, stable: str, shadow: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the champion served and what the shadow answered to copies, request by request."""
    log = shadow_of(model.target)
    extent = desk.log.extent(log)
    if extent.watermark is None:
        raise Unavailable("no answer to a copy is logged yet")
    start = extent.watermark - LOOK_BACK * model.spec.evidence.window
    theirs = desk.log.predictions(
        log, start=start, end=extent.watermark, columns=(), version=shadow
    )
    ours = desk.log.predictions(
        model.target, start=start, end=extent.watermark, columns=(), version=stable
    )
    ours = ours[ours["request_id"].isin(theirs["request_id"])]
    theirs = theirs[theirs["request_id"].isin(ours["request_id"])]
    return ours, theirs


def _with_disagreement(scores: Judgement, ours: pd.DataFrame, theirs: pd.DataFrame) -> Judgement:
    """How many decisions would have been others: for people, no bound of its own."""
    if not len(ours):
        return scores
    pairs = ours.merge(theirs, on="request_id", suffixes=("", "_copy"))
    other = (pairs["probability"] >= 0.5) != (pairs["probability_copy"] >= 0.5)
    reason = f"{scores.reason}; {other.mean():.1%} of {len(pairs):,} decisions differ"
    figures = {**scores.figures, "pairs": float(len(pairs)), "disagree": float(other.mean())}
    return scores.model_copy(update={"reason": reason, "figures": figures})


def _must_watch(memory: TargetMemory) -> ShadowWatch:
    if memory.shadow is None:
        raise Refused("no shadow is remembered for this target although its route has one")
    return memory.shadow


def _late(
    judgement: Judgement, limit_s: float, memory: TargetMemory, watch: ShadowWatch
) -> Verification:
    reason = f"no decision within {limit_s:g} s: {judgement.reason}"
    late = judgement.model_copy(update={"reason": reason})
    return _found(Holds.BROKEN, late, memory, watch, "undecided")


def _found(
    holds: Holds,
    judgement: Judgement,
    memory: TargetMemory,
    watch: ShadowWatch,
    outcome: str,
) -> Verification:
    facts: dict[str, Scalar] = {} if holds is Holds.UNKNOWN else {SHADOW: outcome}
    ended = watch.model_copy(update={"outcome": outcome})
    return Verification(
        holds=holds,
        detail=judgement.reason,
        facts=facts,
        memory=memory.model_copy(update={"shadow": ended}),
        figures=judgement.figures,
    )
