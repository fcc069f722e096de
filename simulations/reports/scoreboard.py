"""The scoreboard as Markdown: mendloop beside the baselines, and every scenario by itself."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from simulations.operators import MENDLOOP
from simulations.score import Score
from simulations.sweep import Played

HOUR_S = 3600.0
SHORT = {
    "do_nothing": "nothing",
    "calendar": "calendar",
    "textbook": "textbook",
    "threshold_canary": "threshold canary",
    "always_roll_back": "roll back",
}
UNSOLVED = "unsolved"
"""Label of a scenario that mendloop cannot handle yet; its value says why."""


def write_scoreboard(path: Path, played: Sequence[Played], wall_s: float, command: str) -> None:
    """Write the scoreboard of these runs to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scoreboard(played, wall_s, command), encoding="utf-8")


def scoreboard(played: Sequence[Played], wall_s: float, command: str) -> str:
    """The whole page."""
    seeds = sorted({each.job.seed for each in played})
    names = sorted({each.job.scenario.name for each in played})
    violations = sum(len(each.mendloop.score.violations) for each in played)
    parts = [
        "# Scoreboard",
        "",
        "The last rehearsal, written by",
        "",
        f"    {command}",
        "",
        f"{len(names)} scenarios, seeds {', '.join(map(str, seeds))}, {wall_s:.0f} s;"
        f" violations of guardrails or invariants by mendloop: {violations}."
        " How to read it: [rehearsal.md](rehearsal.md).",
        "",
        "## All scenarios together",
        "",
        *_totals(played),
        "",
        "Harm is in nats: log loss beyond a healthy world's, failed requests at 1 and slow ones at"
        " 0.2, summed over requests. Times are medians over the runs in which it happened.",
        "The baselines name no causes.",
        "",
        "## Scenario by scenario",
        "",
        *_scenarios(played, names),
        "",
        "## What mendloop cannot do yet",
        "",
        *_unsolved(played, names),
        "",
    ]
    return "\n".join(parts)


def _totals(played: Sequence[Played]) -> list[str]:
    rows = []
    for name in played[0].runs if played else ():
        scores = [each.runs[name].score for each in played]
        diagnosed = _share(scores, "diagnosed") if name == MENDLOOP else "-"
        rows.append(
            (
                SHORT.get(name, name),
                f"{sum(score.harm for score in scores):,.0f}",
                str(sum(score.false_actions for score in scores)),
                str(sum(score.collateral for score in scores)),
                _share(scores, "detected"),
                diagnosed,
                _share(scores, "mitigated"),
                _hours(score.time_to_detect_s for score in scores),
                _hours(score.time_to_repair_s for score in scores),
                str(sum(score.retrains for score in scores)),
            )
        )
    header = (
        "operator", "harm", "false actions", "collateral", "detected", "diagnosed", "mitigated",
        "h to detect", "h to repair", "retrains",
    )  # fmt: skip
    return _table(header, rows)


def _scenarios(played: Sequence[Played], names: Sequence[str]) -> list[str]:
    baselines = [name for name in (played[0].runs if played else ()) if name != MENDLOOP]
    rows = []
    for name in names:
        runs = [each for each in played if each.job.scenario.name == name]
        scores = [each.mendloop.score for each in runs]
        passed = sum(score.has_passed for score in scores)
        rows.append(
            (
                name,
                scores[0].kind,
                f"{passed} of {len(scores)}" if passed < len(scores) else "all",
                _hours(score.time_to_detect_s for score in scores),
                _hours(score.time_to_repair_s for score in scores),
                str(sum(score.retrains for score in scores)),
                str(sum(score.false_actions for score in scores)),
                _harm(scores),
                *(_harm([each.runs[other].score for each in runs]) for other in baselines),
            )
        )
    header = (
        "scenario", "kind", "passed", "h to detect", "h to repair", "retrains", "false actions",
        "harm", *(SHORT.get(name, name) for name in baselines),
    )  # fmt: skip
    return [*_table(header, rows), "", "The last columns are the harm under each operator."]


def _unsolved(played: Sequence[Played], names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        runs = [each for each in played if each.job.scenario.name == name]
        reasons = dict.fromkeys(r for each in runs for r in each.mendloop.score.failures)
        why = runs[0].job.scenario.metadata.labels.get(UNSOLVED, "")
        if reasons:
            told = "; ".join(reasons)
            lines.append(f"- **{name}**: {told}. {why or 'Not explained yet.'}")
    return lines or ["Every scenario passes with every seed."]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def _share(scores: Sequence[Score], what: str) -> str:
    asked = [score for score in scores if getattr(score, what) is not None]
    return f"{sum(bool(getattr(score, what)) for score in asked)} of {len(asked)}"


def _hours(times: Iterable[float | None]) -> str:
    known = [time for time in times if time is not None]
    return f"{statistics.median(known) / HOUR_S:.1f}" if known else "-"


def _harm(scores: Sequence[Score]) -> str:
    return f"{sum(score.harm for score in scores):,.0f}"
