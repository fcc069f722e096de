"""Is the canary harmful, proved no worse than a margin, or not known yet? One state per version.

Folded over stretches (differences of two readings) and stored in the journal. HARMFUL undoes,
HEALTHY advances or promotes, UNKNOWN holds until the deadline: no data is never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tools.errors import Invalid
from tools.metrics import NoReading, Reading, VersionCounters
from tools.statistics.eprocess import (
    ArmCounts,
    Stretch,
    fold,
    log_harm,
    log_non_inferiority,
)
from tools.statistics.sample_ratio import SampleRatioProcess
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

GUARDRAILS = ("errors", "missing", "slow")
"""What the data plane counts (tools/metrics.py): failures, answers without a prediction, and
answers past the latency objective."""


class GuardrailProcess(Value):
    """Evidence on one guardrail: counts of bad answers per arm and share."""

    stretches: tuple[Stretch, ...] = ()

    def update(self, stretch: Stretch) -> GuardrailProcess:
        """The process after one more stretch."""
        return GuardrailProcess(stretches=fold((*self.stretches, stretch)))

    @property
    def stable(self) -> ArmCounts:
        """Totals of the stable arm."""
        return sum((each.stable for each in self.stretches), ArmCounts())

    @property
    def canary(self) -> ArmCounts:
        """Totals of the canary."""
        return sum((each.canary for each in self.stretches), ArmCounts())

    @property
    def log_e_harm(self) -> float:
        """Log e-value against "the canary's bad rate is at most stable's"."""
        return log_harm(self.stretches)

    def log_e_non_inferior(self, margin: float) -> float:
        """Log e-value against "the canary's bad rate exceeds stable's by ``margin`` or more"."""
        return log_non_inferiority(self.stretches, margin)

    def clean_requests_needed(self, *, alpha: float, margin: float, share: float) -> int:
        """Further canary requests, none bad on either arm, that would prove the margin."""
        return _clean_requests_needed(self, alpha, margin, share)

    def judge(
        self,
        *,
        alpha: float,
        margin: float,
        tolerance: float | None = None,
        alpha_harm: float | None = None,
    ) -> Judgement:
        """HARMFUL where harm is proved, HEALTHY where an excess of ``margin`` is ruled out.

        ``tolerance``: an excess that is not acted on even when it is proved, as long as it is also
        proved to be smaller (None: any proved excess is harm). ``alpha_harm``: the harm side's
        share of a budget that is split over guardrails (default ``alpha``). May be asked at every
        look: each side errs with at most its alpha over all looks together.
        """
        alpha_harm = alpha if alpha_harm is None else alpha_harm
        _check(alpha, margin)
        proved_harm = self.log_e_harm >= -math.log(alpha_harm)
        negligible = tolerance is not None and self.log_e_non_inferior(tolerance) >= -math.log(
            alpha
        )
        log_e = self.log_e_non_inferior(margin)
        figures = self._figures(alpha, alpha_harm, margin, log_e)
        rates = f"canary {_rate(self.canary)}, stable {_rate(self.stable)}"
        if proved_harm and not negligible:
            reason = f"{rates}: the canary is worse (alpha {alpha_harm:.3g})"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        if log_e >= -math.log(alpha):
            reason = f"{rates}: worse by less than {margin:.3%} (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
        reason = f"{rates}: neither harm nor a margin of {margin:.3%} is proved"
        if "clean_canary_requests_needed" in figures:
            needed = figures["clean_canary_requests_needed"]
            reason += f"; {needed:,.0f} more canary requests without a bad answer would prove it"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)

    def _figures(
        self, alpha: float, alpha_harm: float, margin: float, log_e: float
    ) -> dict[str, float]:
        figures = {
            "canary_requests": float(self.canary.requests),
            "canary_bad": float(self.canary.bad),
            "stable_requests": float(self.stable.requests),
            "stable_bad": float(self.stable.bad),
            "log_e_harm": round(self.log_e_harm, 4),
            "log_threshold_harm": round(-math.log(alpha_harm), 4),
            "log_e_non_inferior": round(log_e, 4),
            "log_threshold_non_inferior": round(-math.log(alpha), 4),
            "margin": margin,
        }
        if log_e < -math.log(alpha) and self.stretches and self.stretches[-1].share > 0.0:
            needed = self.clean_requests_needed(
                alpha=alpha, margin=margin, share=self.stretches[-1].share
            )
            if needed < _NEVER:
                figures["clean_canary_requests_needed"] = float(needed)
        return figures


class CanaryEvidence(Value):
    """All that is known of one version on its way to full traffic."""

    guardrails: dict[str, GuardrailProcess] = {}
    sample_ratio: SampleRatioProcess = SampleRatioProcess()

    def update(self, stretches: Mapping[str, Stretch]) -> CanaryEvidence:
        """Fold in one stretch per guardrail, all of the same time and share.

        The sample ratio counts each request once: from the guardrail that saw most of them.
        """
        if not stretches:
            return self
        if len({stretch.share for stretch in stretches.values()}) != 1:
            raise Invalid("expected one share for all guardrails of a stretch", field="share")
        widest = max(stretches.values(), key=lambda s: s.stable.requests + s.canary.requests)
        updated = {
            name: self.guardrails.get(name, GuardrailProcess()).update(stretch)
            for name, stretch in stretches.items()
        }
        return CanaryEvidence(
            guardrails=dict(sorted({**self.guardrails, **updated}.items())),
            sample_ratio=self.sample_ratio.update(widest),
        )

    def judge(
        self,
        *,
        alpha: float,
        margins: Mapping[str, float],
        tolerances: Mapping[str, float] | None = None,
    ) -> Judgement:
        """One verdict over all guardrails named in ``margins``.

        Wrong harm, or a split wrongly called off: at most ``alpha`` together (divided evenly).
        Wrong health: at most ``alpha`` undivided, because *every* guardrail must be proved and
        one of them would have to be wrong about itself (intersection-union test).
        """
        if not margins:
            raise Invalid("expected a margin for at least one guardrail", field="margins")
        part = alpha / (len(margins) + 1)
        split = self.sample_ratio.judge(alpha=part)
        judged = {
            name: self.guardrails.get(name, GuardrailProcess()).judge(
                alpha=alpha,
                margin=margin,
                tolerance=(tolerances or {}).get(name),
                alpha_harm=part,
            )
            for name, margin in sorted(margins.items())
        }
        figures = {
            f"{name}.{key}": value
            for name, judgement in {"sample_ratio": split, **judged}.items()
            for key, value in judgement.figures.items()
        }
        verdict, names = _combine(split, judged)
        reasons = {"sample ratio": split} if names is None else {n: judged[n] for n in names}
        reason = "; ".join(f"{name}: {one.reason}" for name, one in reasons.items())
        return Judgement(verdict=verdict, reason=reason, figures={"alpha": alpha, **figures})


def stretches_between(
    before: Reading | NoReading,
    after: Reading | NoReading,
    *,
    stable: str,
    canary: str,
    share: float,
) -> dict[str, Stretch] | NoReading:
    """What each guardrail saw between two readings, or why that is not known.

    Unknown: no reading, counters that started anew, a version that is missing, or a count that
    went backwards. The caller keeps its evidence as it was and waits for the next pair.
    """
    for reading in (before, after):
        if isinstance(reading, NoReading):
            return reading
    assert isinstance(before, Reading)
    assert isinstance(after, Reading)
    if before.epoch != after.epoch:
        return NoReading(at_s=after.at_s, reason="counters started anew between two readings")
    arms = [_growth(before, after, version) for version in (stable, canary)]
    if any(arm is None for arm in arms):
        reason = f"no growing counters of {stable} and {canary} in both readings"
        return NoReading(at_s=after.at_s, reason=reason)
    counts = [arm for arm in arms if arm is not None]
    return {
        name: Stretch(stable=counts[0][name], canary=counts[1][name], share=share)
        for name in GUARDRAILS
    }


def alpha_for(alpha: float, *, attempt: int, step: int = 1, steps: int = 1) -> float:
    """The part of a version's ``alpha`` that one step of one attempt may spend.

    Attempts (1, 2, ...) get 6/(pi k)^2 of it, steps of one attempt equal parts: over every retry
    and step together the parts never exceed ``alpha``. One version that is tried again has to
    bring stronger evidence each time.
    """
    if attempt < 1 or not 1 <= step <= steps:
        raise Invalid(
            f"expected attempt >= 1 and 1 <= step <= steps, got {attempt}, {step}/{steps}"
        )
    return alpha * 6.0 / (math.pi * attempt) ** 2 / steps


_NEVER = 10**9


def _combine(split: Judgement, judged: Mapping[str, Judgement]) -> tuple[Verdict, list[str] | None]:
    """The verdict and the guardrails it rests on (None: the sample ratio)."""
    if split.verdict is Verdict.UNKNOWN:
        return Verdict.UNKNOWN, None
    for verdict in (Verdict.HARMFUL, Verdict.UNKNOWN):
        names = [name for name, one in judged.items() if one.verdict is verdict]
        if names:
            return verdict, names
    return Verdict.HEALTHY, list(judged)


def _growth(before: Reading, after: Reading, version: str) -> dict[str, ArmCounts] | None:
    first, last = _counters(before, version), _counters(after, version)
    if first is None or last is None:
        return None
    requests = last.requests - first.requests
    bad = {name: getattr(last, name) - getattr(first, name) for name in GUARDRAILS}
    if any(count < 0 or count > requests for count in bad.values()):
        return None
    return {name: ArmCounts(requests=requests, bad=count) for name, count in bad.items()}


def _counters(reading: Reading, version: str) -> VersionCounters | None:
    return next((one for one in reading.versions if one.version == version), None)


def _clean_requests_needed(
    process: GuardrailProcess, alpha: float, margin: float, share: float
) -> int:
    def proved(canary: int) -> bool:
        stable = round(canary * (1.0 - share) / share)
        clean = Stretch(
            stable=ArmCounts(requests=stable), canary=ArmCounts(requests=canary), share=share
        )
        return process.update(clean).log_e_non_inferior(margin) >= -math.log(alpha)

    high = 1
    while high < _NEVER and not proved(high):
        high *= 2
    low = high // 2
    while high - low > 1 and high < _NEVER:
        middle = (low + high) // 2
        low, high = (low, middle) if proved(middle) else (middle, high)
    return min(high, _NEVER)


def _check(alpha: float, margin: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"expected a number between 0 and 1, got {alpha}", field="alpha")
    if not margin >= 0.0:  # NaN fails too
        raise Invalid(f"expected a share of requests, 0 or more, got {margin}", field="margin")


def _rate(arm: ArmCounts) -> str:
    share = f" ({arm.bad / arm.requests:.2%})" if arm.requests else ""
    return f"{arm.bad:,} of {arm.requests:,}{share}"
