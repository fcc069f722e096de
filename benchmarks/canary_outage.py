"""Canaries without usable metrics: how often is one promoted or aborted on no evidence?

The healthy canary answers as well as stable; its metrics are unusable for the whole time, in one
of several ways. mendloop must hold until the deadline (and then go back without calling it harm).
Run: python -m benchmarks.canary_outage [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.canary_report import Row, run
from tools.metrics import NoReading, Reading, VersionCounters
from tools.statistics.canary import CanaryEvidence, stretches_between
from tools.statistics.verdict import Verdict

LOOKS, PER_LOOK, SHARE, RATE = 60, 500, 0.1, 0.01
MARGINS = {"errors": 0.02, "missing": 0.02, "slow": 0.02}
Look = Reading | NoReading
Fault = Callable[[np.random.Generator, int, Reading], Look]


def measure(quick: bool, seed: int) -> list[Row]:
    """One row per fault; the last is a working source, to show that the test can decide."""
    rng = np.random.default_rng(seed)
    canaries = 60 if quick else 500
    return [_row(rng, name, fault, canaries) for name, fault in FAULTS.items()]


def _row(rng: np.random.Generator, name: str, fault: Fault, canaries: int) -> Row:
    ours = [_mendloop(_looks(rng, fault)) for _ in range(canaries)]
    argo = [_threshold(_looks(rng, fault)) for _ in range(canaries)]
    promoted = ours.count(Verdict.HEALTHY) / canaries
    aborted = ours.count(Verdict.HARMFUL) / canaries
    works = name == "none (metrics work)"
    return {
        "fault": name,
        "promoted": promoted,
        "aborted as harmful": aborted,
        "held to the deadline": ours.count(Verdict.UNKNOWN) / canaries,
        "threshold rule promotes": argo.count("promoted") / canaries,
        "threshold rule aborts": argo.count("aborted") / canaries,
        "holds": promoted >= 0.9 and aborted <= 0.05 if works else promoted == aborted == 0.0,
    }


def _mendloop(looks: list[Look]) -> Verdict:
    """Judged at every look, as the controller does; the first decision stands."""
    evidence, before = CanaryEvidence(), looks[0]
    for after in looks[1:]:
        grown = stretches_between(before, after, stable="v1", canary="v2", share=SHARE)
        if not isinstance(grown, NoReading):
            evidence = evidence.update(grown)
        if not isinstance(after, NoReading):
            before = after
        verdict = evidence.judge(alpha=0.05, margins=MARGINS).verdict
        if verdict is not Verdict.UNKNOWN:
            return verdict
    return Verdict.UNKNOWN


def _threshold(looks: list[Look]) -> str:
    """Success rate >= 97 % in every window, as Argo Rollouts judges it by default.

    A NaN fails the condition; more than four errors of the metrics source in a row abort.
    """
    before, errors_in_row = looks[0], 0
    for after in looks[1:]:
        success = _success(before, after)
        before = after
        errors_in_row = errors_in_row + 1 if success is None else 0
        if errors_in_row > 4 or (success is not None and not success >= 0.97):
            return "aborted"
    return "promoted"


def _success(before: Look, after: Look) -> float | None:
    """The canary's success rate between two looks; None where the source gives an error."""
    if isinstance(after, NoReading) or isinstance(before, NoReading):
        return math.nan if isinstance(after, NoReading) and "NaN" in after.reason else None
    if len(after.versions) < 2:
        return None
    first, last = before.versions[1], after.versions[1]
    requests, errors = last.requests - first.requests, last.errors - first.errors
    return 1.0 - errors / requests if requests else math.nan


def _looks(rng: np.random.Generator, fault: Fault) -> list[Look]:
    totals = np.zeros((2, 3), dtype=int)
    looks: list[Look] = []
    for at in range(LOOKS + 1):
        looks.append(fault(rng, at, _reading(at, totals)))
        canary = int(rng.binomial(PER_LOOK, SHARE))
        for arm, requests in enumerate((PER_LOOK - canary, canary)):
            totals[arm] += (requests, rng.binomial(requests, RATE), rng.binomial(requests, RATE))
    return looks


def _reading(at: int, totals: np.ndarray[tuple[int, int], np.dtype[np.int_]]) -> Reading:
    versions = tuple(
        VersionCounters(version=name, requests=int(row[0]), errors=int(row[1]), slow=int(row[2]))
        for name, row in zip(("v1", "v2"), totals, strict=True)
    )
    return Reading(at_s=float(at), versions=versions, epoch="a")


def _outage(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    return NoReading(at_s=reading.at_s, reason="connection refused")


def _nan(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    """The adapter's contract: a value that is not a number is no reading."""
    return NoReading(at_s=reading.at_s, reason="the metrics source answered NaN")


def _no_traffic(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    """Nobody calls the service at all."""
    zero = VersionCounters(version="", requests=0, errors=0, slow=0)
    still = tuple(zero.model_copy(update={"version": name}) for name in ("v1", "v2"))
    return reading.model_copy(update={"versions": still})


def _canary_starved(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    """The route is not in force: stable gets everything."""
    stable = reading.versions[0]
    none = VersionCounters(version="v2", requests=0, errors=0, slow=0)
    return reading.model_copy(update={"versions": (stable, none)})


def _restarting(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    """Counters start anew before every look."""
    return reading.model_copy(update={"epoch": str(at)})


def _canary_unseen(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    """The canary is not scraped."""
    return reading.model_copy(update={"versions": reading.versions[:1]})


def _none(rng: np.random.Generator, at: int, reading: Reading) -> Look:
    return reading


FAULTS: dict[str, Fault] = {
    "metrics source down": _outage,
    "NaN": _nan,
    "no traffic": _no_traffic,
    "canary gets no traffic": _canary_starved,
    "counters restart at every look": _restarting,
    "canary missing from the page": _canary_unseen,
    "none (metrics work)": _none,
}


if __name__ == "__main__":
    sys.exit(run("A healthy canary whose metrics are unusable, 60 looks to the deadline", measure))
