"""How likely each finding is harmful under each cause: the whole knowledge of diagnosis.

A row says, for one question, how often its answer is "harmful" when the cause is the true one.
The numbers are judgements of how the causes work (a frozen feed shifts inputs; a changed world
does not), rounded to what can be argued about, not fitted. Nothing is 0 or 1: every measurement
errs, so no single answer may forbid a cause.
"""

from __future__ import annotations

from enum import StrEnum

from agents.evidence import Finding


class Cause(StrEnum):
    """Why a model goes bad, or that it does not."""

    NOTHING = "nothing"
    DATA_FAULT = "data_fault"
    COVARIATE_DRIFT = "covariate_drift"
    CONCEPT_DRIFT = "concept_drift"
    LABEL_DRIFT = "label_drift"
    PREDICTION_DRIFT = "prediction_drift"
    TRAINING_SERVING_SKEW = "training_serving_skew"
    CAPACITY = "capacity"
    BAD_RELEASE = "bad_release"
    PLATFORM_FAULT = "platform_fault"
    SHARED_UPSTREAM = "shared_upstream"


_C = Cause

PRIOR: dict[Cause, float] = {
    **dict.fromkeys(Cause, 0.04),
    Cause.NOTHING: 0.6,
    Cause.SHARED_UPSTREAM: 0.01,
}
"""Before any evidence, as odds. Most of the time nothing is wrong, and "nothing" should need little
proof; causes of one target are taken as equally common, because that differs from team to team; a
cause that several targets share needs them as witnesses."""

FALSE_ALARM = 0.02
"""How often a question answers "harmful" when the cause has nothing to do with it."""
CERTAIN: dict[Finding, float] = {Finding.DATA: 0.001}
"""The same for what is observed rather than estimated: a year of real weather gave no false
fault."""

HARMFUL_UNDER: dict[Finding, dict[Cause, float]] = {
    Finding.DATA: {
        _C.DATA_FAULT: 0.97,
        _C.SHARED_UPSTREAM: 0.6,
    },
    Finding.INPUTS: {
        _C.DATA_FAULT: 0.5,
        _C.COVARIATE_DRIFT: 0.97,
        _C.CONCEPT_DRIFT: 0.15,
        _C.LABEL_DRIFT: 0.3,
        _C.PREDICTION_DRIFT: 0.05,
        _C.SHARED_UPSTREAM: 0.9,
    },
    # The world that labels come from: a shift of inputs that matter moves the rate as well.
    Finding.LABELS: {
        _C.DATA_FAULT: 0.05,
        _C.COVARIATE_DRIFT: 0.4,
        _C.CONCEPT_DRIFT: 0.3,
        _C.LABEL_DRIFT: 0.97,
        _C.SHARED_UPSTREAM: 0.2,
    },
    Finding.PREDICTIONS: {
        _C.DATA_FAULT: 0.5,
        _C.COVARIATE_DRIFT: 0.7,
        _C.CONCEPT_DRIFT: 0.1,
        _C.LABEL_DRIFT: 0.3,
        _C.PREDICTION_DRIFT: 0.97,
        _C.TRAINING_SERVING_SKEW: 0.8,
        _C.BAD_RELEASE: 0.4,
        _C.SHARED_UPSTREAM: 0.7,
    },
    # A rate of labels that moved without the inputs makes every probability wrong.
    # A harder season degrades without any cause to repair: hence not 0.02 under NOTHING.
    Finding.DEGRADED: {
        _C.NOTHING: 0.05,
        _C.DATA_FAULT: 0.4,
        _C.COVARIATE_DRIFT: 0.5,
        _C.CONCEPT_DRIFT: 0.95,
        _C.LABEL_DRIFT: 0.75,
        _C.PREDICTION_DRIFT: 0.1,
        _C.TRAINING_SERVING_SKEW: 0.7,
        _C.BAD_RELEASE: 0.5,
        _C.SHARED_UPSTREAM: 0.5,
    },
    Finding.EXCESS: {
        _C.DATA_FAULT: 0.4,
        _C.COVARIATE_DRIFT: 0.3,
        _C.CONCEPT_DRIFT: 0.95,
        _C.LABEL_DRIFT: 0.8,
        _C.PREDICTION_DRIFT: 0.1,
        _C.TRAINING_SERVING_SKEW: 0.7,
        _C.BAD_RELEASE: 0.5,
        _C.SHARED_UPSTREAM: 0.4,
    },
    Finding.DISAGREEMENT: {
        _C.DATA_FAULT: 0.4,
        _C.COVARIATE_DRIFT: 0.2,
        _C.CONCEPT_DRIFT: 0.9,
        _C.LABEL_DRIFT: 0.8,
        _C.TRAINING_SERVING_SKEW: 0.6,
        _C.BAD_RELEASE: 0.4,
        _C.SHARED_UPSTREAM: 0.4,
    },
    Finding.SKEW: {
        _C.TRAINING_SERVING_SKEW: 0.97,
        _C.BAD_RELEASE: 0.1,
    },
    Finding.LATENCY: {
        _C.CAPACITY: 0.9,
        _C.BAD_RELEASE: 0.5,
        _C.PLATFORM_FAULT: 0.1,
    },
    Finding.ERRORS: {
        _C.CAPACITY: 0.5,
        _C.BAD_RELEASE: 0.6,
        _C.PLATFORM_FAULT: 0.1,
    },
    Finding.SATURATION: {
        _C.CAPACITY: 0.95,
        _C.BAD_RELEASE: 0.15,
    },
    # Releases are frequent: being young proves little, being old acquits.
    Finding.RECENT_RELEASE: {
        **dict.fromkeys(Cause, 0.15),
        _C.TRAINING_SERVING_SKEW: 0.4,
        _C.BAD_RELEASE: 0.95,
    },
    Finding.NEWEST_WORSE: {
        _C.TRAINING_SERVING_SKEW: 0.3,
        _C.CAPACITY: 0.05,
        _C.BAD_RELEASE: 0.95,
    },
    Finding.PLATFORM: {
        _C.PLATFORM_FAULT: 0.98,
    },
    # The same column fails in several models at once by accident only rarely.
    Finding.PEERS: {
        _C.COVARIATE_DRIFT: 0.05,
        _C.DATA_FAULT: 0.05,
        _C.SHARED_UPSTREAM: 0.97,
    },
}


def harmful_probability(finding: Finding, cause: Cause) -> float:
    """How often the question answers "harmful" under the cause."""
    return HARMFUL_UNDER[finding].get(cause, CERTAIN.get(finding, FALSE_ALARM))
