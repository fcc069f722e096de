"""The result of a rehearsal as pages: a scoreboard, and per run a timeline to step through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any

from simulations.operators import MENDLOOP
from simulations.reports.figures import as_json, document, replay_command
from simulations.reports.terminal import duration
from simulations.run import ScenarioRun
from simulations.sweep import Played


def write_pages(folder: Path, played: Sequence[Played], wall_s: float) -> None:
    """``index.html``, a page per run, and ``report.json``; nothing in them needs a network."""
    folder.mkdir(parents=True, exist_ok=True)
    told = document(played, wall_s)
    (folder / "report.json").write_text(as_json(told) + "\n", encoding="utf-8")
    index = _template("index.html").render(
        rows=[_row(each) for each in played],
        totals=told["totals"],
        wall_s=told["wall_s"],
        operators=told["totals"]["by_operator"],
    )
    (folder / "index.html").write_text(index, encoding="utf-8")
    for each in played:
        page = _template("run.html").render(
            name=each.job.scenario.name,
            seed=each.job.seed,
            spec=each.job.scenario.spec,
            score=each.mendloop.score,
            facts=_facts(each),
            replay=replay_command(each),
            data=_embedded(_data(each)),
        )
        (folder / page_name(each)).write_text(page, encoding="utf-8")


def page_name(each: Played) -> str:
    """The file of a run's page."""
    return f"{each.job.scenario.name}-{each.job.seed}.html"


@lru_cache(maxsize=4)
def _template(name: str) -> Any:
    from jinja2 import Environment

    folder = resources.files("simulations.reports")
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = (folder / "timeline.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(style=style, script=script)
    return environment.from_string((folder / name).read_text(encoding="utf-8"))


def _embedded(data: dict[str, Any]) -> str:
    """JSON that may stand inside a script element whatever its texts hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _row(each: Played) -> dict[str, Any]:
    score = each.mendloop.score
    return {
        "page": page_name(each),
        "score": score,
        "detect": duration(score.time_to_detect_s),
        "repair": duration(score.time_to_repair_s),
        "harms": {name: run.score.harm for name, run in each.runs.items() if name != MENDLOOP},
    }


def _facts(each: Played) -> list[tuple[str, str]]:
    score = each.mendloop.score

    def said(value: bool | None) -> str:
        return "-" if value is None else "yes" if value else "no"

    return [
        ("found", f"{said(score.detected)} {_after(score.time_to_detect_s)}"),
        ("right cause, no other", said(score.diagnosed)),
        ("cured", f"{said(score.mitigated)} {_after(score.time_to_repair_s)}"),
        ("false actions", str(score.false_actions)),
        ("collateral changes", str(score.collateral)),
        ("harm", f"{score.harm:,.0f} over {score.requests:,} requests"),
        ("retrains", f"{score.retrains} ({score.compute_minutes:.0f} min of compute)"),
        ("violations", str(len(score.violations))),
    ]


def _after(seconds: float | None) -> str:
    return "" if seconds is None else f"after {duration(seconds)}"


def _data(each: Played) -> dict[str, Any]:
    timeline = each.mendloop.timeline
    return {
        "duration": timeline.duration_s,
        "targets": {
            name: [p.model_dump() for p in points] for name, points in timeline.points.items()
        },
        "lines": [line.model_dump() for line in timeline.lines],
        "harms": {name: _cumulated(run) for name, run in each.runs.items()},
    }


def _cumulated(run: ScenarioRun) -> list[list[float]]:
    """Harm of all targets up to each moment."""
    points = sorted(
        (p for of_target in run.timeline.points.values() for p in of_target), key=lambda p: p.at_s
    )
    sums = accumulate(p.harm * p.requests for p in points)
    return [[p.at_s, round(total, 1)] for p, total in zip(points, sums, strict=True)]
