"""Causes are told apart by what is known, with reasons and rivals; unknown speaks for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.diagnosis import Cause, Diagnosis, diagnose, posterior
from agents.diagnosis_table import HARMFUL_UNDER, PRIOR, harmful_probability
from agents.evidence import DataFault, Evidence, Finding, Peer, Reachability, Release
from tools.statistics.verdict import Judgement, Verdict


def _says(verdict: Verdict, reason: str = "measured") -> Judgement:
    return Judgement(verdict=verdict, reason=reason)


HARMFUL, HEALTHY = _says(Verdict.HARMFUL, "worse by 0.1"), _says(Verdict.HEALTHY, "within limits")
UNKNOWN = _says(Verdict.UNKNOWN, "no rows")
FROZEN = DataFault(source="weather", kind="stale", reason="feed weather repeats for 9 h")
CALM: dict[str, Any] = {
    "data": (),
    "inputs": HEALTHY,
    "labels": HEALTHY,
    "predictions": HEALTHY,
    "degraded": HEALTHY,
    "excess": HEALTHY,
    "disagreement": HEALTHY,
    "skew": HEALTHY,
    "latency": HEALTHY,
    "errors": HEALTHY,
    "saturation": HEALTHY,
    "release": Release(newest="3", age_hours=500),
    "platform": (Reachability(component="metrics", verdict=Verdict.HEALTHY, reason="answers"),),
    "peers": (Peer(target="default/other"),),
}
DOWN = Reachability(component="metrics", verdict=Verdict.HARMFUL, reason="refuses connections")
PRESENTATIONS: dict[Cause, dict[str, Any]] = {
    Cause.NOTHING: {},
    Cause.DATA_FAULT: {"data": (FROZEN,), "inputs": HARMFUL, "predictions": HARMFUL},
    Cause.COVARIATE_DRIFT: {"inputs": HARMFUL, "predictions": HARMFUL},
    Cause.CONCEPT_DRIFT: {"degraded": HARMFUL, "excess": HARMFUL, "disagreement": HARMFUL},
    Cause.LABEL_DRIFT: {"labels": HARMFUL, "degraded": HARMFUL, "excess": HARMFUL},
    Cause.PREDICTION_DRIFT: {"predictions": HARMFUL},
    Cause.TRAINING_SERVING_SKEW: {"skew": HARMFUL, "predictions": HARMFUL, "excess": HARMFUL},
    Cause.CAPACITY: {"latency": HARMFUL, "saturation": HARMFUL},
    Cause.BAD_RELEASE: {
        "errors": HARMFUL,
        "latency": HARMFUL,
        "release": Release(newest="4", age_hours=1, worse=HARMFUL),
    },
    Cause.PLATFORM_FAULT: {"platform": (DOWN,)},
    Cause.SHARED_UPSTREAM: {
        "data": (FROZEN,),
        "inputs": HARMFUL,
        "peers": (Peer(target="default/other", faulty_sources=("weather",)),),
    },
}


def _diagnose(**changes: Any) -> Diagnosis:
    return diagnose(Evidence(**{**CALM, **changes}))


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_is_told_by_its_presentation(cause: Cause) -> None:
    """Everything else being healthy, with most of the confidence."""
    found = _diagnose(**PRESENTATIONS[cause])

    assert found.cause is cause
    assert found.confidence > 0.5
    assert len(found.rivals) == 3


@pytest.mark.parametrize("cause", [c for c in Cause if c is not Cause.NOTHING])
def test_reasons_quote_what_was_found(cause: Cause) -> None:
    """Sentences with the figures of the evidence, harmful findings among them."""
    found = _diagnose(**PRESENTATIONS[cause])

    assert any("harmful:" in reason for reason in found.reasons)
    assert all(rival.against for rival in found.rivals)


def test_no_evidence_reads_as_nothing_and_says_so() -> None:
    """Unknown is neither good nor bad."""
    found = diagnose(Evidence())

    assert found.cause is Cause.NOTHING
    assert found.considered == 0
    assert found.confidence == pytest.approx(PRIOR[Cause.NOTHING] / sum(PRIOR.values()), abs=1e-3)
    assert found.reasons == ("nothing is known: no finding is healthy or harmful",)


def test_unknown_findings_change_nothing() -> None:
    """A provider that is down does not move a diagnosis."""
    some = {"inputs": HARMFUL, "degraded": HARMFUL}

    assert diagnose(Evidence(**some, labels=UNKNOWN, skew=UNKNOWN)) == diagnose(Evidence(**some))


def test_drift_of_inputs_alone_never_asks_for_retraining() -> None:
    """With or without shifted scores; with harm on labels it does."""
    assert not _diagnose(inputs=HARMFUL).may_retraining_help
    assert not _diagnose(inputs=HARMFUL, predictions=HARMFUL).may_retraining_help
    assert _diagnose(inputs=HARMFUL, degraded=HARMFUL, excess=HARMFUL).may_retraining_help


def test_a_harder_season_does_not_ask_for_retraining() -> None:
    """The loss rose as the model itself expected: newer data would not cure it."""
    found = _diagnose(degraded=HARMFUL, excess=HEALTHY)

    assert found.cause is Cause.NOTHING
    assert not found.may_retraining_help
    assert not _diagnose(inputs=HARMFUL, degraded=HARMFUL, excess=HEALTHY).may_retraining_help


def test_a_data_fault_with_harm_does_not_ask_for_retraining() -> None:
    """The demo's frozen weather: inputs, scores and loss all moved, and the feed is why."""
    found = _diagnose(
        data=(FROZEN,), inputs=HARMFUL, predictions=HARMFUL, degraded=HARMFUL, excess=HARMFUL
    )

    assert found.cause is Cause.DATA_FAULT
    assert not found.may_retraining_help


