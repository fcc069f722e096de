"""Names the cause that explains the evidence best, with its reasons, its rivals and how sure it is.

Naive Bayes over one cause at a time: every known finding multiplies the odds of each cause by how
likely that answer is under it (the table in ``agents/diagnosis_table.py``). The confidence is the
posterior share, the reasons are the findings that carried it, and each rival is named with the
finding that speaks most against it. Unknown findings change nothing.

Not every diagnosis asks for a repair: a shift of inputs alone never does, and a loss that rose as
the model itself expected is a harder season, which no retraining cures.
"""

from __future__ import annotations

import math

from agents.diagnosis_table import PRIOR, Cause, harmful_probability
from agents.evidence import Evidence, Finding
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

__all__ = ["Cause", "Diagnosis", "Evidence", "Finding", "Rival", "diagnose"]

RIVALS = 3
_LEARNABLE = frozenset({Cause.COVARIATE_DRIFT, Cause.CONCEPT_DRIFT, Cause.LABEL_DRIFT})
"""Causes in which newer data hold what the model lacks."""
_SPEAKS = math.log(1.5)
"""Log ratio below which a finding is not worth a sentence."""

_UNLIKELY = 0.1

_Answers = dict[Finding, Judgement]


class Rival(Value):
    """A cause that was weighed and found less likely."""

    cause: Cause
    confidence: float
    against: str
    """The finding that speaks most against it, compared with the chosen cause."""


class Diagnosis(Value):
    """The most likely cause. ``confidence`` is its posterior share, 0 to 1."""

    cause: Cause
    confidence: float
    reasons: tuple[str, ...]
    rivals: tuple[Rival, ...]
    is_harm_seen: bool
    """Whether matured labels show a loss that newer data could cure."""
    considered: int
    """Findings that were known."""

    @property
    def may_retraining_help(self) -> bool:
        """Retraining is an option: a learnable cause, and harm that labels show."""
        return self.cause in _LEARNABLE and self.is_harm_seen


def diagnose(evidence: Evidence) -> Diagnosis:
    """Weigh every cause against the evidence. Pure and total: no evidence reads as "nothing"."""
    answers = evidence.judgements()
    shares = posterior(answers)
    ranked = sorted(Cause, key=lambda cause: (-shares[cause], list(Cause).index(cause)))
    best = ranked[0]
    return Diagnosis(
        cause=best,
        confidence=round(shares[best], 4),
        reasons=_reasons(best, answers, shares),
        rivals=tuple(
            Rival(
                cause=rival,
                confidence=round(shares[rival], 4),
                against=_against(rival, best, answers),
            )
            for rival in ranked[1 : RIVALS + 1]
        ),
        is_harm_seen=_is_harm_seen(answers),
        considered=len(answers),
    )


def posterior(answers: _Answers) -> dict[Cause, float]:
    """Share of each cause after the answers; they add up to 1."""
    scores = {
        cause: math.log(PRIOR[cause])
        + sum(_log_likelihood(f, answer, cause) for f, answer in answers.items())
        for cause in Cause
    }
    most = max(scores.values())
    weights = {cause: math.exp(score - most) for cause, score in scores.items()}
    total = sum(weights.values())
    return {cause: weight / total for cause, weight in weights.items()}


def _log_likelihood(finding: Finding, answer: Judgement, cause: Cause) -> float:
    harmful = harmful_probability(finding, cause)
    return math.log(harmful if answer.verdict is Verdict.HARMFUL else 1.0 - harmful)


def _is_harm_seen(answers: _Answers) -> bool:
    excess, degraded = answers.get(Finding.EXCESS), answers.get(Finding.DEGRADED)
    if excess is not None:
        return excess.verdict is Verdict.HARMFUL
    return degraded is not None and degraded.verdict is Verdict.HARMFUL


def _reasons(cause: Cause, answers: _Answers, shares: dict[Cause, float]) -> tuple[str, ...]:
    """The findings that raised the cause above the average of the others, strongest first."""
    others = {c: s for c, s in shares.items() if c is not cause}
    weight = sum(others.values()) or 1.0
    gains = {}
    for finding, answer in answers.items():
        rest = sum(s * math.exp(_log_likelihood(finding, answer, c)) for c, s in others.items())
        gains[finding] = _log_likelihood(finding, answer, cause) - math.log(rest / weight)
    told = sorted((f for f in answers if gains[f] > _SPEAKS), key=lambda f: (-gains[f], f))
    harmful = [f for f, a in answers.items() if a.verdict is Verdict.HARMFUL and f not in told]
    expected = [f for f in harmful if harmful_probability(f, cause) >= 0.5]
    sentences = tuple(_sentence(f, answers[f]) for f in (*told, *expected))
    if sentences:
        return sentences
    if not answers:
        return ("nothing is known: no finding is healthy or harmful",)
    healthy = sum(a.verdict is Verdict.HEALTHY for a in answers.values())
    return (f"{healthy} of {len(answers)} findings are healthy and none singles out another cause",)


def _against(rival: Cause, best: Cause, answers: _Answers) -> str:
    if not answers:
        return "less common, and nothing is known"

    def gap(finding: Finding) -> float:
        answer = answers[finding]
        return _log_likelihood(finding, answer, best) - _log_likelihood(finding, answer, rival)

    finding = max(answers, key=lambda f: (gap(f), f))
    if gap(finding) <= 0:
        return "less common; no finding speaks against it"
    says = _sentence(finding, answers[finding])
    if answers[finding].verdict is Verdict.HEALTHY:
        return f"it would be expected to show in {finding.value}, but {says}"
    if harmful_probability(finding, rival) < _UNLIKELY:
        return f"it does not explain {says}"
    return f"it explains less well: {says}"


def _sentence(finding: Finding, answer: Judgement) -> str:
    return f"{finding.value.replace('_', ' ')} {answer.verdict.value}: {answer.reason}"
