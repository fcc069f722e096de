"""Verdicts on a canary: harm undoes, proof promotes, everything else is unknown."""

from __future__ import annotations

import math

import pytest

from tools.errors import Invalid
from tools.metrics import NoReading, Reading, VersionCounters
from tools.statistics.canary import (
    CanaryEvidence,
    GuardrailProcess,
    alpha_for,
    stretches_between,
)
from tools.statistics.eprocess import ArmCounts, Stretch
from tools.statistics.verdict import Judgement, Verdict

MARGINS = {"errors": 0.02, "slow": 0.02}


def stretch(stable: tuple[int, int], canary: tuple[int, int], share: float = 0.1) -> Stretch:
    """Arms as (requests, bad)."""
    return Stretch(
        stable=ArmCounts(requests=stable[0], bad=stable[1]),
        canary=ArmCounts(requests=canary[0], bad=canary[1]),
        share=share,
    )


def evidence(errors: Stretch, slow: Stretch) -> CanaryEvidence:
    """After one update with both guardrails."""
    return CanaryEvidence().update({"errors": errors, "slow": slow})


def judged(errors: Stretch, slow: Stretch) -> Judgement:
    """At 5 % and a margin of 2 % each."""
    return evidence(errors, slow).judge(alpha=0.05, margins=MARGINS)


CLEAN = stretch((3600, 0), (400, 0))


def test_a_clean_canary_is_healthy_after_a_few_hundred_requests() -> None:
    """Zero bad answers on both arms prove a 2 % margin."""
    found = judged(CLEAN, CLEAN)

    assert found.verdict is Verdict.HEALTHY
    assert found.figures["errors.log_e_non_inferior"] >= math.log(20)


def test_the_requests_still_needed_are_enough_and_not_too_many() -> None:
    """What an unknown judgement announces comes true to the request."""
    process = GuardrailProcess().update(stretch((900, 0), (100, 0)))
    found = process.judge(alpha=0.05, margin=0.02)
    needed = int(found.figures["clean_canary_requests_needed"])
    more = [stretch((9 * n, 0), (n, 0)) for n in (needed - 1, needed)]

    assert found.verdict is Verdict.UNKNOWN
    assert f"{needed} more canary requests" in found.reason
    verdicts = [process.update(one).judge(alpha=0.05, margin=0.02).verdict for one in more]
    assert verdicts == [Verdict.UNKNOWN, Verdict.HEALTHY]


def test_harm_on_one_guardrail_outweighs_proof_on_the_other() -> None:
    """A canary that never fails but is slow is harmful; the reason names what."""
    found = judged(CLEAN, stretch((3600, 4), (400, 40)))

    assert found.verdict is Verdict.HARMFUL
    assert "slow" in found.reason
    assert "errors" not in found.reason


def test_one_unproved_guardrail_holds_the_canary() -> None:
    """Every guardrail must be proved before anything advances."""
    found = judged(CLEAN, stretch((3600, 36), (400, 5)))

    assert found.verdict is Verdict.UNKNOWN
    assert found.reason.startswith("slow")


def test_no_reading_for_a_guardrail_is_unknown() -> None:
    """A guardrail that was never read is not passed silently."""
    known = CanaryEvidence().update({"errors": CLEAN})

    assert known.judge(alpha=0.05, margins={"errors": 0.02}).verdict is Verdict.HEALTHY
    assert known.judge(alpha=0.05, margins=MARGINS).verdict is Verdict.UNKNOWN
    assert CanaryEvidence().judge(alpha=0.05, margins=MARGINS).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("bad", [0, 300])
def test_traffic_that_does_not_follow_the_weight_is_unknown(bad: int) -> None:
    """Neither clean answers nor many bad ones count when the split is not what was asked for."""
    off = stretch((3600, 0), (1200, bad))
    found = judged(off, off)

    assert found.verdict is Verdict.UNKNOWN
    assert "does not follow the weight" in found.reason


def test_a_proved_but_tolerated_excess_is_no_harm() -> None:
    """Significance is not importance: 1.0 against 1.2 % is proved, and below the tolerance."""
    process = GuardrailProcess().update(stretch((500_000, 5_000), (500_000, 6_000), 0.5))

    assert process.judge(alpha=0.05, margin=0.01).verdict is Verdict.HARMFUL
    assert process.judge(alpha=0.05, margin=0.01, tolerance=0.005).verdict is Verdict.HEALTHY
    assert process.judge(alpha=0.05, margin=0.01, tolerance=0.001).verdict is Verdict.HARMFUL


