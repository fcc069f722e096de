"""The result of a rehearsal as JSON."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Sequence
from typing import Any

from simulations.operators import MENDLOOP
from simulations.sweep import Played


def document(played: Sequence[Played], wall_s: float) -> dict[str, Any]:
    """Scores of every run, and what they add up to."""
    return {
        "scenarios": [_row(each) for each in played],
        "totals": _totals(played),
        "wall_s": round(wall_s, 3),
    }


def as_json(told: dict[str, Any]) -> str:
    """The document as text."""
    return json.dumps(told, ensure_ascii=False, allow_nan=False)


def replay_command(each: Played) -> str:
    """What to type to see this run again."""
    return f"mendloop simulate {shlex.quote(each.job.source)} --seed {each.job.seed}"


def _row(each: Played) -> dict[str, Any]:
    score = each.mendloop.score
    return {
        "name": score.name,
        "seed": score.seed,
        "kind": score.kind,
        "detected": score.detected,
        "diagnosed": score.diagnosed,
        "mitigated": score.mitigated,
        "false_actions": score.false_actions,
        "collateral": score.collateral,
        "harm": score.harm,
        "harm_by_baseline": {
            name: run.score.harm for name, run in each.runs.items() if name != MENDLOOP
        },
        "time_to_detect_s": score.time_to_detect_s,
        "time_to_repair_s": score.time_to_repair_s,
        "violations": len(score.violations),
    }


def _totals(played: Sequence[Played]) -> dict[str, Any]:
    failed = [each for each in played if not each.mendloop.score.has_passed]
    speeds = [each.mendloop.simulated_s / each.mendloop.wall_s for each in played]
    return {
        "runs": len(played),
        "passed": len(played) - len(failed),
        "failed": [
            {
                "name": each.job.scenario.name,
                "seed": each.job.seed,
                "reasons": list(each.mendloop.score.failures),
                "replay": replay_command(each),
            }
            for each in failed
        ],
        "median_speed": round(statistics.median(speeds), 1) if speeds else 0.0,
        "by_operator": {name: _operator(played, name) for name in _names(played)},
    }


def _names(played: Sequence[Played]) -> list[str]:
    return list(played[0].runs) if played else []


def _operator(played: Sequence[Played], name: str) -> dict[str, Any]:
    scores = [each.runs[name].score for each in played]
    return {
        **{
            what: [sum(getattr(s, what) is True for s in scores), _asked(scores, what)]
            for what in ("detected", "diagnosed", "mitigated")
        },
        "false_actions": sum(s.false_actions for s in scores),
        "collateral": sum(s.collateral for s in scores),
        "harm": round(sum(s.harm for s in scores), 1),
        "retrains": sum(s.retrains for s in scores),
        "violations": sum(len(s.violations) for s in scores),
        "passed": sum(s.has_passed for s in scores),
    }


def _asked(scores: Sequence[Any], what: str) -> int:
    return sum(getattr(s, what) is not None for s in scores)
