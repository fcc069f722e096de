"""Gathers what is known of a target into evidence, and asks for the cause."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from agents.diagnosis import Diagnosis, diagnose
from agents.evidence import DataFault, Evidence, Peer, Reachability, Release
from agents.facts import CAUSE, RETRAINING, Scalar
from agents.feature_engineer.skew import judge_skew
from agents.memory import TargetMemory
from agents.monitor.canary import judge
from agents.monitor.drift import predictions_judgement, standing
from agents.monitor.performance import judged_performance, label_judgement
from agents.monitor.service import Pulse
from agents.monitor.slices import judged_slices, worst
from agents.ports import Desk
from agents.served import Served, look
from agents.windows import parse
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.metrics import NoReading
from tools.registry import ModelVersion
from tools.statistics.performance import PerformanceEvidence, disagreement
from tools.statistics.verdict import Judgement, Verdict


def diagnose_target(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    event_time: str,
    peers: Iterable[Peer] = (),
    pulse: Pulse | None = None,
) -> Diagnosis:
    """The cause that explains best what is known at this event time."""
    return diagnose(gather(desk, model, memory, event_time, peers, pulse))


def diagnosed_facts(found: Diagnosis) -> dict[str, Scalar]:
    """What a diagnosis establishes for planning: the cause, and whether there is harm to cure."""
    helps = "may_help" if found.is_harm_seen else "cannot_help"
    return {CAUSE: found.cause.value, RETRAINING: helps}


def gather(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    event_time: str,
    peers: Iterable[Peer] = (),
    pulse: Pulse | None = None,
) -> Evidence:
    """Everything known about the target: from memory, the world, the other targets, and how the
    champion answered lately."""
    served = look(desk, model, memory)
    performance = judged_performance(model, memory)
    slices = judged_slices(model, memory)
    inputs = standing(memory.drift)
    errors, slow = pulse.judge(model) if pulse else (None, None)
    skew, log = _skew(desk, model, memory, served)
    canary = _harmful_canary(model, memory)
    return Evidence(
        target=model.target,
        # Both arms of a canary get the same rows: what is wrong with them made neither the worse.
        data=None if canary else _data_faults(memory),
        inputs=inputs.inputs if inputs else None,
        shifted=inputs.shifted if inputs else (),
        labels=label_judgement(model, memory, served.champion),
        predictions=predictions_judgement(memory.drift),
        degraded=_degraded(performance, slices),
        excess=worst(
            performance.miscalibrated if performance else None,
            {name: found.miscalibrated for name, found in slices.items()},
        ),
        disagreement=disagreement(performance, model.spec.evidence.loss_tolerance),
        skew=skew,
        latency=slow,
        errors=errors,
        release=canary or _newest(model, served.champion, memory, event_time),
        platform=(*_platform(desk, model, served), log),
        peers=tuple(peers),
    )


def peer_of(model: ManagedModel, memory: TargetMemory) -> Peer:
    """Another target as a witness: what it reads, and what of that is in trouble."""
    schema = model.spec.schema_
    faulty = {span.feed for span in memory.open_spans if span.feed}
    inputs = standing(memory.drift)
    return Peer(
        target=model.target,
        reads=(*schema.names, *(feed.name for feed in schema.feeds)),
        faulty_sources=tuple(sorted(faulty)),
        shifted=inputs.shifted if inputs else (),
        is_known=bool(memory.validated_until),
    )


def _degraded(
    performance: PerformanceEvidence | None, slices: dict[str, PerformanceEvidence]
) -> Judgement | None:
    """Whether the loss is up, where that says something.

    A loss within its reference does not clear a model whose own probabilities are proved wrong: the
    reference may come from a harder fortnight than the present one.
    """
    if performance is None:
        return None
    found = worst(performance.degraded, {n: one.degraded for n, one in slices.items()})
    all_judged = (performance, *slices.values())
    is_wrong = any(one.miscalibrated.verdict is Verdict.HARMFUL for one in all_judged)
    if is_wrong and found is not None and found.verdict is Verdict.HEALTHY:
        return None
    return found


def _data_faults(memory: TargetMemory) -> tuple[DataFault, ...] | None:
    if not memory.validated_until:
        return None
    return tuple(
        DataFault(
            source=span.feed or "rows",
            kind="distrusted",
            reason="; ".join(span.reasons) or "distrusted",
            since=parse(span.start),
        )
        for span in memory.spans
        # A log that was changed afterwards harmed no server; once set aside it explains nothing.
        if not span.end and not (span.about == "log" and span.quarantined)
    )


def _skew(
    desk: Desk, model: ManagedModel, memory: TargetMemory, served: Served
) -> tuple[Judgement | None, Reachability]:
    """Whether serving computes what training did, and whether what it rests on could be read."""
    part = "prediction log and artifacts"
    if memory.skew == "found":  # of the challenger whose canary is being undone
        reason = "the challenger's answers differ from its artifact's"
        answers = Reachability(component=part, verdict=Verdict.HEALTHY, reason="answered before")
        return Judgement(verdict=Verdict.HARMFUL, reason=reason), answers
    if served.champion is None:
        return None, Reachability(component=part, verdict=Verdict.UNKNOWN, reason="not asked")
    sampled = memory.recomputed
    if sampled is not None and sampled.version == served.champion.version and sampled.serving:
        answers = Reachability(component=part, verdict=Verdict.HEALTHY, reason="answered")
        return sampled.serving, answers
    try:
        found = judge_skew(desk, model, served.champion)
    except Unavailable as error:
        return None, Reachability(component=part, verdict=Verdict.HARMFUL, reason=str(error))
    except Refused as error:
        return None, Reachability(component=part, verdict=Verdict.UNKNOWN, reason=str(error))
    return found, Reachability(component=part, verdict=Verdict.HEALTHY, reason="answered")


def _platform(desk: Desk, model: ManagedModel, served: Served) -> tuple[Reachability, ...]:
    """The parts that were asked; route and servers answered, or there would be no evidence."""
    registry = Verdict.HEALTHY if served.is_registry_known else Verdict.HARMFUL
    reading = desk.metrics.read(model.target)
    is_dark = isinstance(reading, NoReading)
    return (
        Reachability(
            component="route and servers", verdict=Verdict.HEALTHY, reason="answered just now"
        ),
        Reachability(
            component="registry",
            verdict=registry,
            reason="answered" if served.is_registry_known else "does not answer",
        ),
        Reachability(
            component="metrics",
            verdict=Verdict.HARMFUL if is_dark else Verdict.HEALTHY,
            reason=reading.reason if isinstance(reading, NoReading) else "answered",
        ),
    )


def _harmful_canary(model: ManagedModel, memory: TargetMemory) -> Release | None:
    """A challenger that was proved to harm, over the same traffic as the champion."""
    watch = memory.canary
    if watch is None or watch.outcome != "harmful":
        return None
    return Release(newest=watch.version, age_hours=0.0, worse=judge(model, watch))


def _newest(
    model: ManagedModel, champion: ModelVersion | None, memory: TargetMemory, event_time: str
) -> Release | None:
    """The champion, its age in event time (since its promotion, or since its training data end),
    and whether late labels proved it worse than the one before."""
    if champion is None or not event_time:
        return None
    probation, worse = memory.probation, None
    since = str(champion.reference.get("end", ""))
    if probation is not None and probation.version == champion.version and probation.promoted_at:
        since = probation.promoted_at
        worse = probation.cohort.judge(alpha=model.spec.evidence.alpha)
        if probation.outcome == "harmful":
            worse = worse.model_copy(update={"verdict": Verdict.HARMFUL})
    if not since:
        return None
    age_hours = (parse(event_time) - parse(since)) / timedelta(hours=1)
    return Release(newest=champion.version, age_hours=age_hours, worse=worse)
