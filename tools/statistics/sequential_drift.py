"""Watches profiles window after window, with a stated rate of false alarms per model and month.

Each window is compared by itself, and the last 4 and 16 windows together whenever so many new ones
are complete: long spans see small shifts that no single window shows. The month's alpha is split
over the spans and over the comparisons that each makes in a month, so the chance of any false alarm
within a month is at most alpha however the windows depend on each other.
"""

from __future__ import annotations

from pydantic import Field

from tools.statistics.drift import DriftReport, compare
from tools.statistics.profile import Profile, merge
from tools.values import Value

SPANS = (1, 4, 16)


class SequentialDrift(Value):
    """The state between two windows; frozen, ``after`` makes the next."""

    windows_per_month: int = Field(ge=1)
    alpha_per_month: float = Field(default=0.05, gt=0, lt=0.5)
    tolerance: float = Field(ge=0, lt=1)
    seen: int = Field(default=0, ge=0)
    partial: dict[int, Profile] = {}
    """Per span, the windows since its last comparison, merged."""

    def after(
        self, window: Profile, reference: Profile
    ) -> tuple[SequentialDrift, tuple[DriftReport, ...]]:
        """Take one more window; the reports of the spans that it completes, shortest first.

        ``reference`` may differ from call to call (a season's part) as long as its bins do not.
        """
        seen = self.seen + 1
        partial: dict[int, Profile] = {}
        reports = []
        for span in SPANS:
            so_far = self.partial.get(span)
            whole = window if so_far is None else merge(so_far, window)
            if seen % span:
                partial[span] = whole
                continue
            alpha = self.alpha_of(span)
            reports.append(compare(reference, whole, alpha=alpha, tolerance=self.tolerance))
        state = self.model_copy(update={"seen": seen, "partial": partial})
        return state, tuple(reports)

    def alpha_of(self, span: int) -> float:
        """False-alarm rate of one comparison of a span, so that a month's add up to alpha."""
        return comparison_alpha(
            span, windows_per_month=self.windows_per_month, alpha_per_month=self.alpha_per_month
        )


def comparison_alpha(span: int, *, windows_per_month: int, alpha_per_month: float) -> float:
    """The part of a month's alpha that one comparison of ``span`` windows may spend."""
    comparisons = -(-windows_per_month // span) + (1 if span > 1 else 0)
    return alpha_per_month / len(SPANS) / comparisons


def alarms(reports: tuple[DriftReport, ...]) -> tuple[str, ...]:
    """Columns that any of the reports calls shifted, in order of their names."""
    return tuple(sorted({name for report in reports for name in report.shifted}))
