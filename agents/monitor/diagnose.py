"""Gathers what is known of a target into evidence, and asks for the cause."""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.diagnosis import Diagnosis, diagnose
from agents.evidence import DataFault, Evidence, Reachability, Release
from agents.memory import TargetMemory
from agents.monitor.canary import judge
from agents.ports import Desk
from agents.served import look
from agents.windows import parse
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.performance import PerformanceEvidence
from tools.statistics.verdict import Judgement, Verdict


def diagnose_target(
    desk: Desk, model: ManagedModel, memory: TargetMemory, event_time: str
) -> Diagnosis:
    """The cause that explains best what is known at this event time."""
    served = look(desk, model, memory)
    performance = judged_performance(model, memory)
    return diagnose(
        Evidence(
            target=model.target,
            data=_data_faults(memory),
            degraded=_degraded(performance),
            excess=performance.miscalibrated if performance else None,
            release=_harmful_canary(model, memory) or _newest(served.champion, memory, event_time),
            platform=(
                Reachability(
                    component="registry, route and servers",
                    verdict=Verdict.HEALTHY,
                    reason="all answered",
                ),
            ),
        )
    )


def _degraded(performance: PerformanceEvidence | None) -> Judgement | None:
    """Whether the loss is up, where that says something.

    A loss within its reference does not clear a model whose own probabilities are proved wrong: the
    reference may come from a harder fortnight than the present one.
    """
    if performance is None:
        return None
    is_wrong = performance.miscalibrated.verdict is Verdict.HARMFUL
    if is_wrong and performance.degraded.verdict is Verdict.HEALTHY:
        return None
    return performance.degraded


def judged_performance(model: ManagedModel, memory: TargetMemory) -> PerformanceEvidence | None:
    """Both questions about the champion's matured labels; None before the first window."""
    process = memory.performance
    if process is None or not process.windows:
        return None
    return process.judge(alpha=model.spec.evidence.alpha)


def _data_faults(memory: TargetMemory) -> tuple[DataFault, ...] | None:
    if not memory.validated_until:
        return None
    return tuple(
        DataFault(
            source=span.feed or "rows",
            kind="distrusted",
            reason="; ".join(span.reasons) or "distrusted",
            since=datetime.fromisoformat(span.start),
        )
        for span in memory.open_spans
    )


def _harmful_canary(model: ManagedModel, memory: TargetMemory) -> Release | None:
    """A challenger that was proved to harm, over the same traffic as the champion."""
    watch = memory.canary
    if watch is None or watch.outcome != "harmful":
        return None
    return Release(newest=watch.version, age_hours=0.0, worse=judge(model, watch))


def _newest(champion: ModelVersion | None, memory: TargetMemory, event_time: str) -> Release | None:
    """The champion, its age in event time: since its promotion, or since its training data end."""
    if champion is None or not event_time:
        return None
    probation = memory.probation
    since = str(champion.reference.get("end", ""))
    if probation is not None and probation.version == champion.version and probation.promoted_at:
        since = probation.promoted_at
    if not since:
        return None
    age_hours = (parse(event_time) - parse(since)) / timedelta(hours=1)
    return Release(newest=champion.version, age_hours=age_hours)
