"""The three values that every piece of evidence takes, and the judgement that carries one."""

from __future__ import annotations

from enum import StrEnum

from tools.values import Value


class Verdict(StrEnum):
    """UNKNOWN is neither good nor bad: it never advances, never promotes, never counts as harm."""

    HEALTHY = "healthy"
    HARMFUL = "harmful"
    UNKNOWN = "unknown"


class Judgement(Value):
    """What one question came to, with the figures that it rests on."""

    verdict: Verdict
    reason: str
    """One sentence for people, with the figures and the tolerance or margin they were held to."""
    figures: dict[str, float] = {}
    """Named figures (counts, e-values, bounds); finite numbers only."""