def test_troubles_of_others_are_not_ours() -> None:
    """A peer whose other feed failed says nothing about this target."""
    other = (Peer(target="default/other", faulty_sources=("prices",)),)

    assert _diagnose(peers=other).cause is Cause.NOTHING
    assert _diagnose(data=(FROZEN,), peers=other).cause is Cause.DATA_FAULT


def test_a_shift_shared_with_others_is_upstream() -> None:
    """Several models at once: none of them is to be retrained."""
    peers = tuple(Peer(target=f"default/{n}", shifted=("temp",)) for n in "ab")
    found = _diagnose(
        inputs=HARMFUL, shifted=("temp",), degraded=HARMFUL, excess=HARMFUL, peers=peers
    )

    assert found.cause is Cause.SHARED_UPSTREAM
    assert not found.may_retraining_help


@given(st.dictionaries(st.sampled_from(Finding), st.sampled_from([HARMFUL, HEALTHY])))
def test_shares_add_up_and_order_does_not_matter(answers: dict[Finding, Judgement]) -> None:
    """A posterior is a distribution, whatever order the findings came in."""
    shares = posterior(answers)
    turned = posterior(dict(reversed(answers.items())))

    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(shares[c] == pytest.approx(turned[c]) for c in Cause)


@given(
    st.sampled_from(Finding),
    st.dictionaries(st.sampled_from(Finding), st.sampled_from([HARMFUL, HEALTHY])),
)
def test_a_harmful_finding_never_speaks_against_the_cause_that_explains_it_best(
    finding: Finding, answers: dict[Finding, Judgement]
) -> None:
    """Turning it from healthy to harmful raises that cause's share."""
    best = max(Cause, key=lambda c: harmful_probability(finding, c))
    healthy = posterior({**answers, finding: HEALTHY})[best]
    harmful = posterior({**answers, finding: HARMFUL})[best]

    assert harmful >= healthy


def test_the_table_forbids_nothing() -> None:
    """Every measurement errs: no answer may be impossible under any cause."""
    assert set(HARMFUL_UNDER) == set(Finding)
    assert all(
        0 < harmful_probability(finding, cause) < 1 for finding in Finding for cause in Cause
    )
    assert all(value > 0 for value in PRIOR.values())