def test_the_state_survives_the_journal() -> None:
    """Written as JSON and read again, the same state gives the same judgement."""
    state = evidence(stretch((1900, 3), (100, 4), 0.05), stretch((1900, 0), (100, 0), 0.05))
    state = state.update({"errors": stretch((700, 1), (250, 1), 0.25)})
    again = CanaryEvidence.model_validate_json(state.model_dump_json())

    assert again == state
    assert again.model_dump_json() == state.model_dump_json()
    assert again.judge(alpha=0.05, margins=MARGINS) == state.judge(alpha=0.05, margins=MARGINS)


def test_state_stays_small_over_many_looks() -> None:
    """A thousand looks at four steps are four stretches."""
    state = CanaryEvidence()
    for look in range(1000):
        share = (0.05, 0.25, 0.5, 1.0)[look // 250]
        part = stretch((10, 0), (5, 0), share)
        state = state.update({"errors": part, "slow": part})

    assert len(state.guardrails["errors"].stretches) == 4
    assert len(state.model_dump_json()) < 2000


def test_guardrails_of_one_stretch_share_one_weight() -> None:
    """Two shares in one update are a mistake of the caller."""
    with pytest.raises(Invalid, match="share"):
        evidence(CLEAN, stretch((10, 0), (10, 0), 0.5))


@pytest.mark.parametrize(
    ("alpha", "margin"), [(0.0, 0.1), (1.0, 0.1), (0.05, -0.1), (0.05, math.nan)]
)
def test_impossible_error_rates_are_refused(alpha: float, margin: float) -> None:
    """No silent certainty."""
    with pytest.raises(Invalid):
        GuardrailProcess().judge(alpha=alpha, margin=margin)


def test_alpha_is_spent_once_over_all_attempts_and_steps() -> None:
    """However often a version is tried again, the parts never exceed its alpha."""
    parts = [
        alpha_for(0.05, attempt=attempt, step=step, steps=4)
        for attempt in range(1, 20_000)
        for step in range(1, 5)
    ]

    assert sum(parts) <= 0.05
    assert sum(parts) == pytest.approx(0.05, rel=1e-4)
    assert parts[0] > parts[4] > 0.0


@pytest.mark.parametrize(("attempt", "step"), [(0, 1), (1, 0), (1, 5)])
def test_alpha_for_no_such_step_is_refused(attempt: int, step: int) -> None:
    """Attempts and steps are counted from 1."""
    with pytest.raises(Invalid):
        alpha_for(0.05, attempt=attempt, step=step, steps=4)


def reading(at_s: float, epoch: str = "a", **versions: tuple[int, int, int]) -> Reading:
    """Versions as (requests, errors, slow)."""
    return Reading(
        at_s=at_s,
        epoch=epoch,
        versions=tuple(
            VersionCounters(version=name, requests=row[0], errors=row[1], slow=row[2])
            for name, row in versions.items()
        ),
    )


BEFORE = reading(0.0, v1=(1000, 10, 0), v2=(50, 1, 0))


def test_two_readings_make_one_stretch_per_guardrail() -> None:
    """Differences, not totals."""
    after = reading(1.0, v1=(1900, 12, 5), v2=(150, 1, 2))
    found = stretches_between(BEFORE, after, stable="v1", canary="v2", share=0.1)

    assert found == {
        "errors": stretch((900, 2), (100, 0)),
        "missing": stretch((900, 0), (100, 0)),
        "slow": stretch((900, 5), (100, 2)),
    }


@pytest.mark.parametrize(
    "after",
    [
        NoReading(at_s=1.0, reason="connection refused"),
        reading(1.0, epoch="b", v1=(1900, 12, 5), v2=(150, 1, 2)),
        reading(1.0, v1=(1900, 12, 5)),
        reading(1.0, v1=(900, 12, 5), v2=(150, 1, 2)),
        reading(1.0, v1=(1900, 12, 5), v2=(55, 30, 2)),
    ],
    ids=["outage", "counters-anew", "version-missing", "backwards", "more-bad-than-requests"],
)
def test_whatever_cannot_be_counted_is_no_reading(after: Reading | NoReading) -> None:
    """Never a zero, never a negative, never an exception: the caller holds."""
    found = stretches_between(BEFORE, after, stable="v1", canary="v2", share=0.1)

    assert isinstance(found, NoReading)
    assert found.reason
