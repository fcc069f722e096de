"""The result of a rehearsal as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulations.reports.figures import replay_command
from simulations.sweep import Played


def show(
    console: Console, played: Sequence[Played], told: dict[str, Any], report: Path | None
) -> None:
    """Scores, failures with the command that replays each, and what it all adds up to."""
    console.print(_scores(played))
    if len(told["totals"]["by_operator"]) > 1:
        console.print(_operators(told["totals"]["by_operator"], len(played)))
    for each in played:
        score = each.mendloop.score
        if not score.has_passed:
            console.print(Text(f"{score.name}, seed {score.seed}: failed", style="bold red"))
            for reason in score.failures:
                console.print(Text(f"  {reason}"))
            console.print(Text(f"  replay: {replay_command(each)}", style="dim"))
    totals = told["totals"]
    console.print(
        f"{totals['passed']} of {totals['runs']} runs passed in {told['wall_s']:.1f} s; "
        f"time ran {totals['median_speed']:,.0f} times as fast as on a clock"
    )
    if report is not None:
        console.print(f"report: {report / 'index.html'}")


def _scores(played: Sequence[Played]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("scenario", "seed", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("found", "cause", "cured"):
        table.add_column(name, justify="center")
    for name in ("false", "harm", "detect", "repair"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in played:
        score = each.mendloop.score
        table.add_row(
            score.name,
            str(score.seed),
            score.kind,
            _mark(score.detected),
            _mark(score.diagnosed),
            _mark(score.mitigated),
            str(score.false_actions + score.collateral),
            f"{score.harm:,.0f}",
            duration(score.time_to_detect_s),
            duration(score.time_to_repair_s),
            Text("ok", style="green") if score.has_passed else Text("FAILED", style="bold red"),
        )
    return table


def _operators(figures: dict[str, dict[str, Any]], runs: int) -> Table:
    table = Table(box=None, header_style="bold", title=f"operators over {runs} runs")
    table.add_column("operator")
    names = ("found", "cause", "cured", "false", "collateral", "harm", "retrains", "passed")
    for name in names:
        table.add_column(name, justify="right")
    for name, f in figures.items():
        table.add_row(
            name,
            *(f"{f[w][0]}/{f[w][1]}" for w in ("detected", "diagnosed", "mitigated")),
            str(f["false_actions"]),
            str(f["collateral"]),
            f"{f['harm']:,.0f}",
            str(f["retrains"]),
            str(f["passed"]),
        )
    return table


def duration(seconds: float | None) -> str:
    """Such as 2.1 d, 3.5 h or 40 s."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _mark(value: bool | None) -> Text:
    if value is None:
        return Text("-", style="dim")
    return Text("yes", style="green") if value else Text("no", style="red")
