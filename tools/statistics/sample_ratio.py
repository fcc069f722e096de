"""Did the traffic follow the weight? Sequential; a mismatch makes the canary's evidence unknown.

Every test on a canary takes the configured share as known. When the observed split disagrees with
it (a dead arm, an ejected endpoint, a second router, counters read twice) those tests answer a
question about another experiment. Source: Lindon & Malek 2022 (arXiv 2011.03567).
"""

from __future__ import annotations

import math

from tools.statistics.eprocess import Stretch, fold, log_share_mismatch
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

TOLERANCE = 0.02
"""Log odds: a share of 10 % may really be 9.8 to 10.2 %. Readings of two arms are not atomic."""


class SampleRatioProcess(Value):
    """Counts per share, and the e-process on their split."""

    stretches: tuple[Stretch, ...] = ()

    def update(self, stretch: Stretch) -> SampleRatioProcess:
        """The process after one more stretch."""
        return SampleRatioProcess(stretches=fold((*self.stretches, stretch)))

    @property
    def log_e_mismatch(self) -> float:
        """Log e-value against "each request goes to the canary with the configured share"."""
        return log_share_mismatch(self.stretches, tolerance=TOLERANCE)

    def judge(self, *, alpha: float) -> Judgement:
        """UNKNOWN when the split disagrees, HEALTHY while it does not; never HARMFUL."""
        canary = sum(each.canary.requests for each in self.stretches)
        total = canary + sum(each.stable.requests for each in self.stretches)
        expected = sum(
            each.share * (each.stable.requests + each.canary.requests) for each in self.stretches
        )
        figures = {
            "canary_requests": float(canary),
            "expected_canary_requests": round(expected, 1),
            "requests": float(total),
            "log_e_mismatch": round(self.log_e_mismatch, 4),
            "log_threshold": round(-math.log(alpha), 4),
        }
        split = f"the canary got {canary:,} of {total:,} requests, its weight says {expected:,.0f}"
        if self.log_e_mismatch >= -math.log(alpha):
            reason = f"{split}: traffic does not follow the weight (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)
        return Judgement(
            verdict=Verdict.HEALTHY, reason=f"{split}: no disagreement", figures=figures
        )
