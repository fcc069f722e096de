"""Diagnosis over generated causes: confusion matrix and macro F1.

The worlds come from a generator that shares no code with mendloop. They stand behind the real
ports, and the loop's own code observes their windows and gathers the evidence about data, drift,
labels, scores, loss and skew; the servers' counters and the other targets are handed in beside it.
Cases whose effect an oracle (a test that knows where to look) could not see are drawn, too, and
listed apart.
Run: python -m benchmarks.diagnosis [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy import stats

from agents.diagnosis import diagnose
from agents.evidence import DataFault, Evidence, Peer, Reachability, Release
from benchmarks.diagnosis_platform import gathered
from benchmarks.diagnosis_worlds import CAUSES, FEED, World, make
from tools.managed_model import ManagedModel
from tools.schema import FeatureSchema
from tools.statistics.drift import DriftReport, compare
from tools.statistics.profile import current_profile, reference_profile
from tools.statistics.verdict import Judgement, Verdict
from tools.validation import validate_window

NEEDED = 0.9
ALPHA = 0.01
_FEED_COLUMN = {"type": "number", "nullable": True, "feed": "station"}
SCHEMA = FeatureSchema.model_validate(
    {
        "timeColumn": "event_time",
        "columns": [
            {"name": "site", "type": "category"},
            {"name": "heat", "unit": "degF", **_FEED_COLUMN},
            {"name": "wind", "unit": "km/h", **_FEED_COLUMN},
            *({"name": n, "type": "number"} for n in ("size", "age", "price")),
        ],
        "feeds": [{"name": "station", "key": "site", "maxRepeatHours": 6}],
    }
)
MODEL = ManagedModel.model_validate(
    {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "ManagedModel",
        "metadata": {"name": "own"},
        "spec": {
            "model": "own",
            "schema": SCHEMA,
            "label": {"name": "label", "delay": "1m"},
            "data": {"history": "history.parquet"},
            "training": {"families": ["logistic_regression"]},
            "gates": [{"metric": "log_loss", "maximum": 1.0}],
            "serving": {"route": "own", "host": "own"},
            "evidence": {"window": "1d", "lossTolerance": 0.01},
        },
    }
)
FEED_SCHEMA = SCHEMA.model_copy(update={"columns": SCHEMA.columns[:3]})


def observe(world: World) -> Evidence:
    """What the loop's own code gathers in a month, and the world's counters beside it."""
    with TemporaryDirectory() as folder:
        known = gathered(world, MODEL, Path(folder))
    beside = {
        "latency": _rate(world.slow, world.requests, 0.02, "slow answers"),
        "errors": _rate(world.errors, world.requests, 0.005, "errors"),
        "saturation": _says(world.busy > 0.85, f"{world.busy:.0%} of the capacity in use"),
        "release": Release(newest="7", age_hours=world.age_hours, worse=_worse(world)),
        "platform": tuple(
            Reachability(
                component=name,
                verdict=Verdict.HEALTHY if up else Verdict.HARMFUL,
                reason="answers" if up else "refuses connections",
            )
            for name, up in world.reachable.items()
        ),
        "peers": tuple(_peer(name, rows, world) for name, rows in world.peers.items()),
    }
    return known.model_copy(update=beside)


def _data_faults(
    frame: pd.DataFrame, before: pd.DataFrame, schema: FeatureSchema
) -> list[DataFault]:
    columns = ["event_time", *schema.names]
    report = validate_window(frame[columns], schema, previous=before[columns])
    own = [
        DataFault(source=", ".join(f.columns), kind=f.kind, reason=f.reason) for f in report.faults
    ]
    feeds = [
        DataFault(source=feed.feed, kind=fault.kind, reason=fault.reason, since=fault.since)
        for feed in report.feeds
        for fault in feed.faults
    ]
    return own + feeds


def _drift(before: pd.DataFrame, now: pd.DataFrame, numbers: tuple[str, ...]) -> DriftReport:
    reference = reference_profile(before, numbers=numbers)
    return compare(reference, current_profile(now, reference), alpha=ALPHA)


def _peer(name: str, rows: pd.DataFrame, world: World) -> Peer:
    days = [day for _, day in rows.groupby(rows["event_time"].dt.date)]
    faults = _data_faults(days[-1], days[-2], FEED_SCHEMA)
    faults += _data_faults(days[-2], days[-3], FEED_SCHEMA)
    return Peer(
        target=name,
        faulty_sources=tuple(sorted({fault.source for fault in faults})),
        shifted=_drift(world.reference[list(FEED)], rows, FEED).shifted,
    )


def _says(harmful: bool, reason: str) -> Judgement:
    return Judgement(verdict=Verdict.HARMFUL if harmful else Verdict.HEALTHY, reason=reason)


def _rate(bad: int, requests: int, objective: float, what: str) -> Judgement:
    low = float(stats.beta.ppf(0.005, bad, requests - bad + 1)) if bad else 0.0
    high = float(stats.beta.ppf(0.995, bad + 1, requests - bad))
    reason = f"{bad} {what} of {requests}, objective {objective:.1%}"
    if low > objective:
        return Judgement(verdict=Verdict.HARMFUL, reason=reason)
    verdict = Verdict.HEALTHY if high <= objective else Verdict.UNKNOWN
    return Judgement(verdict=verdict, reason=reason)


def _worse(world: World) -> Judgement | None:
    (bad_new, new), (bad_old, old) = world.bad_new, world.bad_old
    if not new or not old:
        return None
    p = stats.fisher_exact([[bad_new, new - bad_new], [bad_old, old - bad_old]], "greater").pvalue
    return _says(p < 0.005, f"{bad_new} bad answers of {new} against {bad_old} of {old}")


def run(cases: int, seed: int) -> dict[str, object]:
    """Diagnose ``cases`` worlds per cause; strengths are uniform between nothing and blatant."""
    seen: Counter[tuple[str, str]] = Counter()
    unseen: Counter[tuple[str, str]] = Counter()
    for number, cause in enumerate(CAUSES):
        rng = np.random.default_rng([seed, number])
        for _ in range(cases):
            world = make(rng, cause, float(rng.uniform(0, 1)))
            told = diagnose(observe(world)).cause.value
            (seen if world.is_visible else unseen)[cause, told] += 1
    scores = {cause: _f1(seen, cause) for cause in CAUSES}
    macro = float(np.mean(list(scores.values())))
    return {
        "cases": cases * len(CAUSES),
        "visible": sum(seen.values()),
        "macro_f1": macro,
        "f1": scores,
        "confusion": _nested(seen),
        "beyond_sight": _nested(unseen),
        "holds": macro >= NEEDED,
    }


def _f1(counts: Counter[tuple[str, str]], cause: str) -> float:
    hit = counts[cause, cause]
    told = sum(n for (_, said), n in counts.items() if said == cause)
    true = sum(n for (real, _), n in counts.items() if real == cause)
    return 2 * hit / (told + true) if told + true else 1.0


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    return {
        real: {said: counts[real, said] for said in CAUSES if counts[real, said]}
        for real in CAUSES
        if any(counts[real, said] for said in CAUSES)
    }


def _print(result: dict[str, object]) -> None:
    confusion, scores = result["confusion"], result["f1"]
    assert isinstance(confusion, dict)
    assert isinstance(scores, dict)
    short = [cause[:9] for cause in CAUSES]
    print(f"{'true cause, as diagnosed':24}" + "".join(f"{name:>10}" for name in short) + "    F1")
    for cause in CAUSES:
        row = "".join(f"{confusion.get(cause, {}).get(said, 0) or '.':>10}" for said in CAUSES)
        print(f"{cause:24}{row}{scores[cause]:6.2f}")
    print(f"{result['visible']} of {result['cases']} cases within an oracle's sight: ", end="")
    print(f"macro F1 {result['macro_f1']:.3f} (at least {NEEDED} claimed)")
    print(f"beyond its sight: {result['beyond_sight']}")


def main() -> int:
    """Command line; exit 1 when the claim does not hold."""
    parser = argparse.ArgumentParser(description="Diagnosis over generated causes")
    parser.add_argument("--quick", action="store_true", help="fewer cases, under a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    result = run(3 if asked.quick else 24, asked.seed)
    if asked.json:
        print(json.dumps({"seed": asked.seed, **result}, indent=2))
    else:
        _print(result)
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
