"""What has been measured of a target, in the words that rules read."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.memory import TargetMemory
from policies.context import ErrorBudgetContext, EvidenceContext
from tools.managed_model import ManagedModel
from tools.statistics.losses import MaturedWindow
from tools.statistics.performance import PerformanceProcess
from tools.values import digest


def evidence_of(model: ManagedModel, memory: TargetMemory) -> EvidenceContext:
    """The latest verdicts and figures; what was never measured is not known."""
    verdicts: dict[str, str] = {}
    process = memory.performance
    judged = process.judge(alpha=model.spec.evidence.alpha) if process else None
    if judged is not None:
        verdicts["quality.loss"] = judged.degraded.verdict.value
        verdicts["quality.excess"] = judged.miscalibrated.verdict.value
    if memory.canary is not None:
        verdicts["canary"] = _of_outcome(memory.canary.outcome)
    if memory.probation is not None:
        verdicts["probation"] = _of_outcome(memory.probation.outcome)
    return EvidenceContext(
        verdicts=verdicts,
        loss=judged.loss.mean if judged and judged.loss else None,
        excess=judged.excess.mean if judged and judged.excess else None,
        label_rate=judged.label_rate if judged else None,
        windows=process.windows if process else None,
        judged_until=_time(memory.judged_until),
        digest=evidence_digest(memory),
    )


def evidence_digest(memory: TargetMemory) -> str:
    """SHA-256 over everything that verdicts are made from."""
    parts = (memory.performance, memory.canary, memory.probation)
    return digest([part.model_dump(mode="json") if part else None for part in parts])


def error_budget_of(model: ManagedModel, memory: TargetMemory) -> ErrorBudgetContext:
    """How many of the newest matured windows may still be bad. Without a window all of it is left:
    nothing bad was seen."""
    wanted = model.spec.guardrails.error_budget
    if wanted is None:
        return ErrorBudgetContext()
    process = memory.performance
    windows = [w for w in process.recent if w.labelled][-wanted.windows :] if process else []
    bad = sum(_is_bad(window, process) for window in windows if process)
    allowed = (1.0 - wanted.objective) * wanted.windows
    return ErrorBudgetContext(
        is_set=True,
        objective=wanted.objective,
        windows=len(windows),
        bad=bad,
        left=1.0 - bad / allowed,
    )


def _is_bad(window: MaturedWindow, process: PerformanceProcess) -> bool:
    return window.loss / window.labelled > process.reference_loss + process.tolerance


def _of_outcome(outcome: str) -> str:
    return {"harmful": "harmful", "passed": "healthy"}.get(outcome, "unknown")


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
