"""Gathers what is known of a target into evidence, and asks for the cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.diagnosis import Diagnosis, diagnose
from agents.evidence import DataFault, Evidence, Reachability, Release
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.served import look
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.performance import PerformanceEvidence
from tools.statistics.verdict import Verdict


def diagnose_target(desk: Desk, model: ManagedModel, memory: TargetMemory) -> Diagnosis:
    """The cause that explains best what is known now."""
    served = look(desk, model)
    performance = judged_performance(model, memory)
    return diagnose(
        Evidence(
            target=model.target,
            data=_data_faults(memory),
            degraded=performance.degraded if performance else None,
            excess=performance.miscalibrated if performance else None,
            release=_newest(served.champion, desk.clock.now()),
            platform=(
                Reachability(
                    component="registry, route and servers",
                    verdict=Verdict.HEALTHY,
                    reason="all answered",
                ),
            ),
        )
    )


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


def _newest(champion: ModelVersion | None, now: datetime) -> Release | None:
    if champion is None:
        return None
    created = datetime.fromisoformat(champion.created_at)
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return Release(newest=champion.version, age_hours=(now - created) / timedelta(hours=1))
